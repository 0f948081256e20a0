import { z } from 'zod';
import { err, Fault, ok, type Result, type Seconds } from '../base/index.js';
import {
  type Answer,
  type FormRequest,
  importKey,
  JWT_BEARER_ASSERTION,
  KEY_ROTATION_PATH,
  parseJws,
  PublicJwk,
  thumbprint,
  Typ,
  verifySignature,
} from '../protocol/index.js';
import {
  Agent,
  type RegisteredAgent,
  type RegistrySnapshot,
  type RegistryWriter,
  type TrustedIssuer,
} from '../registry/index.js';
import { asClient, type AsClientDeps } from './as-client.js';
import { MAX_ASSERTION_LIFE } from './assertion.js';
import type { Caller } from './caller.js';
import type { Spending } from './spending.js';

export type RotationDeps = Omit<AsClientDeps, 'instead'> &
  Readonly<{
    writer: RegistryWriter;
    states: Spending;
    /** How long the old key is taken beside the new one. */
    keyOverlap: Seconds;
  }>;

/**
 * `POST /agents/v1/keys`, in the manner of RFC 8555 section 7.3.5: what the old key signs holds what the new key signs, and
 * each names the other. The agent is authenticated by the former, so no more is asked of it, and the latter proves that it
 * has the new key. The old one is taken for a while, and rotates no other key.
 */
export function rotationEndpoint(http: FormRequest, deps: RotationDeps): Promise<Answer> {
  const audience = `${deps.settings.issuer}${KEY_ROTATION_PATH}`;
  const signed = http.form.get('rotation') ?? [];
  if (signed.length !== 1 || http.form.size !== 1)
    return Promise.resolve(refused('rotation must be sent once, and nothing beside it'));
  const instead = { typ: Typ.keyRotation, audience };
  return asClient(asAssertion(http, signed), KEY_ROTATION_PATH, { ...deps, instead }, async (caller, registry, now) => {
    const { requestId } = http;
    const basis = { requestId, registryVersion: registry.version, tokenHash: undefined, consume: undefined };
    const state = await deps.states.ask({ ...basis, spends: caller.spends });
    if (state.registryVersion !== registry.version) return 'stale';
    if (state.replayed) return 'replayed';
    const fresh = newKeyIn(signed[0] ?? '', { caller, audience, now, skew: deps.settings.skew });
    if (!fresh.ok) return fresh.error;
    return rotate(fresh.value, caller, { registry, now, deps });
  });
}

/** The credential of this route is the rotation itself. */
const asAssertion = (http: FormRequest, rotation: readonly string[]): FormRequest => ({
  ...http,
  form: new Map([
    ['client_assertion', rotation],
    ['client_assertion_type', [JWT_BEARER_ASSERTION]],
  ]),
});

const NewKey = z.looseObject({
  iss: z.string(),
  aud: z.string(),
  old_key: z.string(),
  iat: z.number().int(),
  exp: z.number().int(),
});

type Asked = Readonly<{ caller: Caller; audience: string; now: Seconds; skew: Seconds }>;

/** RFC 8555 section 7.3.5: the inner JWS shows the new public key in `jwk`, verifies with it, and names client and old key. */
function newKeyIn(rotation: string, { caller, audience, now, skew }: Asked): Result<PublicJwk, Answer> {
  const outer = parseJws(rotation);
  const text = outer.ok ? outer.value.payload['new_key'] : undefined;
  const inner = typeof text === 'string' ? parseJws(text) : undefined;
  if (inner?.ok !== true || inner.value.typ !== Typ.newKey)
    return err(refused('new_key must be a JWS of type new-key+jwt'));
  const jwk = PublicJwk.safeParse(inner.value.header['jwk']);
  const key = jwk.success ? importKey(jwk.data) : undefined;
  if (!jwk.success || key?.ok !== true) return err(refused('jwk of new_key must be a usable public key'));
  if (!verifySignature(inner.value, key.value)) return err(refused('new_key is not signed by the key that it shows'));
  const claims = NewKey.safeParse(inner.value.payload);
  if (!claims.success) return err(refused('new_key must have iss, aud, old_key, iat and exp'));
  const { iss, aud, old_key: old, iat, exp } = claims.data;
  if (iss !== caller.clientId || aud !== audience || old !== caller.keyThumbprint)
    return err(refused('new_key is for another client, key or server'));
  if (exp <= now - skew || iat > now + skew || exp - iat > MAX_ASSERTION_LIFE)
    return err(refused('new_key is not of now'));
  return ok(jwk.data);
}

type Rotating = Readonly<{ registry: RegistrySnapshot; now: Seconds; deps: RotationDeps }>;

async function rotate(
  fresh: PublicJwk,
  { party, clientId, keyThumbprint: old = '' }: Caller,
  { registry, now, deps }: Rotating,
): Promise<Answer | 'stale'> {
  if (party.kind !== 'agent') return unauthorized('only an agent rotates its key');
  const { agent } = party;
  const { authentication } = agent;
  if (authentication.method !== 'private_key_jwt' || authentication.jwks === undefined)
    return refused('the keys of this client are published at its jwks_uri; publish the new one there');
  // DANGER: whoever stole a key that was revoked must not have another one for it. The write looks again.
  if (await deps.agentKeys.isRevoked(old))
    return refused('the key of this client was revoked; have an administrator register a new one');
  const wanted = thumbprint(fresh);
  const isThere = authentication.jwks.keys.some((key) => thumbprint(key) === wanted);
  const { retiresAt } = await deps.agentKeys.lifeOf(agent, old);
  // The answer to the first was lost, and the agent asks again.
  if (retiresAt !== undefined && isThere && wanted !== old) return rotated(clientId, { wanted, old, retiresAt });
  if (retiresAt !== undefined)
    return refused('this key was rotated out already; rotate with the one that took its place');
  const keys = await keysAfter(fresh, agent, { registry, now, deps });
  if (!keys.ok) return keys.error;
  const object = {
    ...Agent.strip().parse(agent),
    authentication: { ...authentication, jwks: { keys: [...keys.value] } },
  };
  const retires = { thumbprint: old, overlap: deps.keyOverlap };
  try {
    await deps.writer.write([{ kind: 'agent', object, retires }], clientId, registry.version);
  } catch (thrown) {
    // Another writer was faster: who that was, and whether this key may still rotate, is looked at anew.
    if (thrown instanceof Fault && thrown.code === 'registry_unsettled') return 'stale';
    throw thrown;
  }
  return rotated(clientId, { wanted, old, retiresAt: now + deps.keyOverlap });
}

/** What is registered after the rotation: without what was rotated out earlier and is over. */
async function keysAfter(
  fresh: PublicJwk,
  agent: RegisteredAgent,
  { registry, now, deps }: Rotating,
): Promise<Result<readonly PublicJwk[], Answer>> {
  const wanted = thumbprint(fresh);
  if (isElsewhere(wanted, agent, registry))
    return err(refused('new_key is the key of somebody else; everyone needs a key of their own'));
  if ((await deps.agentKeys.lifeOf(agent, wanted)).retiresAt !== undefined)
    return err(refused('new_key was rotated out before; make a fresh one'));
  const kept: PublicJwk[] = [];
  for (const key of inline(agent)) {
    const { retiresAt } = await deps.agentKeys.lifeOf(agent, thumbprint(key));
    if (retiresAt === undefined || retiresAt > now) kept.push(key);
  }
  if (kept.some((key) => thumbprint(key) === wanted))
    return err(refused('new_key is registered already; make a fresh one'));
  if (fresh.kid !== undefined && kept.some(({ kid }) => kid === fresh.kid))
    return err(refused('new_key has the kid of another key'));
  return kept.length < 32 ? ok([...kept, fresh]) : err(refused('this client has as many keys as it may have'));
}

const inline = (client: Pick<RegisteredAgent, 'authentication'>): readonly PublicJwk[] =>
  client.authentication.method === 'private_key_jwt' ? (client.authentication.jwks?.keys ?? []) : [];

/** OWASP NHI9. */
function isElsewhere(wanted: string, agent: RegisteredAgent, { agents, servers, issuers }: RegistrySnapshot): boolean {
  const has = (keys: readonly PublicJwk[]): boolean => keys.some((key) => thumbprint(key) === wanted);
  const ofIssuer = ({ jwks }: TrustedIssuer): readonly PublicJwk[] => jwks?.keys ?? [];
  return (
    [...agents].some((other) => other.client_id !== agent.client_id && has(inline(other))) ||
    [...servers].some((server) => has(inline(server))) ||
    [...issuers].some((issuer) => has(ofIssuer(issuer)))
  );
}

const HEADERS = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;

const rotated = (
  clientId: string,
  { wanted, old, retiresAt }: Readonly<{ wanted: string; old: string; retiresAt: Seconds }>,
): Answer => ({
  status: 200,
  headers: HEADERS,
  body: { client_id: clientId, key: wanted, old_key: old, old_key_until: retiresAt },
  notes: { outcome: 'done' },
});

const refused = (error_description: string): Answer => ({
  status: 400,
  headers: HEADERS,
  body: { error: 'invalid_request', error_description },
});

const unauthorized = (error_description: string): Answer => ({
  status: 400,
  headers: HEADERS,
  body: { error: 'unauthorized_client', error_description },
});
