import { createHash } from 'node:crypto';
import type { PointWatch } from './authzen/index.js';
import type { FailureLog } from './client/index.js';
import type { Config } from './config/index.js';
import { Fault } from './base/index.js';
import {
  healthRoutes,
  isBearerOf,
  metricsRoute,
  type NotReady,
  observe,
  readiness,
  type Route,
  type Step,
} from './http/index.js';
import { type LogState, logState } from './log-keeping.js';
import type { Told } from './notice/index.js';
import type { EngineLog } from './oauth/index.js';
import type { RegistryReader } from './registry/index.js';
import type { CommitWatch, Database, InputWatch } from './storage/index.js';
import { type FeedFigures, type Log, type Metrics, openMetrics, openTraces } from './telemetry/index.js';
import type { KeyRing } from './token/index.js';

/** What operators see of a running Writ, and what the composition root has to hand it. */
export type Operations = Readonly<{
  /** Comes before every other middleware. */
  middleware: Step;
  /** `/livez`, `/readyz`, `/metrics`. */
  routes: readonly Route[];
  commits: CommitWatch;
  decisionPoints: PointWatch;
  inputs: InputWatch;
  log: LogState;
  /** Told of what retention removed, and of what a webhook missed by it. */
  retention: Pick<Metrics, 'pruned' | 'webhookMissed'>;
  /** To whom the log is sent on: see {@link Metrics}. */
  logFollower: Metrics['logFollower'];
  feed: Metrics['feed'] & Readonly<{ opened(feed: FeedFigures): void }>;
  /** What became of a message to somebody who is asked. */
  told(told: Told): void;
  /** Counts what passes through. */
  failures(log: FailureLog): FailureLog;
  engineLog(log: EngineLog): EngineLog;
  report(thrown: unknown, requestId?: string): void;
  /** From now on not ready, and every answer ends its connection. */
  beginStop(): void;
  close(): Promise<void>;
}>;

export type OperationsDeps = Readonly<{
  config: Pick<Config, 'issuer' | 'isLocal' | 'metricsToken' | 'traceEndpoint' | 'decisionPoints'>;
  database: Database;
  registry: RegistryReader;
  keys: Pick<KeyRing, 'active'>;
  report: (thrown: unknown, requestId?: string) => void;
  log: (Pick<Log, 'began' | 'ended' | 'committed'> & Partial<Pick<Log, 'info' | 'warn'>>) | undefined;
}>;

export async function openOperations(deps: OperationsDeps): Promise<Operations> {
  const { config, database, registry, log } = deps;
  const mount = new URL(config.issuer).pathname.replace(/\/$/, '');
  let [isStopping, isReady, queued] = [false, true, 0];
  const state = logState(
    () => metrics,
    (thrown) => {
      report(thrown);
    },
  );
  let feed: FeedFigures | undefined;
  const metrics = openMetrics({
    registryVersion: () => registry.current().version,
    queueLength: () => queued,
    isReady: () => isReady && !isStopping,
    log: state,
    feed: () => feed,
    database: database.kind,
  });
  for (const { id: point } of config.decisionPoints) metrics.circuitChanged({ point, isOpen: false });
  const traces = config.traceEndpoint === undefined ? undefined : await openTraces(config.traceEndpoint);
  const report: Operations['report'] = (thrown, requestId) => {
    metrics.faulted(thrown instanceof Fault ? thrown.code : 'internal');
    deps.report(thrown, requestId);
  };
  const check = readiness(() => reasonsNotToBeReady({ ...deps, report }));
  const reasons = async (): Promise<readonly NotReady[]> => {
    if (isStopping) return ['stopping'];
    const missing = [...(await check()), ...state.notReady()];
    isReady = missing.length === 0;
    return missing;
  };
  const scrape = async (): Promise<string> => {
    await reasons();
    return metrics.scrape();
  };
  return {
    middleware: observe({
      beginSpan: traces?.beginSpan,
      ...(log === undefined ? {} : { onBegin: log.began }),
      onEnd: (seen) => {
        metrics.ended(seen);
        log?.ended(seen);
      },
      routeOf: engineRoute(mount),
      isStopping: () => isStopping,
    }),
    routes: [...healthRoutes(mount, reasons), metricsRoute(mount, scrape, readerOf(config))],
    commits: {
      onQueue: (length) => {
        queued = length;
      },
      onCommit: (batch) => {
        metrics.committed(batch);
        log?.committed(batch);
      },
    },
    decisionPoints: {
      onOpinion: metrics.opinionHeard,
      onCircuit: (change) => {
        const { point, isOpen, because } = change;
        metrics.circuitChanged(change);
        if (isOpen)
          report(new Fault('decision_point_unavailable', `the decision point ${point} is silent: ${because}`));
        else log?.warn?.('the decision point answers again', { point });
      },
    },
    inputs: metrics.inputs,
    log: state,
    retention: metrics,
    logFollower: metrics.logFollower,
    feed: {
      ...metrics.feed,
      opened: (opened) => {
        feed = opened;
      },
    },
    told: ({ due, kind, outcome, status }) => {
      metrics.told(kind, outcome);
      const facts = { approval: due.approval, channel: due.channel, kind, ...(status === undefined ? {} : { status }) };
      if (outcome === 'sent') log?.info?.('a person is told', facts);
      else if (outcome === 'gone') log?.warn?.('a channel of a person has ended', facts);
      else log?.warn?.('a person is not told yet', { ...facts, attempt: due.attempts });
    },
    failures: (inner) => ({
      note: (failure) => {
        metrics.authenticationFailed(failure);
        inner.note(failure);
      },
    }),
    engineLog: (inner) => ({
      ...inner,
      issued: async (token, redeemed) => {
        state.stand();
        const isIssued = await inner.issued(token, redeemed);
        if (isIssued) metrics.personTokenIssued();
        return isIssued;
      },
    }),
    report,
    beginStop: () => {
      isStopping = true;
    },
    close: async () => {
      await Promise.all([metrics.close(), traces?.close()]);
    },
  };
}

async function reasonsNotToBeReady({ database, registry, keys, report }: OperationsDeps): Promise<readonly NotReady[]> {
  const [missing, current] = await Promise.allSettled([database.missingMigrations(), registry.refresh()]);
  for (const { reason } of [missing, current].filter(isRejected)) report(reason);
  if (missing.status === 'rejected') return ['database_unavailable'];
  return [
    ...(missing.value.length > 0 ? (['migrations_missing'] as const) : []),
    ...(current.status === 'rejected' ? (['registry_unreadable'] as const) : []),
    ...(canSign(keys) ? [] : (['keys_unavailable'] as const)),
  ];
}

const isRejected = (settled: PromiseSettledResult<unknown>): settled is PromiseRejectedResult =>
  settled.status === 'rejected';

function canSign(keys: Pick<KeyRing, 'active'>): boolean {
  try {
    keys.active();
    return true;
  } catch {
    return false;
  }
}

/** On loopback anybody may read the metrics; elsewhere the bearer of the token for them, and nobody without one. */
function readerOf({ isLocal, metricsToken }: OperationsDeps['config']): Parameters<typeof metricsRoute>[2] {
  if (metricsToken === undefined) return () => isLocal;
  const digestOf = (token: string): Uint8Array => createHash('sha256').update(token, 'utf8').digest();
  const digest = digestOf(metricsToken);
  return (ctx) => isBearerOf(ctx, digest, digestOf);
}

/** The engine's paths as templates; whatever else somebody asks for is one word. */
function engineRoute(mount: string): (path: string) => string {
  return (path) => {
    const inner = path.startsWith(`${mount}/`) ? path.slice(mount.length) : path;
    if (['/auth', '/request', '/sign-out'].includes(inner)) return `${mount}${inner}`;
    if (/^\/auth\/[\w-]+$/.test(inner)) return `${mount}/auth/:uid`;
    if (inner.startsWith('/interaction/')) return `${mount}/interaction/*`;
    return inner.startsWith('/.well-known/') ? '/.well-known/*' : 'other';
  };
}
