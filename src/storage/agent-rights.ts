import type { RegistryChange } from '../registry/index.js';
import type { Prisma } from './generated/client.js';

/** What each of these agents may do, right by right; of all tools of a server each that it has now. What is of no server has no resource. */
const granted = (agents: string): string => `
  SELECT a.client_id, c ->> 'resource' AS resource, r.kind, r.name
  FROM ${agents} a
  CROSS JOIN LATERAL jsonb_array_elements(coalesce(a.document -> 'allow', '[]')) c
  CROSS JOIN LATERAL (
    SELECT 'server' AS kind, '' AS name
    UNION ALL SELECT 'scope', s FROM jsonb_array_elements_text(c -> 'scopes') s
    UNION ALL SELECT 'tool', t FROM jsonb_array_elements_text(CASE WHEN jsonb_typeof(c -> 'tools') = 'array' THEN c -> 'tools' ELSE '[]' END) t
    UNION ALL SELECT 'tool', t ->> 'name' FROM mcp_server m CROSS JOIN LATERAL jsonb_array_elements(m.document -> 'tools') t
    WHERE c -> 'tools' = '"*"' AND m.resource = c ->> 'resource'
  ) r
  UNION ALL SELECT a.client_id, '', 'hand_over', heir
  FROM ${agents} a CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(a.document -> 'hand_over_to', '[]')) heir
  UNION ALL SELECT a.client_id, '', 'domain', '' FROM ${agents} a WHERE a.document -> 'transaction_tokens' = 'true'`;

/** In the transaction that writes the registry: since when agents have their rights. One that is taken is forgotten. */
export async function noteRights(
  transaction: Prisma.TransactionClient,
  changes: readonly RegistryChange[],
): Promise<void> {
  const agents = changes.flatMap((change) =>
    change.kind === 'agent' ? [change.object.client_id] : change.kind === 'remove-agent' ? [change.id] : [],
  );
  const servers = changes.flatMap((change) => (change.kind === 'server' ? [change.object.resource] : []));
  if (agents.length === 0 && servers.length === 0) return;
  await transaction.$executeRawUnsafe(LOCK, agents, servers);
  await transaction.$executeRawUnsafe(NOTE, agents, servers);
}

const AFFECTED = `
  SELECT unnest($1::text[]) AS client_id
  UNION SELECT a.client_id FROM agent a CROSS JOIN LATERAL jsonb_array_elements(coalesce(a.document -> 'allow', '[]')) c
  WHERE cardinality($2::text[]) > 0 AND c ->> 'resource' = ANY($2::text[]) AND c -> 'tools' = '"*"'`;

/** In the order in which uses are counted, so that neither waits for the other for good. */
const LOCK = `
  SELECT 1 FROM agent_right WHERE client_id IN (${AFFECTED}) ORDER BY client_id, resource, kind, name FOR UPDATE`;

const NOTE = `
  WITH affected AS (${AFFECTED}),
  given AS (${granted('(SELECT client_id, document FROM agent WHERE client_id IN (SELECT client_id FROM affected))')}),
  gone AS (
    DELETE FROM agent_right r WHERE r.client_id IN (SELECT client_id FROM affected) AND NOT EXISTS (
      SELECT 1 FROM given g WHERE g.client_id = r.client_id AND g.resource = r.resource AND g.kind = r.kind AND g.name = r.name)
  )
  INSERT INTO agent_right (client_id, resource, kind, name) SELECT client_id, resource, kind, name FROM given
  ORDER BY client_id, resource, kind, name ON CONFLICT DO NOTHING`;
