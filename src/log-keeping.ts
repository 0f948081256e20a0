import { randomUUID } from 'node:crypto';
import { logSigner, Sequencer, type Step } from './audit/index.js';
import { type Clock, Fault } from './base/index.js';
import type { Config, Secrets } from './config/index.js';
import type { Committer } from './exchange/index.js';
import type { NotReady } from './http/index.js';
import { sleeper } from './sleeper.js';
import { type Database, openCheckpointFile, openTree, openTreeReader } from './storage/index.js';
import type { LogFigures, Metrics } from './telemetry/index.js';

/** How the tree of the log stands, as far as this process knows. */
export type LogState = LogFigures &
  Readonly<{
    onStep(step: Step): void;
    /** Why nothing that needs a record is done; `undefined` while the log is sound. */
    why(): string | undefined;
    onFailure(thrown: unknown): void;
    notReady(): readonly NotReady[];
    /**
     * Throws while the log is inconsistent. Stands before everything that gives authority: whatever takes it away, or tells
     * whether it is there, goes on, and its records wait.
     */
    stand(): void;
    /** Refuses every exchange while the log is inconsistent. */
    guard(committer: Committer): Committer;
  }>;

/** From then on nobody should rely on this process. */
const BEHIND_SECONDS = 60;

export function logState(
  metrics: () => Pick<Metrics, 'sequenced' | 'sequencingFailed'>,
  report: (thrown: unknown) => void,
): LogState {
  let [size, lag, hasFailed] = [0, 0, false];
  let halted: string | undefined;
  let steppedMs = performance.now();
  const since = (): number => (performance.now() - steppedMs) / 1_000;
  const stand = (): void => {
    if (halted !== undefined) throw new Fault('log_inconsistent', 'the log is inconsistent: writ audit recover');
  };
  return {
    size: () => size,
    lag: () => (hasFailed ? lag + since() : lag),
    isHalted: () => halted !== undefined,
    why: () => halted,
    stand,
    onStep: (step) => {
      if (step.halted !== undefined && halted === undefined) report(new Fault('log_inconsistent', step.halted));
      const isThrough = step.did === 'idle' || (step.did === 'appended' && !step.isMore);
      [size, lag, halted, hasFailed] = [step.size, isThrough ? 0 : step.lag, step.halted, false];
      steppedMs = performance.now();
      if (step.appended > 0) metrics().sequenced(step.appended);
    },
    onFailure: (thrown) => {
      metrics().sequencingFailed();
      if (!hasFailed) report(thrown);
      hasFailed = true;
    },
    notReady: () => [
      ...(halted !== undefined ? (['log_inconsistent'] as const) : []),
      ...(lag + since() > BEHIND_SECONDS ? (['log_behind'] as const) : []),
    ],
    guard: (committer) => ({
      permit: async (outcome) => {
        stand();
        return committer.permit(outcome);
      },
      refuse: async (outcome) => {
        stand();
        return committer.refuse(outcome);
      },
    }),
  };
}

/** How long the next step waits after what this one did. Nobody waits for the tree, so it waits for company. */
const PAUSES_MS = { appended: 200, idle: 200, lost: 200, standby: 700, halted: 700, unfit: 700 } as const;
const FAILED_MS = 500;

type Keeping = Readonly<{
  config: Pick<Config, 'dataDir' | 'issuer'>;
  database: Database;
  clock: Clock;
  logKeys: Secrets['logKeys'];
  state: LogState;
  report: (thrown: unknown) => void;
}>;

/** Looks after the tree of the log until it is closed. Resolves after the first look. */
export async function keepLog({
  config,
  database,
  clock,
  logKeys,
  state,
  report,
}: Keeping): Promise<() => Promise<void>> {
  const sequencer = new Sequencer({
    holder: randomUUID(),
    tree: openTree(database, clock),
    reader: openTreeReader(database),
    signer: logSigner(config.issuer, logKeys),
    memory: openCheckpointFile(config.dataDir, report),
    timeMs: () => performance.now(),
  });
  const turn = async (): Promise<number> => {
    try {
      const step = await sequencer.step();
      state.onStep(step);
      return step.isMore ? 0 : PAUSES_MS[step.did];
    } catch (thrown) {
      state.onFailure(thrown);
      return FAILED_MS;
    }
  };
  const sleep = sleeper();
  const first = await turn();
  const running = (async () => {
    for (let ms = first; !sleep.isOver(); ms = await turn()) await sleep.until(ms);
  })();
  return async () => {
    sleep.end();
    await running;
    // What was written up to now is in the tree before this process is gone, and the next one need not wait.
    await turn();
    await sequencer.release().catch(state.onFailure);
  };
}
