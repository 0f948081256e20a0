import { changeOf } from './audit/index.js';
import { openDecisionPoints } from './authzen/index.js';
import type { Clock } from './base/index.js';
import { hashSecret, type RemoteKeys, remoteKeys } from './client/index.js';
import { type Config, readPolicyFiles, type Secrets } from './config/index.js';
import { activateFirst } from './first-policies.js';
import { openOperations, type Operations, type OperationsDeps } from './operations.js';
import { copyJson } from './protocol/index.js';
import { Feed } from './signals/index.js';
import {
  type ApprovalStore,
  type Database,
  type DecisionInputStore,
  leafOf,
  openApprovals,
  openDecisionInputs,
  openFeedReader,
  openKeys,
  openPolicies,
  openRegistry,
  type RegistryStore,
  type WritesBehind,
  writesBehind,
} from './storage/index.js';
import { type KeyRingDeps, type LiveKeyRing, openKeyRing } from './token/index.js';

/** What is open for as long as a Writ runs, and what its routes and its housekeeping share. */
export type House = Readonly<{
  config: Config;
  secrets: Secrets;
  clock: Clock;
  /** Every fault that no caller is told of. */
  report: (thrown: unknown, requestId?: string) => void;
  operations: Operations;
  decisionPoints: ReturnType<typeof openDecisionPoints>;
  database: Database;
  keys: LiveKeyRing;
  registry: RegistryStore;
  behind: WritesBehind;
  inputs: DecisionInputStore;
  /** The keys that agents and trusted issuers publish by URL. */
  remoteKeys: RemoteKeys;
  approvals: ApprovalStore;
  feed: Feed;
  /** Resolves when the records that are written behind an answer are written. */
  flush(): Promise<void>;
}>;

type Opening = Readonly<{
  config: Config;
  secrets: Secrets;
  clock: Clock;
  database: Database;
  report: House['report'];
  log: OperationsDeps['log'];
}>;

/** Opens everything but the door, over a database that is open already. */
export async function openHouse({ config, secrets, clock, database, report: reportTo, log }: Opening): Promise<House> {
  const keys = await openKeyRing(keyRingDeps({ config, secrets, clock, database, report: reportTo }));
  const registry = await openRegistry(database, {
    hashSecret,
    recordOf: registryRecord(clock),
    now: () => clock.now(),
  });
  await activateFirst(readPolicyFiles(config.policies), { store: openPolicies(database, clock), registry });
  const operations = await openOperations({ config, database, registry, keys, report: reportTo, log });
  const { report } = operations;
  const behind = writesBehind(report);
  const decisionPoints = openDecisionPoints(config.decisionPoints, operations.decisionPoints);
  const inputs = openDecisionInputs(database, {
    ...{ clock, encryptionKeys: secrets.encryptionKeys, days: config.decisionInputDays },
    ...{ watch: operations.inputs, report },
  });
  const approvals = openApprovals(database, secrets.encryptionKeys);
  const feed = new Feed({
    ...{ issuer: config.issuer, keys, registry, watch: operations.feed },
    ...{ reader: openFeedReader(database), timeMs: () => performance.now() },
  });
  operations.feed.opened(feed);
  const flush = async (): Promise<void> => {
    await Promise.all([behind.flush(), inputs.flush()]);
  };
  const opened = { operations, decisionPoints, database, keys, registry, behind, inputs, approvals, feed };
  const remote = remoteKeys({ clock, allowLoopback: config.isLocal });
  return { config, secrets, clock, report, ...opened, remoteKeys: remote, flush };
}

export function keyRingDeps({
  config,
  secrets,
  clock,
  report,
  database,
}: Pick<House, 'config' | 'secrets' | 'clock' | 'report' | 'database'>): KeyRingDeps {
  const { userAccessTokenSeconds, transactionalAccessTokenSeconds, transactionTokenSeconds } = config.lifetimes;
  const longestToken = Math.max(userAccessTokenSeconds, transactionalAccessTokenSeconds, transactionTokenSeconds);
  const timing = { cache: config.lifetimes.keyCacheSeconds, longestToken, skew: config.limits.clockSkewSeconds };
  const { encryptionKeys } = secrets;
  return { store: openKeys(database, clock), encryptionKeys, timing, onFault: report };
}

/** A change of the registry as the log keeps it: before and after, without secrets. */
function registryRecord(clock: Clock): Parameters<typeof openRegistry>[1]['recordOf'] {
  return (change, before, by, version) => {
    const [was, is] = [copyJson(before), copyJson(change.object)];
    const facts = {
      what: change.kind,
      id: change.id,
      ...changeOf(was, is),
      secret_set: change.secretWasSet,
      by,
      registry: version,
    };
    return leafOf({ kind: 'registry', at: clock.now(), facts, decision: 'done', reason: 'changed' });
  };
}
