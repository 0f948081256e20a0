import type { Clock } from '../../base/index.js';
import { copyJson, digest } from '../../protocol/index.js';
import type { Delegation } from './delegation.js';
import type { Client } from './introspection.js';
import { createOutbox, type Outbox, type OutboxOptions, type ToolOutcome } from './outbox.js';

/** A call that is about to run. */
export type BegunCall = Readonly<{ tool: string; delegation: Delegation }>;

/** Tells Writ what became of each call. It never keeps a call waiting, and never changes what a handler answers. */
export interface Outcomes {
  /** Runs the work of one call. `stopped` says why it was told to stop, if it was: then nobody knows how far it came. */
  watch<Out>(call: BegunCall, stopped: () => string | undefined, work: () => Out): Out;
  flush(): Promise<number>;
  close(): Promise<void>;
}

type OutcomesOptions = Omit<OutboxOptions, 'client' | 'capacity' | 'onLost'> &
  Readonly<{
    client: Client | undefined;
    outcomes: boolean;
    outcomesBuffer: number;
    onLost: OutboxOptions['onLost'] | undefined;
  }>;

/** See {@link Outcomes}. Without credentials nobody is told. */
export function createOutcomes(options: OutcomesOptions): Outcomes {
  const { client, outcomes, outcomesBuffer: capacity, onLost = warn() } = options;
  if (client === undefined || !outcomes) return UNREPORTED;
  return watching(createOutbox({ ...options, client, capacity, onLost }), options.clock);
}

const UNREPORTED: Outcomes = {
  watch: (_call, _stopped, work) => work(),
  flush: () => Promise.resolve(0),
  close: () => Promise.resolve(),
};

const WARNING_MS = 60_000;

/** A warning of the process for what was lost, and after a while another one for what was lost since. */
function warn(): OutboxOptions['onLost'] {
  let count = 0;
  let timer: NodeJS.Timeout | undefined;
  const tell = (): void => {
    if (count === 0) return;
    process.emitWarning(`${String(count)} outcomes of tool calls are lost to Writ`, { code: 'WRIT_OUTCOMES_LOST' });
    count = 0;
  };
  return (lost) => {
    count += lost.count;
    if (timer !== undefined && lost.reason !== 'closed') return;
    tell();
    timer ??= setTimeout(() => {
      timer = undefined;
      tell();
    }, WARNING_MS).unref();
  };
}

function watching(outbox: Outbox, clock: Clock): Outcomes {
  const running = new Set<Running>();
  return {
    watch: (call, stopped, work) => {
      const one = begin(call, { outbox, clock, running });
      const failed = (thrown: unknown): void => {
        const why = stopped();
        one.end(why === undefined ? { outcome: 'failed', error: classOf(thrown) } : { outcome: 'unknown', error: why });
      };
      try {
        const out = work();
        // Only a promise of the language can be looked at twice: another thenable may begin its work anew.
        if (out instanceof Promise)
          out.then((result: unknown) => {
            one.end(endOf(result));
          }, failed);
        else one.end(isThenable(out) ? { outcome: 'unknown', error: 'NotObserved' } : endOf(out));
        return out;
      } catch (thrown) {
        failed(thrown);
        throw thrown;
      }
    },
    flush: () => outbox.flush(),
    close: async () => {
      // What still runs now may or may not have its effect: nobody will know.
      for (const { end } of [...running]) end({ outcome: 'unknown', error: 'Shutdown' });
      await outbox.close();
    },
  };
}

type End = Pick<ToolOutcome, 'outcome' | 'error' | 'result_sha256'>;
type Running = Readonly<{ end(how: End): void }>;

/** INVARIANT: each call ends once. */
function begin(
  { tool, delegation }: BegunCall,
  { outbox, clock, running }: Readonly<{ outbox: Outbox; clock: Clock; running: Set<Running> }>,
): Running {
  const began = performance.now();
  const one: Running = {
    end: (how) => {
      if (!running.delete(one)) return;
      const { tokenId: jti, transaction: txn } = delegation;
      const duration_ms = Math.min(86_400_000, Math.round(performance.now() - began));
      outbox.add({ jti, txn, tool, call: randomId(), ...how, duration_ms, at: Math.floor(clock.now()) });
    },
  };
  running.add(one);
  return one;
}

const randomId = (): string => Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('base64url');

/** MCP: a tool that failed says so in its result. Never throws: it runs beside the call. */
function endOf(result: unknown): End {
  const sha256 = digestOf(result);
  const found = sha256 === undefined ? {} : { result_sha256: sha256 };
  return saysError(result) ? { outcome: 'failed', error: 'ToolError', ...found } : { outcome: 'executed', ...found };
}

function saysError(result: unknown): boolean {
  try {
    return typeof result === 'object' && result !== null && 'isError' in result && result.isError === true;
  } catch {
    return false;
  }
}

/** SHA-256 of the RFC 8785 form; `undefined` for what is no JSON or has none. */
function digestOf(result: unknown): string | undefined {
  try {
    const hashed = result === undefined ? undefined : digest(copyJson(result));
    return hashed?.ok === true ? hashed.value : undefined;
  } catch {
    return undefined;
  }
}

/** The name of the class alone: what an error says may hold anything. */
function classOf(thrown: unknown): string {
  const name = thrown instanceof Error ? thrown.name : 'Error';
  return /^[A-Za-z]{1,32}([._][A-Za-z]{1,32}){0,3}$/.test(name) ? name : 'Error';
}

export const isThenable = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
