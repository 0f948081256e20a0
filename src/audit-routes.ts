import {
  bundleRoute,
  calmTree,
  eventsRoute,
  exportRoute,
  findingsRoute,
  follow,
  type Following,
  readerDigests,
  retention,
  type ReadingDeps,
  schemaRoute,
  sessionClosesAfter,
  transactionRoute,
  treeRoutes,
  webhook,
} from './audit/index.js';
import type { Clock } from './base/index.js';
import type { Config } from './config/index.js';
import type { Route } from './http/index.js';
import {
  type Database,
  openAccessLog,
  openEntryFinder,
  openEventFinder,
  openFindings,
  openLog,
  openLogConsumers,
  openLogIndex,
  openOutcomes,
  openPersonNames,
  openRetention,
  openTreeReader,
  thinCheckpoints,
} from './storage/index.js';

/** What the routes of the log are made of. */
export type AuditParts = Readonly<{
  config: Pick<Config, 'issuer' | 'auditToken' | 'lifetimes'>;
  database: Database;
  clock: Clock;
  adminToken: string;
  failures: ReadingDeps['failures'];
}>;

/** The path below which the log owns every request. */
export const auditPrefix = (issuer: string): string => `${mountOf(issuer)}/audit/v1`;

/** Anybody may ask for the tree, so it gets a small part of the connections to the database. */
const CALM = { atOnce: 2, waiting: 128 } as const;

/** Everything below `/audit/v1`; what only auditors and administrators may ask is made by `auditRoute`. */
export function auditRoutes({ config, database, clock, adminToken, failures }: AuditParts): readonly Route[] {
  const readings: ReadingDeps = {
    mount: mountOf(config.issuer),
    digests: readerDigests({ audit: config.auditToken, admin: adminToken }),
    access: openAccessLog(database, clock),
    failures,
  };
  const { mount } = readings;
  const bundles = { tree: openTreeReader(database), finder: openEntryFinder(database) };
  const closesAfter = sessionClosesAfter(config);
  const events = openEventFinder(database);
  const findings = openFindings(database, openOutcomes(database, clock, closesAfter), closesAfter);
  return [
    schemaRoute(mount, config.issuer),
    eventsRoute(events, readings),
    exportRoute(events, readings),
    transactionRoute({ log: openLog(database), events, findings }, readings),
    bundleRoute({ ...bundles, names: openPersonNames(database, clock), events }, clock, readings),
    ...treeRoutes(calmTree(bundles.tree, CALM), config.issuer, readings),
    findingsRoute(findings, readings),
  ];
}

const mountOf = (issuer: string): string => new URL(issuer).pathname.replace(/\/$/, '');

type Followed = Pick<AuditParts, 'database' | 'clock'> &
  Pick<Following, 'report'> &
  Readonly<{
    config: Pick<Config, 'auditWebhookUrl' | 'auditWebhookSecret' | 'logRetentionDays'>;
    operations: Readonly<{
      retention: Readonly<{ pruned(records: number): void; webhookMissed(records: number): void }>;
      logFollower(name: string): () => void;
    }>;
  }>;

/** What follows the tree for as long as this process runs. Answers how to stop. */
export function followLog({ config, database, clock, report, operations }: Followed): () => Promise<void> {
  const index = openLogIndex(database);
  const stops = [
    follow(() => index.step(), { everyMs: 500, report }),
    follow(thinCheckpoints(database), { everyMs: 60_000, report }),
  ];
  const { auditWebhookUrl: url, auditWebhookSecret: secret, logRetentionDays: days } = config;
  if (url !== undefined && secret !== undefined) {
    const [events, consumers] = [openEventFinder(database), openLogConsumers(database)];
    const onMissed = operations.retention.webhookMissed;
    const onThrough = operations.logFollower('webhook');
    const step = webhook({ url, secret, events, consumers, clock, onMissed });
    stops.push(follow(step, { everyMs: 500, report, onThrough }));
  }
  if (days !== undefined) {
    const step = retention({ store: openRetention(database, clock), days, onPruned: operations.retention.pruned });
    stops.push(follow(step, { everyMs: 2_000, report }));
  }
  return async () => {
    await Promise.all(stops.map((stop) => stop()));
  };
}
