import { err, ok, type Result, type Seconds } from '../base/index.js';
import type { Caller } from '../client/index.js';
import type { Person, Subject } from '../delegation/index.js';
import {
  candidates,
  flattenAct,
  isTransactional,
  type Jws,
  parseScope,
  PersonsAccessToken,
  sha256,
  TokenType,
  TransactionalAccessToken,
  TransactionToken,
  Typ,
  type VerificationKey,
} from '../protocol/index.js';
import { readOnce, type Remembered } from './remembered.js';

/** Why a subject token is no good. For the record; the client gets one description for all of them. */
export type SubjectFlaw =
  | 'malformed'
  | 'untrusted_issuer'
  | 'wrong_signature'
  | 'wrong_type'
  | 'wrong_audience'
  | 'expired'
  | 'not_yet_valid'
  | 'wrong_claims'
  | 'unknown_scope'
  | 'foreign_actors';

export type OwnFacts = Readonly<{
  issuer: string;
  trustDomain: string;
  keys: readonly VerificationKey[];
  now: Seconds;
  skew: Seconds;
  remembered: Remembered;
}>;

const readPersonsClaims = readOnce(PersonsAccessToken);
const readTransactionalClaims = readOnce(TransactionalAccessToken);
const readTransactionTokenClaims = readOnce(TransactionToken);

/** A token that Writ itself signed, presented under exactly the type that it is (TX-07). */
export function readOwnSubject(
  jws: Jws,
  type: TokenType,
  caller: Caller,
  facts: OwnFacts,
): Result<Subject, SubjectFlaw> {
  const key = candidates(jws, facts.keys).find((one) => facts.remembered.verify(jws, one));
  if (key === undefined) return err('wrong_signature');
  const subject = readShape(jws, type, caller, facts);
  // The commit asks the database whether this key was withdrawn; `facts.keys` may be a second old.
  return subject.ok ? ok({ ...subject.value, lineage: [...subject.value.lineage, `key:${key.kid ?? ''}`] }) : subject;
}

function readShape(jws: Jws, type: TokenType, caller: Caller, facts: OwnFacts): Result<Subject, SubjectFlaw> {
  if (jws.typ === Typ.accessToken && type === TokenType.accessToken) {
    return isTransactional(jws.typ, jws.payload) ? readTransactional(jws, caller, facts) : readPersons(jws, facts);
  }
  if (jws.typ === Typ.transactionalAccessToken && type === TokenType.txnAccessToken)
    return readTransactional(jws, caller, facts);
  if (jws.typ === Typ.transactionToken && type === TokenType.txnToken) return readTransactionToken(jws, caller, facts);
  return err('wrong_type');
}

function readPersons(jws: Jws, facts: OwnFacts): Result<Subject, SubjectFlaw> {
  const claims = readPersonsClaims(jws.payload);
  if (claims === undefined) return err('wrong_claims');
  if (claims.aud !== facts.issuer) return err('wrong_audience');
  const live = checkLife(claims, facts);
  if (!live.ok) return live;
  const receipt = 'grant' in claims.writ ? undefined : claims.writ;
  // A hand-over names its one redeemer and the session that it continues; a person's own token names its consent.
  if ((receipt === undefined) !== (claims.may_act === undefined)) return err('wrong_claims');
  const grant = 'grant' in claims.writ ? claims.writ.grant : undefined;
  return ok({
    ...base(claims),
    kind: receipt === undefined ? 'person' : 'hand-over',
    exchangeableBy: claims.may_act?.sub ?? claims.client_id,
    rootAgent: claims.client_id,
    run:
      receipt === undefined
        ? { key: sha256(`grant ${grant ?? ''}`) }
        : { key: sha256(`below ${receipt.session} ${claims.may_act?.sub ?? ''}`), above: receipt.session },
    mustBind: receipt?.bind === true,
    mayAct: claims.may_act,
    recordedAs: receipt === undefined ? undefined : sha256(claims.jti),
    ...budgetOf(claims.writ),
    lineage: [
      tokenTarget(claims.jti),
      ...(grant === undefined ? [] : [`grant:${grant}`]),
      ...receiptTargets(receipt?.session, claims.txn),
    ],
  });
}

function readTransactional(jws: Jws, caller: Caller, facts: OwnFacts): Result<Subject, SubjectFlaw> {
  const claims = readTransactionalClaims(jws.payload);
  if (claims === undefined) return err('wrong_claims');
  const live = checkLife(claims, facts);
  if (!live.ok) return live;
  // DESIGN 2: a token with an MCP server as audience is exchanged only by that server.
  const server = caller.party.kind === 'server' && caller.party.server.resource === claims.aud;
  return ok({
    ...base(claims),
    ...transactionFacts(claims),
    exchangeableBy: server ? caller.clientId : claims.aud,
    rootAgent: claims.client_id,
  });
}

function readTransactionToken(jws: Jws, caller: Caller, facts: OwnFacts): Result<Subject, SubjectFlaw> {
  const claims = readTransactionTokenClaims(jws.payload);
  if (claims === undefined) return err('wrong_claims');
  if (claims.aud !== facts.trustDomain) return err('wrong_audience');
  const live = checkLife(claims, facts);
  if (!live.ok) return live;
  // Inside the trust domain its members may replace it; whoever stands outside may only replace what it asked for itself.
  const { party, clientId } = caller;
  const isMember = party.kind === 'server' && party.server.transaction_tokens;
  const inside = isMember || claims.req_wl === (party.kind === 'server' ? party.server.resource : clientId);
  return ok({
    ...base(claims),
    ...transactionFacts(claims),
    exchangeableBy: inside ? caller.clientId : claims.req_wl,
    rootAgent: claims.act.sub,
  });
}

type Common = Pick<
  PersonsAccessToken,
  | 'sub'
  | 'jti'
  | 'exp'
  | 'iat'
  | 'scope'
  | 'acr'
  | 'amr'
  | 'auth_time'
  | 'cnf'
  | 'act'
  | 'tctx'
  | 'txn'
  | 'authorization_details'
>;

function base(
  claims: Common,
): Pick<
  Subject,
  | 'person'
  | 'scopes'
  | 'actors'
  | 'callChain'
  | 'details'
  | 'context'
  | 'transaction'
  | 'expiresAt'
  | 'issuedSince'
  | 'acr'
  | 'amr'
  | 'authTime'
  | 'jkt'
> {
  const person: Person = { id: claims.sub, issuer: undefined, subject: undefined, attributes: {} };
  return {
    person,
    scopes: parseScope(claims.scope) ?? [],
    actors: flattenAct(claims.act),
    callChain: claims.tctx?.call_chain ?? [],
    details: claims.authorization_details,
    context: { task: claims.tctx?.task, purpose: claims.tctx?.purpose },
    transaction: claims.txn,
    expiresAt: claims.exp,
    issuedSince: claims.iat,
    acr: claims.acr,
    amr: claims.amr,
    authTime: claims.auth_time,
    jkt: claims.cnf?.jkt,
  };
}

function transactionFacts(
  claims: TransactionalAccessToken | TransactionToken,
): Pick<Subject, 'kind' | 'run' | 'mustBind' | 'mayAct' | 'lineage' | 'recordedAs' | 'budget'> {
  return {
    kind: 'transaction',
    run: { session: claims.writ.session },
    mustBind: false,
    mayAct: undefined,
    lineage: [tokenTarget(claims.jti), ...receiptTargets(claims.writ.session, claims.txn)],
    recordedAs: sha256(claims.jti),
    ...budgetOf(claims.writ),
  };
}

const budgetOf = ({ budget }: Readonly<{ budget?: Subject['budget'] }>): Pick<Subject, 'budget'> =>
  budget === undefined ? {} : { budget };

/** The revocation target of one token. */
export const tokenTarget = (jti: string): string => `token:${sha256(jti)}`;

const receiptTargets = (session: string | undefined, txn: string | undefined): readonly string[] => [
  ...(session === undefined ? [] : [`session:${session}`]),
  ...(txn === undefined ? [] : [`txn:${txn}`]),
];

/** RFC 7519 section 4.1.4 to 4.1.6. Our own clock made these times, so an expired token gets no leeway. */
function checkLife(
  { exp, iat }: Readonly<{ exp: Seconds; iat: Seconds }>,
  { now, skew }: OwnFacts,
): Result<null, SubjectFlaw> {
  if (exp <= now) return err('expired');
  return iat > now + skew ? err('not_yet_valid') : ok(null);
}
