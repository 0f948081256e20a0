import { z } from 'zod';
import { Fault, type Seconds } from '../base/index.js';
import { feedTarget } from '../protocol/index.js';
import {
  type Agent,
  cutOffs,
  isNarrowed,
  type McpServer,
  type RegistryChange,
  type TrustedIssuer,
} from '../registry/index.js';
import type { Prisma, PrismaClient } from './generated/client.js';
import { noteKeys } from './agent-key-notes.js';
import { noteRights } from './agent-rights.js';
import { beginReevaluation } from './reevaluations.js';
import { removeConsents } from './revocation-scopes.js';
import { revokeWithin } from './revocations.js';
import { endSessions, liveSessions, type SessionEnding, thinOut } from './session-tree.js';

/** A change as the log may know it: the secret is left out. `object` is absent when it was removed. */
export type RecordedChange = Readonly<{
  kind: RegistryChange['kind'];
  id: string;
  object: Agent | McpServer | TrustedIssuer | undefined;
  secretWasSet: boolean;
}>;

/** Makes the log record of a change; `before` is the document that it replaced, `version` the registry's new version. */
export type RecordOf = (
  change: RecordedChange,
  before: unknown,
  by: string,
  version: number,
) => Readonly<{ leaf: Uint8Array; leafHash: Uint8Array }>;

export type RegistryWriting = Readonly<{
  hashSecret(secret: string): Promise<string>;
  recordOf: RecordOf;
  now(): Seconds;
}>;

/**
 * One transaction: the new version, the rows, and one log record for each change. Answers the new version and what was cut
 * off, from which more may be derived.
 */
export async function writeRegistry(
  prisma: PrismaClient,
  { hashSecret, recordOf, now }: RegistryWriting,
  changes: readonly RegistryChange[],
  { by, basis }: Readonly<{ by: string; basis: number | undefined }>,
): Promise<Readonly<{ version: number; cutOff: readonly string[] }>> {
  const planned = await Promise.all(changes.map((change) => plan(change, hashSecret)));
  mustNameEachOnce(planned);
  const removed = removedAgents(planned);
  const ending = { by: 'registry', reason: 'agent removed', now: now() };
  await thinOut(prisma, { agents: removed }, ending);
  return unsettledByRace(
    prisma.$transaction(async (transaction) => {
      const version = await nextVersion(transaction, basis);
      const before = await documentsBefore(transaction, planned);
      for (const kind of TABLES)
        await writeRows(
          transaction,
          kind,
          planned.filter((change) => change.table === kind),
        );
      await noteKeys(transaction, changes);
      await noteRights(transaction, changes);
      const sessions = await endWhatWasGranted(transaction, removed, ending);
      await mustNotShareClientIds(transaction, planned);
      await describeVersion(transaction, version, planned);
      if (planned.some((change) => isNarrowed(before.get(keyOf(change)), change.recorded.object)))
        await beginReevaluation(transaction, version);
      const cutOff = planned.flatMap((change) => cutOffs(before.get(keyOf(change)), change.recorded.object));
      await revokeWithin(transaction, [...cutOff, ...sessions], by, CHANGED);
      const records = planned.map((change) => recordOf(change.recorded, before.get(keyOf(change)), by, version));
      await transaction.$executeRawUnsafe(
        INSERT_RECORDS,
        records.map(({ leaf }) => leaf),
        records.map(({ leafHash }) => leafHash),
      );
      return { version, cutOff };
    }),
  );
}

export const CHANGED = 'changed in the registry';

const TABLES = ['agent', 'server', 'issuer'] as const;
type Table = (typeof TABLES)[number];
type Planned = Readonly<{ table: Table; recorded: RecordedChange; secretHash: string | null }>;

async function plan(change: RegistryChange, hashSecret: RegistryWriting['hashSecret']): Promise<Planned> {
  const secret = 'secret' in change ? change.secret : undefined;
  const secretHash = secret === undefined ? null : await hashSecret(secret);
  const recorded = {
    kind: change.kind,
    id: idOf(change),
    object: objectOf(change),
    secretWasSet: secret !== undefined,
  };
  return { table: tableOf(change.kind), recorded, secretHash };
}

function idOf(change: RegistryChange): string {
  switch (change.kind) {
    case 'agent':
      return change.object.client_id;
    case 'server':
      return change.object.resource;
    case 'issuer':
      return change.object.issuer;
    case 'remove-agent':
    case 'remove-server':
    case 'remove-issuer':
      return change.id;
  }
}

const objectOf = (change: RegistryChange): RecordedChange['object'] => ('object' in change ? change.object : undefined);

function tableOf(kind: RegistryChange['kind']): Table {
  switch (kind) {
    case 'agent':
    case 'remove-agent':
      return 'agent';
    case 'server':
    case 'remove-server':
      return 'server';
    case 'issuer':
    case 'remove-issuer':
      return 'issuer';
  }
}

const keyOf = ({ table, recorded }: Planned): string => `${table} ${recorded.id}`;

function mustNameEachOnce(planned: readonly Planned[]): void {
  const twice = planned.map(keyOf).find((key, index, keys) => keys.indexOf(key) !== index);
  if (twice !== undefined) throw new Fault('internal', `One write changes the ${twice} twice.`);
}

const removedAgents = (planned: readonly Planned[]): readonly string[] =>
  planned.filter(({ recorded }) => recorded.kind === 'remove-agent').map(({ recorded }) => recorded.id);

/**
 * A client id that is given to somebody else later must not inherit consents, refresh tokens or sessions with it. Answers
 * what to number.
 */
async function endWhatWasGranted(
  transaction: Prisma.TransactionClient,
  agents: readonly string[],
  ending: SessionEnding,
): Promise<readonly string[]> {
  await removeConsents(transaction, { agents });
  return (await endSessions(transaction, await liveSessions(transaction, { agents }), ending)).map(feedTarget.session);
}

/** Its row lock makes writers take turns. */
async function nextVersion(transaction: Prisma.TransactionClient, basis: number | undefined): Promise<number> {
  const sql = `
    UPDATE registry_state SET version = version + 1 WHERE id = 1 AND version = coalesce($1::bigint, version)
    RETURNING version`;
  const [row] = z
    .array(z.object({ version: z.coerce.number().int() }))
    .parse(await transaction.$queryRawUnsafe(sql, basis ?? null));
  if (row === undefined) throw unsettled('The registry was changed while this change was checked.', undefined);
  return row.version;
}

async function documentsBefore(
  transaction: Prisma.TransactionClient,
  planned: readonly Planned[],
): Promise<Map<string, unknown>> {
  const rows = Before.parse(await transaction.$queryRawUnsafe(BEFORE, ...idsByTable(planned)));
  return new Map(rows.map(({ table, id, document }) => [`${table} ${id}`, document]));
}

const idsByTable = (planned: readonly Planned[]): readonly string[][] =>
  TABLES.map((table) => planned.filter((change) => change.table === table).map(({ recorded }) => recorded.id));

/** Says what a version changed, in the transaction that makes it; see readChanges. */
export async function describeVersion(
  transaction: Prisma.TransactionClient,
  version: number,
  planned: readonly Planned[] = [],
): Promise<void> {
  await transaction.$executeRawUnsafe(DESCRIBE, version, ...idsByTable(planned));
  await transaction.$executeRawUnsafe('DELETE FROM registry_change WHERE version <= $1::bigint', version - DESCRIBED);
}

/** So many versions are described; who is further behind reads the registry whole. */
const DESCRIBED = 1_000;

const DESCRIBE =
  'INSERT INTO registry_change (version, agents, servers, issuers) VALUES ($1::bigint, $2::text[], $3::text[], $4::text[])';

const Before = z.array(z.object({ table: z.enum(TABLES), id: z.string(), document: z.unknown() }));

async function writeRows(
  transaction: Prisma.TransactionClient,
  table: Table,
  changes: readonly Planned[],
): Promise<void> {
  const removed = changes.filter(({ recorded }) => recorded.object === undefined).map(({ recorded }) => recorded.id);
  if (removed.length > 0) await transaction.$executeRawUnsafe(SQL[table].remove, removed);
  const kept = changes.flatMap(({ recorded, secretHash }) =>
    recorded.object === undefined ? [] : [{ object: recorded.object, secretHash }],
  );
  if (kept.length === 0) return;
  const documents = kept.map(({ object }) => JSON.stringify(object));
  const hashes = table === 'issuer' ? [] : [kept.map(({ secretHash }) => secretHash)];
  await transaction.$executeRawUnsafe(SQL[table].upsert, documents, ...hashes);
}

/** Agents and MCP servers are clients alike: a name that two of them had would let one pass for the other. */
async function mustNotShareClientIds(
  transaction: Prisma.TransactionClient,
  planned: readonly Planned[],
): Promise<void> {
  const clientIds = planned.flatMap(({ recorded: { object } }) =>
    object !== undefined && 'client_id' in object ? [object.client_id] : [],
  );
  const shared = z
    .array(z.object({ client_id: z.string() }))
    .parse(await transaction.$queryRawUnsafe(SHARED_CLIENT_IDS, clientIds));
  if (shared[0] !== undefined)
    throw unsettled(`The client id ${shared[0].client_id} is an agent's and an MCP server's.`);
}

const unsettled = (message: string, cause?: unknown): Fault => new Fault('registry_unsettled', message, { cause });

/** Rules were checked against a snapshot: another writer may have been faster. */
async function unsettledByRace<T>(writing: Promise<T>): Promise<T> {
  try {
    return await writing;
  } catch (error) {
    if (!UniqueViolation.safeParse(error).success) throw error;
    throw unsettled('Another object of the registry has this client id.', error);
  }
}

const UniqueViolation = z.object({
  meta: z.object({
    driverAdapterError: z.object({ cause: z.object({ kind: z.literal('UniqueConstraintViolation') }) }),
  }),
});

const INSERT_RECORDS = `
  INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
  SELECT leaf, leaf_hash, 'registry', '{}' FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS t(leaf, leaf_hash, n) ORDER BY n`;

const SHARED_CLIENT_IDS = `
  SELECT client_id FROM agent JOIN mcp_server USING (client_id) WHERE client_id = ANY ($1::text[]) LIMIT 1`;

const BEFORE = `
  SELECT 'agent' AS "table", client_id AS id, document FROM agent WHERE client_id = ANY ($1::text[])
  UNION ALL SELECT 'server', resource, document FROM mcp_server WHERE resource = ANY ($2::text[])
  UNION ALL SELECT 'issuer', issuer, document FROM trusted_issuer WHERE issuer = ANY ($3::text[])`;

/** Without a new secret the old one stays, unless the client no longer has one. */
const secretHashOf = (table: string): string => `
  CASE WHEN excluded.document #>> '{authentication,method}' = 'private_key_jwt' THEN NULL
       ELSE coalesce(excluded.secret_hash, ${table}.secret_hash) END`;

const SQL: Record<Table, Readonly<{ remove: string; upsert: string }>> = {
  agent: {
    remove: 'DELETE FROM agent WHERE client_id = ANY ($1::text[])',
    upsert: `
      INSERT INTO agent (client_id, status, document, secret_hash)
      SELECT d ->> 'client_id', d ->> 'status', d, hash FROM unnest($1::text[]::jsonb[], $2::text[]) AS t(d, hash)
      ON CONFLICT (client_id) DO UPDATE
      SET status = excluded.status, document = excluded.document, secret_hash = ${secretHashOf('agent')}, updated_at = now()`,
  },
  server: {
    remove: 'DELETE FROM mcp_server WHERE resource = ANY ($1::text[])',
    upsert: `
      INSERT INTO mcp_server (resource, client_id, status, document, secret_hash, outcomes_since)
      SELECT d ->> 'resource', d ->> 'client_id', d ->> 'status', d, hash, CASE WHEN d -> 'reports_outcomes' = 'true' THEN now() END
      FROM unnest($1::text[]::jsonb[], $2::text[]) AS t(d, hash)
      ON CONFLICT (resource) DO UPDATE
      SET client_id = excluded.client_id, status = excluded.status, document = excluded.document,
          secret_hash = ${secretHashOf('mcp_server')}, updated_at = now(),
          outcomes_since = CASE WHEN excluded.outcomes_since IS NOT NULL THEN coalesce(mcp_server.outcomes_since, now()) END`,
  },
  issuer: {
    remove: 'DELETE FROM trusted_issuer WHERE issuer = ANY ($1::text[])',
    upsert: `
      INSERT INTO trusted_issuer (issuer, status, document)
      SELECT d ->> 'issuer', d ->> 'status', d FROM unnest($1::text[]::jsonb[]) AS t(d)
      ON CONFLICT (issuer) DO UPDATE SET status = excluded.status, document = excluded.document, updated_at = now()`,
  },
};
