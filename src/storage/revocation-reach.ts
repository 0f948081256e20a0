import { z } from 'zod';
import { feedTarget, PublicJwk, sha256, thumbprint } from '../protocol/index.js';
import { personNameOf } from '../registry/index.js';
import type { RevocationTarget } from '../session/index.js';
import type { Prisma } from './generated/client.js';

/** What one revocation takes with it. The first of `targets` is what it is about. */
export type Reach = Readonly<{
  targets: readonly [string, ...string[]];
  sessions?: readonly string[];
  /** All sessions and consents of these. */
  agents?: readonly string[];
  persons?: readonly string[];
}>;

type Transaction = Prisma.TransactionClient;

/** What there is to revoke; `undefined` when nobody knows it. */
export async function reachOf(transaction: Transaction, target: RevocationTarget): Promise<Reach | undefined> {
  const { kind, id } = target;
  const words = (sql: string, ...values: unknown[]): Promise<readonly string[]> => wordsOf(transaction, sql, values);
  const [place = '', part = ''] = splitLast(id);
  switch (kind) {
    case 'token':
      return { targets: await tokenTargets(words, id) };
    case 'transaction':
      return known(await words(`SELECT txn AS word FROM log_leaf WHERE txn = $1 LIMIT 1`, id), () => ({
        targets: [feedTarget.transaction(id)],
      }));
    case 'session':
      return known(await words(`SELECT id AS word FROM agent_session WHERE id = $1`, id), () => ({
        targets: [feedTarget.session(id)],
        sessions: [id],
      }));
    case 'agent':
      return known(await words(AGENT, id), () => ({ targets: [feedTarget.agent(id)], agents: [id] }));
    case 'owner':
      return ownerReach(words, id);
    case 'person':
      return known(await words(`SELECT id AS word FROM person WHERE id = $1`, id), () => ({
        targets: [feedTarget.person(id)],
        persons: [id],
      }));
    case 'issuer':
      return issuerReach(words, id);
    case 'server':
      return known(await words(SERVER, id), ([clientId = '']) => ({
        targets: [feedTarget.server(id), feedTarget.agent(clientId)],
      }));
    case 'tool':
      return known(await words(TOOL, place, part), () => ({ targets: [feedTarget.tool(place, part)] }));
    case 'agent_key':
      return known(await keysOf(transaction, place, part), () => ({
        targets: [`agent-key:${part}`, feedTarget.agent(place)],
      }));
  }
}

type Words = (sql: string, ...values: unknown[]) => Promise<readonly string[]>;

/** An owner is kept by id, and may be named as the issuer knows them. */
async function ownerReach(words: Words, owner: string): Promise<Reach | undefined> {
  const name = personNameOf(owner);
  const [person = owner] = name?.by === 'subject' ? await words(PERSON, name.issuer, name.subject) : [];
  return known(await words(OWNED, person), (agents) => ({
    targets: [`owner:${person}`, ...agents.map(feedTarget.agent)],
    agents,
  }));
}

async function issuerReach(words: Words, issuer: string): Promise<Reach | undefined> {
  const persons = await words(`SELECT id AS word FROM person WHERE issuer = $1`, issuer);
  const isTrusted = await words(`SELECT issuer AS word FROM trusted_issuer WHERE issuer = $1`, issuer);
  if (persons.length + isTrusted.length === 0) return undefined;
  return { targets: [`issuer:${issuer}`], persons };
}

/** The thumbprint (RFC 7638), if it is of a key of this agent, or of one whose keys are elsewhere. */
async function keysOf(transaction: Transaction, clientId: string, wanted: string): Promise<readonly string[]> {
  const rows = Keys.parse(await transaction.$queryRawUnsafe(KEYS, clientId, wanted));
  const isKey = rows.some(
    ({ keys, known }) => known || (keys === null ? /^[\w-]{43}$/.test(wanted) : keys.map(thumbprint).includes(wanted)),
  );
  return isKey ? [wanted] : [];
}

const Keys = z.array(z.object({ keys: z.array(PublicJwk).nullable(), known: z.boolean() }));
/** `known`: a key that it had before, too. */
const KEYS = `
  SELECT document #> '{authentication,jwks,keys}' AS keys,
    EXISTS (SELECT 1 FROM agent_key WHERE agent_key.client_id = $1 AND agent_key.thumbprint = $2) AS known
  FROM agent WHERE client_id = $1 AND document #>> '{authentication,method}' = 'private_key_jwt'`;

const known = (found: readonly string[], reach: (found: readonly string[]) => Reach): Reach | undefined =>
  found.length === 0 ? undefined : reach(found);

const wordsOf = async (transaction: Transaction, sql: string, values: readonly unknown[]): Promise<readonly string[]> =>
  z
    .array(z.object({ word: z.string() }))
    .parse(await transaction.$queryRawUnsafe(sql, ...values))
    .map(({ word }) => word);

/**
 * A hash of a `jti` has 43 characters, and so has the `jti` of a person's token, which the engine makes: where the log does
 * not know it as the one, it may be either, and to number a token that there is not harms nobody.
 */
async function tokenTargets(words: Words, id: string): Promise<Reach['targets']> {
  const [named, hashed] = [`token:${id}`, `token:${sha256(id)}`] as const;
  if (!/^[\w-]{43}$/.test(id)) return [hashed];
  return (await words(LOGGED, id)).length > 0 ? [named] : [hashed, named];
}

const LOGGED = `SELECT token_hash AS word FROM log_leaf WHERE token_hash = $1 LIMIT 1`;

/** `<resource>#<tool>`, `<client id>#<thumbprint>`: neither tools nor thumbprints have a `#`. */
function splitLast(id: string): readonly string[] {
  const at = id.lastIndexOf('#');
  return at < 0 ? [] : [id.slice(0, at), id.slice(at + 1)];
}

const AGENT = `SELECT client_id AS word FROM agent WHERE client_id = $1`;
const PERSON = `SELECT id AS word FROM person WHERE issuer = $1 AND subject = $2`;
const OWNED = `SELECT client_id AS word FROM agent WHERE document ->> 'owner' = $1`;
const SERVER = `SELECT client_id AS word FROM mcp_server WHERE resource = $1`;
const TOOL = `
  SELECT resource AS word FROM mcp_server
  WHERE resource = $1 AND document -> 'tools' @> jsonb_build_array(jsonb_build_object('name', $2::text))`;
