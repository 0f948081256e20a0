import { z } from 'zod';
import { err, ok, type Result, type Seconds } from '../base/index.js';
import { type Caller, type KeySource, replayKey, type Spend } from '../client/index.js';
import type { Presenter } from '../delegation/index.js';
import { candidates, Identifier, parseJws, verifySignature } from '../protocol/index.js';

/** A statement of the caller about who of it acts (RFC 8693 section 2.1): signed by the caller's own key. */
const ActorToken = z.looseObject({
  iss: Identifier,
  sub: Identifier,
  aud: z.union([z.string(), z.tuple([z.string()])]),
  jti: z.string().min(1).max(256),
  iat: z.number().int(),
  exp: z.number().int(),
});

const MAX_LIFE: Seconds = 300;

export type ActorFacts = Readonly<{
  issuer: string;
  keys: KeySource;
  now: Seconds;
  skew: Seconds;
  jkt: string | undefined;
}>;
export type ActorFlaw = Readonly<{ reason: 'actor_invalid'; cause: string }>;
export type VerifiedActor = Readonly<{ presenter: Presenter; spends: readonly Spend[] }>;

/**
 * Who acts: the authenticated client itself, or an instance of it (`<client id>/<instance>`) that it vouches for.
 * Nobody can present another's actor token (TX-26), and an actor token has no actors of its own (Actor Profile).
 */
export async function verifyActor(
  token: string | undefined,
  caller: Caller,
  facts: ActorFacts,
): Promise<Result<VerifiedActor, ActorFlaw>> {
  const presenter = presenterOf(caller, facts);
  if (token === undefined) return ok({ presenter, spends: [] });
  const refuse = (cause: string) => err({ reason: 'actor_invalid' as const, cause });
  const jws = parseJws(token);
  if (!jws.ok) return refuse(jws.error);
  if (jws.value.typ !== undefined && jws.value.typ !== 'jwt') return refuse('wrong_type');
  const { authentication } = caller.party.kind === 'agent' ? caller.party.agent : caller.party.server;
  const keys = await facts.keys.keysOf(authentication, jws.value);
  if (!candidates(jws.value, keys).some((key) => verifySignature(jws.value, key))) return refuse('wrong_signature');
  const parsed = ActorToken.safeParse(jws.value.payload);
  if (!parsed.success || 'act' in jws.value.payload || 'may_act' in jws.value.payload) return refuse('wrong_claims');
  const { iss, sub, aud, jti, iat, exp } = parsed.data;
  if (iss !== caller.clientId || !isOf(sub, caller.clientId)) return refuse('not_of_the_caller');
  if ((typeof aud === 'string' ? aud : aud[0]) !== facts.issuer) return refuse('wrong_audience');
  // No leeway at its end: nothing made from it may live longer than it does, so there would be nothing to make.
  if (exp <= facts.now || iat > facts.now + facts.skew) return refuse('expired');
  if (exp - iat > MAX_LIFE || exp > facts.now + MAX_LIFE + facts.skew) return refuse('too_long_lived');
  const spends: readonly Spend[] = [
    { what: 'actor', key: replayKey(caller.clientId, jti), expiresAt: exp + facts.skew },
  ];
  return ok({ presenter: { ...presenter, actor: { ...presenter.actor, sub }, expiresAt: exp }, spends });
}

function presenterOf({ clientId, party }: Caller, { issuer, jkt }: ActorFacts): Presenter {
  const agent = party.kind === 'agent';
  return {
    clientId,
    kind: party.kind,
    actor: { sub: clientId, iss: issuer, sub_profile: agent ? 'ai_agent' : 'service' },
    workload: agent ? clientId : party.server.resource,
    jkt,
    expiresAt: undefined,
  };
}

const isOf = (sub: string, clientId: string): boolean =>
  sub === clientId ||
  (sub.startsWith(`${clientId}/`) && /^[A-Za-z0-9._~-]{1,64}$/.test(sub.slice(clientId.length + 1)));
