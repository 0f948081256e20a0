import { z } from 'zod';
import { Fault } from '../base/index.js';
import { Agent, makeSnapshot, McpServer, type RegistrySnapshot, TrustedIssuer } from '../registry/index.js';
import type { PrismaClient } from './generated/client.js';
import { guarded } from './outage.js';

/** The whole registry at one version. A row that this build cannot read is a Fault: left out, it would pass for removed. */
export async function readRegistry(prisma: PrismaClient): Promise<RegistrySnapshot> {
  const [rows] = Rows.parse(await guarded(() => prisma.$queryRawUnsafe(REGISTRY)));
  return makeSnapshot(rows.version, {
    agents: rows.agents.map((row) => ({
      ...documentOf(Agent, 'agent', row),
      secretHash: row.secret_hash ?? undefined,
    })),
    servers: rows.servers.map((row) => ({
      ...documentOf(McpServer, 'MCP server', row),
      secretHash: row.secret_hash ?? undefined,
    })),
    issuers: rows.issuers.map((row) => documentOf(TrustedIssuer, 'trusted issuer', row)),
    policies: rows.policies ?? undefined,
  });
}

export async function readVersion(prisma: PrismaClient): Promise<number> {
  const rows = await guarded(() => prisma.$queryRawUnsafe('SELECT version FROM registry_state WHERE id = 1'));
  return z.tuple([z.object({ version: Version })]).parse(rows)[0].version;
}

const Version = z.coerce.number().int();
const Row = z.object({ id: z.string(), document: z.unknown(), secret_hash: z.string().nullish() });
type Row = z.infer<typeof Row>;
const Rows = z.tuple([
  z.object({
    version: Version,
    agents: z.array(Row),
    servers: z.array(Row),
    issuers: z.array(Row),
    policies: z
      .object({ hash: z.string(), files: z.array(z.object({ path: z.string(), text: z.string() })) })
      .nullable(),
  }),
]);

function documentOf<T>(schema: z.ZodType<T>, kind: string, { id, document }: Row): T {
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data;
  const problem = z.prettifyError(parsed.error);
  throw new Fault(
    'registry_unreadable',
    `The ${kind} ${id} in the database is not one that this build can read: ${problem}`,
  );
}

/** One statement, so all of it is of one moment. */
const REGISTRY = `
  SELECT version,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('id', client_id, 'document', document, 'secret_hash', secret_hash) ORDER BY client_id), '[]') FROM agent) AS agents,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('id', resource, 'document', document, 'secret_hash', secret_hash) ORDER BY resource), '[]') FROM mcp_server) AS servers,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('id', issuer, 'document', document) ORDER BY issuer), '[]') FROM trusted_issuer) AS issuers,
    (SELECT jsonb_build_object('hash', hash, 'files', files) FROM policy_set WHERE hash = registry_state.policy) AS policies
  FROM registry_state WHERE id = 1`;
