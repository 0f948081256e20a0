import { isObject, type Json, type JsonObject } from '../protocol/index.js';
import type { RecordKind } from './record.js';

/** A record as far as searching looks at it. `token`: the hash of the token that it is about, when it is about one. */
export type Searched = Readonly<{ kind: RecordKind; at: number; facts: JsonObject; decision: string }>;

/** What a record is found by. Session and transaction are columns of the leaf. */
export function searchKeys({ kind, at, facts, decision }: Searched): ReadonlySet<string> {
  const servers = [urlOf(facts['server']), urlOf(resourceOf(facts['target']))].filter((one) => one !== undefined);
  return new Set([
    `kind:${kind}`,
    `decision:${decision}`,
    hourKey(at),
    ...texts(facts['person']).map((id) => `person:${id}`),
    ...agentsOf(kind, facts).map((id) => `agent:${id}`),
    ...servers.map((resource) => `server:${resource}`),
    ...(kind === 'registry' ? registered(facts) : []),
    ...toolsOf(facts).flatMap((tool) => [`tool:${tool}`, ...servers.map((resource) => `tool:${resource}#${tool}`)]),
  ]);
}

/** The hour of a time, so that the keys of hours sort as time does. */
export const hourKey = (at: number): string => `hour:${String(Math.floor(at / 3_600)).padStart(9, '0')}`;

/** Whom the permit of the token was for also finds what became of the token. */
export const inheritedKeys = (permit: Searched): readonly string[] =>
  [...searchKeys(permit)].filter((key) => /^(person|agent|server):/.test(key));

const texts = (value: Json | undefined): readonly string[] =>
  typeof value === 'string' ? [value] : Array.isArray(value) ? value.flatMap(texts) : [];

const urlOf = (value: Json | undefined): string | undefined => texts(value)[0];

const member = (value: Json | undefined, name: string): Json | undefined =>
  isObject(value) ? value[name] : undefined;

const resourceOf = (target: Json | undefined): Json | undefined => member(target, 'resource');

function agentsOf(kind: RecordKind, facts: JsonObject): readonly string[] {
  const actors = Array.isArray(facts['actors']) ? facts['actors'].flatMap((actor) => texts(member(actor, 'sub'))) : [];
  const { client } = facts;
  const asking = member(client, 'kind') === 'agent' ? texts(member(client, 'id')) : [];
  const granted = kind === 'grant' || kind === 'authentication' ? texts(client) : [];
  return [...actors, ...asking, ...granted, ...texts(facts['agents']), ...texts(member(facts['target'], 'clientId'))];
}

function toolsOf(facts: JsonObject): readonly string[] {
  const named = Array.isArray(facts['tools']) ? facts['tools'].flatMap((tool) => texts(member(tool, 'name'))) : [];
  return [...named, ...texts(facts['tool'])];
}

function registered({ what, id }: JsonObject): readonly string[] {
  const [kind] = texts(what).map((text) => text.replace(/^remove-/, ''));
  return kind === 'agent' || kind === 'server' ? texts(id).map((text) => `${kind}:${text}`) : [];
}
