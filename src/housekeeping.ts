import { lookForFindings, sessionClosesAfter, sessionLifeParts } from './audit/index.js';
import { followLog } from './audit-routes.js';
import { every, inParts, isOutage } from './every.js';
import type { House } from './house.js';
import { keepReevaluating } from './reevaluation.js';
import { openSender } from './notice/index.js';
import { showLog } from './log-witnesses.js';
import { stopOrphans } from './registry/index.js';
import {
  openAccountablePeople,
  openBudgets,
  openEngineStore,
  openFindings,
  openIdempotency,
  openNotices,
  openOutcomes,
  openPersons,
  numberRecent,
  openSessionLife,
  openSessionPruning,
  pruneRevocations,
} from './storage/index.js';

const LOG_ROUND_MS = 10_000;
const PRUNE_MS = 60_000;
/** People decide in seconds, so they are told within one. */
const TELL_MS = 1_000;
/** For so long a closed session is shown, or for as long as the log has it, where that is shorter. */
const SESSION_DAYS = 90;

/** What is done beside the requests for as long as a Writ runs. */
export type Kept = Readonly<{
  /** Ends what begins work by itself. */
  stop(): Promise<void>;
  /** Ends what follows the log, once nobody writes to it any more. */
  stopFollowing(): Promise<void>;
}>;

export function keepHouse(house: House): Kept {
  const stopFollowing = followLog(house);
  const stopWatching = [house.registry.watch(), house.keys.watch()];
  const stops = [
    ...[prune(house), showLog(house), closeSessions(house), stopUnowned(house)],
    ...[keepReevaluating(house), finishRevocations(house), tellPeople(house)],
  ];
  return {
    stopFollowing,
    stop: async () => {
      for (const stop of stopWatching) stop();
      await Promise.all(stops.map((stop) => stop()));
    },
  };
}

/** Ends sessions whose time is over, writes their summaries, and looks for what does not fit together. */
function closeSessions({ config, clock, database, approvals, report }: House): () => Promise<void> {
  const closesAfter = sessionClosesAfter(config);
  const life = openSessionLife(database, closesAfter);
  const findings = openFindings(database, openOutcomes(database, clock, closesAfter), closesAfter);
  const { resume, expire, close } = sessionLifeParts(life, clock);
  const parts = {
    'resume paused sessions': resume,
    'end sessions': expire,
    'close sessions': close,
    'end requests to people': () => approvals.keep(clock.now()),
    'look for findings': () => lookForFindings(findings, closesAfter),
  };
  return every(LOG_ROUND_MS, inParts(parts, report), report);
}

/** What comes of a revocation is numbered by whoever revokes, and once more here, whatever became of them. */
const finishRevocations = ({ database, report }: House): (() => Promise<void>) =>
  every(LOG_ROUND_MS, () => numberRecent(database), report);

/** Where nobody can be asked nothing is told. */
function tellPeople({ config, database, secrets, registry, clock, operations, report }: House): () => Promise<void> {
  if (config.deferredTokenResponse === 'off') return () => Promise.resolve();
  const { issuer, isLocal: allowLoopback } = config;
  const notices = openNotices(database, secrets.encryptionKeys, clock);
  const sender = openSender({
    ...{ issuer, allowLoopback, notices, registry, clock, onTold: operations.told },
    report: (thrown) => {
      if (!isOutage(thrown)) report(thrown);
    },
  });
  const stopRounds = every(TELL_MS, sender.round, report);
  return async () => {
    await Promise.all([sender.stop(), stopRounds()]);
  };
}

/** An owner who is erased, or disabled while an agent was being written, leaves no agent that acts on. */
function stopUnowned({ database, clock, registry, report }: House): () => Promise<void> {
  const people = openAccountablePeople(database, openPersons(database, clock), clock);
  const round = async (): Promise<void> => {
    await stopOrphans({ registry, writer: registry, people }, 'writ');
  };
  return every(PRUNE_MS, round, report);
}

/** One-time ids and counters are kept for as long as what they belong to could be presented, and a little longer. */
function prune({ config, database, secrets, clock, report, inputs }: House): () => Promise<void> {
  const [store, idempotency, budgets] = [openEngineStore(database), openIdempotency(database), openBudgets(database)];
  const sessions = openSessionPruning(database);
  const notices = openNotices(database, secrets.encryptionKeys);
  const sessionDays = Math.min(SESSION_DAYS, config.logRetentionDays ?? SESSION_DAYS);
  const parts = {
    'settle budgets': () => budgets.settle(config.lifetimes.outcomeGraceSeconds),
    'forget what is spent': () => store.prune(clock.now() - 120),
    'forget idempotency keys': () => idempotency.prune(),
    'forget sessions': () => sessions.prune(sessionDays),
    'forget revocations': () => pruneRevocations(database),
    'forget decision inputs': () => inputs.prune(),
    'forget what was told': () => notices.prune(clock.now()),
  };
  return every(PRUNE_MS, inParts(parts, report), report);
}
