import { z } from 'zod';
import { Fault } from '../base/index.js';
import {
  Agent,
  makeSnapshot,
  McpServer,
  type RegisteredAgent,
  type RegisteredServer,
  type RegistrySnapshot,
  TrustedIssuer,
} from '../registry/index.js';
import { guarded } from './outage.js';
import type { Rows } from './statements.js';

/** The whole registry at one version. A row that this build cannot read is a Fault: left out, it would pass for removed. */
export async function readRegistry(rows: Rows): Promise<RegistrySnapshot> {
  for (let tried = 0; tried < TRIES; tried++) {
    const version = await readVersion(rows);
    const read = {
      agents: await readAll(rows, agents),
      servers: await readAll(rows, servers),
      issuers: await readAll(rows, issuers),
    };
    // The pages are of different moments; what changed while they were read is read again, all of one moment.
    const snapshot = await readChanges(rows, { version, policies: undefined, ...read });
    if (snapshot !== undefined) return snapshot;
  }
  throw new Fault('registry_unsettled', 'The registry kept changing while it was read.');
}

export async function readVersion(rows: Rows): Promise<number> {
  const read = await guarded(() => rows('SELECT version FROM registry_state WHERE id = 1', []));
  return z.tuple([z.object({ version: Version })]).parse(read)[0].version;
}

/**
 * The registry as it is now, from what is known of an earlier version and the objects that changed since. `undefined` when
 * that is not worth it or not to be known: a version that nobody described may have changed anything.
 */
export async function readChanges(rows: Rows, known: Known): Promise<RegistrySnapshot | undefined> {
  const [read] = Changes.parse(
    await guarded(() => rows(CHANGES, [known.version, known.policies?.hash ?? null, MAX_CHANGES + 1])),
  );
  const changed = read.agents.length + read.servers.length + read.issuers.length;
  if (read.described !== read.version - known.version || changed > MAX_CHANGES) return undefined;
  return makeSnapshot(read.version, {
    agents: merged(known.agents, read.agents, agents),
    servers: merged(known.servers, read.servers, servers),
    issuers: merged(known.issuers, read.issuers, issuers),
    policies: read.policy === known.policies?.hash ? known.policies : (read.policies ?? undefined),
  });
}

type Known = Pick<RegistrySnapshot, 'version' | 'policies' | 'agents' | 'servers' | 'issuers'>;

const TRIES = 10;
/** More objects than this are read page by page, so that neither a statement nor this process is busy with them for long. */
const MAX_CHANGES = 1_000;
const PAGE = 500;

const Version = z.coerce.number().int();
const Row = z.object({ id: z.string(), document: z.unknown(), secret_hash: z.string().nullish() });
type Row = z.infer<typeof Row>;
const Page = z.array(Row);
const Changes = z.tuple([
  z.object({
    version: Version,
    described: z.number().int(),
    agents: Page,
    servers: Page,
    issuers: Page,
    policy: z
      .string()
      .nullish()
      .transform((hash) => hash ?? undefined),
    policies: z
      .object({ hash: z.string(), files: z.array(z.object({ path: z.string(), text: z.string() })) })
      .nullable(),
  }),
]);

/** One table of the registry: how its pages are read, and what a row of it holds. */
type Kind<T> = Readonly<{ page: string; idOf(object: T): string; read(row: Row): T }>;

const agents: Kind<RegisteredAgent> = {
  page: pageOf('agent', 'client_id', 'secret_hash'),
  idOf: ({ client_id }) => client_id,
  read: (row) => ({ ...documentOf(Agent, 'agent', row), secretHash: row.secret_hash ?? undefined }),
};
const servers: Kind<RegisteredServer> = {
  page: pageOf('mcp_server', 'resource', 'secret_hash'),
  idOf: ({ resource }) => resource,
  read: (row) => ({ ...documentOf(McpServer, 'MCP server', row), secretHash: row.secret_hash ?? undefined }),
};
const issuers: Kind<TrustedIssuer> = {
  page: pageOf('trusted_issuer', 'issuer', 'NULL'),
  idOf: ({ issuer }) => issuer,
  read: (row) => documentOf(TrustedIssuer, 'trusted issuer', row),
};

/** Between two pages whatever else this process does has its turn. */
async function readAll<T>(rows: Rows, kind: Kind<T>): Promise<T[]> {
  const found: T[] = [];
  for (let after: string | undefined = ''; after !== undefined;) {
    const last: string = after;
    const page = Page.parse(await guarded(() => rows(kind.page, [last, PAGE])));
    found.push(...page.map(kind.read));
    after = page.length < PAGE ? undefined : page.at(-1)?.id;
  }
  return found.sort(inOrder(kind));
}

/** What is unchanged stays the same object, so whatever was worked out from it stays true. */
function merged<T>(known: Iterable<T>, changed: readonly Row[], kind: Kind<T>): readonly T[] {
  const { idOf, read } = kind;
  const anew = new Set(changed.map(({ id }) => id));
  const kept = [...known].filter((object) => !anew.has(idOf(object)));
  const written = changed.filter(({ document }) => document !== null).map(read);
  return [...kept, ...written].sort(inOrder(kind));
}

/** Every process has the same order, whatever the collation of its database. */
const inOrder =
  <T>({ idOf }: Kind<T>) =>
  (one: T, other: T): number =>
    idOf(one) < idOf(other) ? -1 : 1;

function documentOf<T>(schema: z.ZodType<T>, kind: string, { id, document }: Row): T {
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data;
  const problem = z.prettifyError(parsed.error);
  throw new Fault(
    'registry_unreadable',
    `The ${kind} ${id} in the database is not one that this build can read: ${problem}`,
  );
}

function pageOf(table: string, id: string, secret: string): string {
  return `
    SELECT ${id} AS id, document, ${secret} AS secret_hash FROM ${table}
    WHERE ${id} > $1::text ORDER BY ${id} LIMIT $2::int`;
}

/** The objects of one table that changed, as they are now; the document of one that is gone is null. */
const changedIn = (table: string, id: string, list: string, secret = 'o.secret_hash'): string => `
    (SELECT coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'document', o.document, 'secret_hash', ${secret})), '[]')
     FROM (SELECT DISTINCT unnest(${list}) AS id FROM change LIMIT $3::int) c LEFT JOIN ${table} o ON o.${id} = c.id)`;

/** One statement, so all of it is of one moment. */
const CHANGES = `
  WITH change AS (SELECT agents, servers, issuers FROM registry_change WHERE version > $1::bigint)
  SELECT version, (SELECT count(*) FROM change)::int AS described, policy,
    ${changedIn('agent', 'client_id', 'agents')} AS agents,
    ${changedIn('mcp_server', 'resource', 'servers')} AS servers,
    ${changedIn('trusted_issuer', 'issuer', 'issuers', 'NULL')} AS issuers,
    (SELECT jsonb_build_object('hash', hash, 'files', files) FROM policy_set
     WHERE hash = registry_state.policy AND hash IS DISTINCT FROM $2::text) AS policies
  FROM registry_state WHERE id = 1`;
