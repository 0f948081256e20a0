import type { Seconds } from '../base/index.js';
import { type Jwks, thumbprint } from '../protocol/index.js';
import type { Agent, Authentication, NamedKey } from '../registry/index.js';
import type { Contents } from './contents.js';

/** Those of the keys known of a client that it still has. What is published by URL is known from its use, until it is too old. */
export function keysInUse(
  { authentication }: Readonly<{ authentication: Authentication }>,
  known: readonly NamedKey[],
): readonly NamedKey[] {
  if (authentication.method !== 'private_key_jwt') return [];
  const registered = authentication.jwks && new Set(thumbprints(authentication.jwks));
  return known.filter(({ thumbprint: key, retiresAt }) => retiresAt === undefined && registered?.has(key) !== false);
}

/** OWASP NHI9: with whom each active agent shares a key, wherever that is published. */
export function sharedKeys(
  agents: readonly Agent[],
  { server, issuer }: Pick<Contents, 'server' | 'issuer'>,
  keysOf: (client: string) => readonly NamedKey[],
  youngerThan: Seconds,
): ReadonlyMap<string, readonly string[]> {
  const holders = new Map<string, Set<string>>();
  const hold = (key: string, holder: string): unknown => holders.set(key, (holders.get(key) ?? new Set()).add(holder));
  const theirs = agents.map((agent) => {
    const inUse = keysInUse(agent, keysOf(agent.client_id)).filter(({ since }) => since > youngerThan);
    return { id: agent.client_id, keys: inUse.map((key) => key.thumbprint) };
  });
  for (const { id, keys } of theirs) for (const key of keys) hold(key, `agent ${id}`);
  for (const { resource, authentication } of server.values())
    if (authentication.method === 'private_key_jwt')
      for (const key of thumbprints(authentication.jwks)) hold(key, `server ${resource}`);
  for (const { issuer: id, jwks } of issuer.values()) for (const key of thumbprints(jwks)) hold(key, `issuer ${id}`);
  return new Map(
    theirs.map(({ id, keys }) => {
      const all = new Set(keys.flatMap((key) => [...(holders.get(key) ?? [])]));
      return [id, [...all].filter((holder) => holder !== `agent ${id}`).sort()];
    }),
  );
}

const thumbprints = (jwks: Jwks | undefined): readonly string[] => (jwks?.keys ?? []).map((key) => thumbprint(key));
