import { type DestinationStream, destination, pino, stdTimeFunctions } from 'pino';
import type { SeenRequest } from '../http/index.js';
import { describeThrown } from './thrown.js';

export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** The operator's log: one JSON object a line. Nothing is redacted from it, because nothing that is secret gets in. */
export type Log = Readonly<{
  info(message: string, facts?: Readonly<Record<string, string | number | boolean>>): void;
  warn(message: string, facts?: Readonly<Record<string, string | number | boolean>>): void;
  /** An outage or a bug. */
  report(thrown: unknown, requestId?: string): void;
  began(request: Readonly<{ requestId: string; method: string }>): void;
  ended(request: SeenRequest): void;
  committed(batch: Readonly<{ size: number; seconds: number }>): void;
  /** Resolves when every line is written. */
  flush(): Promise<void>;
}>;

/** Opens the log on standard output. Lines are written behind the requests' backs, and all of them before the end. */
export function openLog(level: LogLevel, to: DestinationStream & Flushable = standardOutput()): Log {
  const log = pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label }) },
    },
    to,
  );
  return {
    info: (message, facts = {}) => {
      log.info(facts, message);
    },
    warn: (message, facts = {}) => {
      log.warn(facts, message);
    },
    report: (thrown, requestId) => {
      log.error({ request: requestId, ...describeThrown(thrown) }, 'fault');
    },
    began: ({ requestId, method }) => {
      if (log.isLevelEnabled('trace')) log.trace({ request: requestId, method }, 'request began');
    },
    ended: (request) => {
      const isQuiet = QUIET.test(request.route);
      if (isQuiet) log.debug(lineOf(request), 'request');
      else log.info(lineOf(request), 'request');
    },
    committed: ({ size, seconds }) => {
      if (log.isLevelEnabled('debug')) log.debug({ size, ms: inMs(seconds) }, 'commit');
    },
    flush: () =>
      new Promise((resolve) => {
        if (to.flush === undefined) resolve();
        else
          to.flush(() => {
            resolve();
          });
      }),
  };
}

type Flushable = Readonly<{ flush?: (done: () => void) => void }>;

const standardOutput = (): DestinationStream & Flushable =>
  destination({ dest: 1, sync: false, minLength: 4_096, periodicFlush: 100 });

/** What machines ask every few seconds is not worth a line. */
const QUIET = /\/(livez|readyz|metrics)$/;

function lineOf(seen: SeenRequest): Record<string, unknown> {
  const { notes } = seen;
  return {
    request: seen.requestId,
    record: seen.recordId,
    trace: seen.traceId,
    method: seen.method,
    route: seen.route,
    status: seen.status,
    ms: inMs(seen.seconds),
    cut: seen.isCut ? true : undefined,
    outcome: notes?.outcome,
    reason: notes?.reason,
    client: notes?.client,
    claimed: notes?.claimed,
  };
}

const inMs = (seconds: number): number => Math.round(seconds * 100_000) / 100;
