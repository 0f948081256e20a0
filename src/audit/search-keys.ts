import { isObject, type Json, type JsonObject, sha256 } from '../protocol/index.js';
import type { RecordKind } from './record.js';

/** A record as far as searching looks at it; `txn` is what stands beside it where it is stored. */
export type Searched = Readonly<{
  kind: RecordKind;
  at: number;
  facts: JsonObject;
  decision: string;
  session: string | null;
  txn: string | null;
}>;

/** What a record is found by. */
export function searchKeys({ kind, at, facts, decision, session, txn }: Searched): ReadonlySet<string> {
  const servers = [urlOf(facts['server']), urlOf(resourceOf(facts['target']))].filter((one) => one !== undefined);
  return new Set([
    `kind:${kind}`,
    `decision:${decision}`,
    hourKey(at),
    ...texts(session).map((id) => `session:${id}`),
    ...[...texts(txn), ...texts(facts['txn'])].map(txnKey),
    ...texts(facts['person']).map((id) => `person:${id}`),
    ...agentsOf(kind, facts).map((id) => `agent:${id}`),
    ...servers.map((resource) => `server:${resource}`),
    ...(kind === 'registry' ? registered(facts) : []),
    ...toolsOf(facts).flatMap((tool) => [`tool:${tool}`, ...servers.map((resource) => `tool:${resource}#${tool}`)]),
  ]);
}

/** Records of decisions have the digest of a transaction, and all others can be found by it. */
export const txnKey = (txn: string): string => `txn:${/^[\w-]{43}$/.test(txn) ? txn : sha256(txn)}`;

/** The hour of a time, so that the keys of hours sort as time does. */
export const hourKey = (at: number): string => `hour:${String(Math.floor(at / 3_600)).padStart(9, '0')}`;

/** Whom the permit of the token was for also finds what became of the token. */
export const inheritedKeys = (permit: Searched): readonly string[] =>
  [...searchKeys(permit)].filter((key) => /^(person|agent|server):/.test(key));

const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);

const listOf = (value: Json | undefined): readonly Json[] => (isList(value) ? value : []);

const texts = (value: Json | undefined): readonly string[] =>
  typeof value === 'string' ? [value] : listOf(value).flatMap(texts);

const urlOf = (value: Json | undefined): string | undefined => texts(value)[0];

const member = (value: Json | undefined, name: string): Json | undefined => (isObject(value) ? value[name] : undefined);

const resourceOf = (target: Json | undefined): Json | undefined => member(target, 'resource');

function agentsOf(kind: RecordKind, facts: JsonObject): readonly string[] {
  const actors = listOf(facts['actors']).flatMap((actor) => texts(member(actor, 'sub')));
  const { client } = facts;
  const asking = member(client, 'kind') === 'agent' ? texts(member(client, 'id')) : [];
  const granted = kind === 'grant' || kind === 'authentication' ? texts(client) : [];
  return [...actors, ...asking, ...granted, ...texts(facts['agents']), ...texts(member(facts['target'], 'clientId'))];
}

function toolsOf(facts: JsonObject): readonly string[] {
  const named = listOf(facts['tools']).flatMap((tool) => texts(member(tool, 'name')));
  return [...named, ...texts(facts['tool'])];
}

function registered({ what, id }: JsonObject): readonly string[] {
  const [kind] = texts(what).map((text) => text.replace(/^remove-/, ''));
  return kind === 'agent' || kind === 'server' ? texts(id).map((text) => `${kind}:${text}`) : [];
}
