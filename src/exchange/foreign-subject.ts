import { z } from 'zod';
import { err, ok, type Result, type Seconds } from '../base/index.js';
import { type Caller, type KeySource, thumbprintOf } from '../client/index.js';
import type { Brought, Subject } from '../delegation/index.js';
import {
  candidates,
  companySession,
  companySessionTarget,
  Confirmation,
  Instant,
  Identifier,
  type Jws,
  parseScope,
  ScopeToken,
  sha256,
  Text,
  type TokenType,
  type VerificationKey,
} from '../protocol/index.js';
import { type AcceptedToken, namesUs, type TrustedIssuer, typOf } from '../registry/index.js';
import type { SubjectFlaw } from './own-subject.js';
import { readOnce, type Remembered } from './remembered.js';

/** A foreign token's claims, each of a size and type that nothing behind it has to check again. */
const Claims = z.looseObject({
  iss: Identifier,
  sub: Identifier,
  aud: z.union([Identifier, z.tuple([Identifier])]),
  exp: Instant,
  iat: Instant,
  nbf: Instant.optional(),
  jti: Identifier.optional(),
  sid: Identifier.optional(),
  azp: Identifier.optional(),
  client_id: Identifier.optional(),
  nonce: z.string().max(512).optional(),
  acr: Text.max(256).optional(),
  amr: z.array(Text.max(64)).max(16).optional(),
  auth_time: Instant.optional(),
  cnf: Confirmation.optional(),
});
type Claims = z.infer<typeof Claims>;
const readClaims = readOnce(Claims);

export type ForeignFacts = Readonly<{
  issuer: string;
  now: Seconds;
  skew: Seconds;
  keys: KeySource;
  remembered: Remembered;
  trusted: TrustedIssuer;
}>;

/** A person's token of an issuer that the registry trusts. It must name us or the calling agent as its audience. */
export async function readForeignSubject(
  jws: Jws,
  type: TokenType,
  caller: Caller,
  facts: ForeignFacts,
): Promise<Result<Subject, SubjectFlaw>> {
  const accepted = facts.trusted.accepts.find(
    (one) => one.token_type === type && typOf(one) === (jws.typ === 'jwt' ? undefined : jws.typ),
  );
  if (accepted === undefined) return err('wrong_type');
  const keys = await facts.keys.keysAt(facts.trusted, jws);
  const key = candidates(jws, keys).find((one) => facts.remembered.verify(jws, one));
  if (key === undefined) return err('wrong_signature');
  const claims = readClaims(jws.payload);
  if (claims === undefined) return err('wrong_claims');
  // OpenID Connect Back-Channel Logout section 2.4: `events` marks a logout token, whose `typ` may say nothing (TX-07).
  if ('events' in jws.payload) return err('wrong_type');
  const live = checkLife(claims, facts);
  if (!live.ok) return live;
  // Actors that another issuer vouches for have no identity here; dropping them would make the chain look clean (TX-02).
  if ('act' in jws.payload || 'may_act' in jws.payload) return err('foreign_actors');
  const naming = { agent: caller.clientId, audience: audienceOf(claims), parties: partiesOf(claims) };
  if (!namesUs(naming, facts.trusted, [facts.issuer, ...accepted.audiences])) return err('wrong_audience');
  const scopes = scopesOf(jws, accepted, facts.trusted);
  if (scopes === undefined) return err('unknown_scope');
  const { trusted } = facts;
  const subject = subjectOf(claims, { jws, caller, scopes, facts });
  return ok({ ...subject, brought: broughtAs(claims, { jws, accepted, trusted, key }) });
}

type As = Readonly<{ jws: Jws; accepted: AcceptedToken; trusted: TrustedIssuer; key: VerificationKey }>;

const broughtAs = (claims: Claims, { jws, accepted, trusted, key }: As): Brought => ({
  issuer: trusted.issuer,
  tokenType: accepted.token_type,
  typ: typOf(accepted) ?? null,
  audience: audienceOf(claims),
  parties: partiesOf(claims),
  scopeClaim: trusted.claims.scope,
  isScoped: jws.payload[trusted.claims.scope] !== undefined,
  key: thumbprintOf(key),
});

/** A NUL cannot be stored, and no control character helps anybody to read a name. */
const printable = (text: string): string =>
  text
    .slice(0, 256)
    .toWellFormed()
    .replaceAll(/[\u0000-\u001f\u007f]/g, ' ');

const audienceOf = ({ aud }: Claims): string => (typeof aud === 'string' ? aud : aud[0]);
const partiesOf = ({ azp, client_id: client }: Claims): readonly string[] =>
  [azp, client].filter((party) => party !== undefined);

function checkLife({ exp, iat, nbf }: Claims, { now, skew }: ForeignFacts): Result<null, SubjectFlaw> {
  if (exp <= now - skew) return err('expired');
  return iat > now + skew || (nbf ?? now) > now + skew ? err('not_yet_valid') : ok(null);
}

const ScopeList = z.array(ScopeToken).max(256);

/** TT-04: a token whose scope nobody knows is refused, never taken as unlimited. */
function scopesOf(jws: Jws, accepted: AcceptedToken, { claims }: TrustedIssuer): readonly string[] | undefined {
  const value = jws.payload[claims.scope];
  if (value === undefined) return accepted.scopes;
  const own = typeof value === 'string' ? parseScope(value) : ScopeList.safeParse(value).data;
  return accepted.scopes === undefined ? own : own?.filter((scope) => accepted.scopes?.includes(scope) === true);
}

type Made = Readonly<{ jws: Jws; caller: Caller; scopes: readonly string[]; facts: ForeignFacts }>;

function subjectOf(claims: Claims, { jws, caller, scopes, facts: { trusted, skew } }: Made): Subject {
  const identity = sha256(jws.signingInput);
  const text = (name: string | undefined): readonly [string, string][] => {
    const value = name === undefined ? undefined : jws.payload[name];
    return name !== undefined && typeof value === 'string' ? [[name, printable(value)]] : [];
  };
  // OpenID Connect Core section 2: nobody signed in after the token that says so was issued.
  const authTime = claims.auth_time === undefined ? undefined : Math.min(claims.auth_time, claims.iat);
  // DANGER: the issuer's clock may be ahead of ours by the skew: taken as it says, a token could outlive a cut-off made after it,
  // and could open again the very session that was ended.
  const byOurClock = (at: Seconds): Seconds => at - skew;
  const signedInAt = authTime ?? (claims.sid === undefined ? claims.iat : undefined);
  return {
    kind: 'foreign',
    person: {
      id: undefined,
      issuer: claims.iss,
      subject: claims.sub,
      attributes: Object.fromEntries([...text(trusted.claims.email), ...text(trusted.claims.name)]),
    },
    exchangeableBy: caller.clientId,
    rootAgent: caller.clientId,
    scopes,
    actors: [],
    callChain: [],
    details: undefined,
    context: { task: undefined, purpose: undefined },
    transaction: undefined,
    // RT-08: the run is the person's sign-in, not the bytes of one token of it; without `sid` all sign-ins are one.
    run: {
      key: sha256(JSON.stringify(['foreign', claims.iss, claims.sub, claims.sid ?? null, caller.clientId])),
      // Where `sid` names the sign-in, a younger token of it is no other one.
      signedInSince: signedInAt === undefined ? undefined : byOurClock(signedInAt),
    },
    expiresAt: claims.exp,
    issuedSince: byOurClock(claims.iat),
    acr: claims.acr,
    amr: claims.amr,
    authTime,
    jkt: claims.cnf?.jkt,
    mustBind: false,
    mayAct: undefined,
    // OpenID Connect Back-Channel Logout 1.0: what the issuer says of this session holds for its tokens that come here by themselves.
    lineage: [
      `foreign:${identity}`,
      ...(claims.sid === undefined ? [] : [companySessionTarget(companySession(claims.iss, claims.sid))]),
    ],
    recordedAs: undefined,
  };
}
