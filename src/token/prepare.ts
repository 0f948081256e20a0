import { randomName, randomText, type Seconds } from '../base/index.js';
import type { Grant, Permit } from '../policy/index.js';
import { formatScope, nestAct, type PersonalBudget, sha256, TokenType, Typ, type Writable } from '../protocol/index.js';

/** Lives of each shape, in seconds (STANDARDS 10.8). */
export type Lifetimes = Readonly<{ transactionalAccessToken: Seconds; transactionToken: Seconds; handOver: Seconds }>;

/**
 * A token that is decided and shaped but neither recorded nor signed. Its receipt is still open: session, sequence and
 * leaf are known only to the commit.
 */
export type PreparedToken = Readonly<{
  typ: Typ;
  kid: string;
  issuedTokenType: TokenType;
  tokenType: 'Bearer' | 'DPoP' | 'N_A';
  claims: Readonly<Record<string, Writable>>;
  receipt: Readonly<{
    decision: string;
    policy: string;
    approval?: string;
    bind?: true;
    uses?: 'local';
    budget?: PersonalBudget;
  }>;
  grant: Grant;
  scope: string;
  transaction: string;
  personId: string;
  tokenHash: string;
  issuedAt: Seconds;
  expiresAt: Seconds;
}>;

/** What is recorded and signed, once nobody has to look at the grant any more. */
export type SignableToken = Omit<PreparedToken, 'grant'>;

type Making = Readonly<{
  issuer: string;
  personId: string;
  kid: string;
  now: Seconds;
  lifetimes: Lifetimes;
  /** Of a person, that it was made by. */
  approval?: string | undefined;
}>;

/** Spends the permit. Life is the least of all: shape, subject, actor, agent (and, in the commit, session). */
export function prepare(permit: Permit, making: Making): PreparedToken {
  const grant = permit.spend();
  const jti = randomText(16);
  const transaction = grant.delegation.subject.transaction ?? randomName(16);
  const expiresAt = Math.floor(Math.min(making.now + lifeOf(grant, making.lifetimes), grant.notAfter));
  const scope = formatScope(grant.scopes);
  const { typ, issuedTokenType, tokenType } = namesOf(grant);
  return {
    typ,
    issuedTokenType,
    tokenType,
    kid: making.kid,
    claims: claimsOf(grant, making, { jti, transaction, expiresAt, scope }),
    receipt: { ...receiptOf(grant), ...(making.approval === undefined ? {} : { approval: making.approval }) },
    grant,
    scope,
    transaction,
    personId: making.personId,
    tokenHash: sha256(jti),
    issuedAt: making.now,
    expiresAt,
  };
}

/** The token without its grant. */
export function signable(token: PreparedToken): SignableToken {
  const { typ, kid, issuedTokenType, tokenType, claims, receipt, scope } = token;
  const { transaction, personId, tokenHash, issuedAt, expiresAt } = token;
  return {
    typ,
    kid,
    issuedTokenType,
    tokenType,
    claims,
    receipt,
    scope,
    transaction,
    personId,
    tokenHash,
    issuedAt,
    expiresAt,
  };
}

function receiptOf({ decision, policy, shape, delegation, details, localUses }: Grant): PreparedToken['receipt'] {
  const bound = shape === 'hand-over' && delegation.jkt !== undefined;
  const isExact = details?.some(({ arguments_sha256 }) => arguments_sha256 !== undefined) === true;
  return {
    decision,
    policy,
    ...(bound ? { bind: true } : {}),
    ...(isExact && localUses ? { uses: 'local' } : {}),
    // INVARIANT: whatever comes of a consent is held to what the person allowed with it.
    ...(delegation.subject.budget === undefined ? {} : { budget: delegation.subject.budget }),
  };
}

function lifeOf({ shape }: Grant, lifetimes: Lifetimes): Seconds {
  switch (shape) {
    case 'txnat+jwt':
    case 'at+jwt':
      return lifetimes.transactionalAccessToken;
    case 'txntoken+jwt':
      return lifetimes.transactionToken;
    case 'hand-over':
      return lifetimes.handOver;
  }
}

/** RFC 8693 section 2.2.1 and RFC 9449 section 5: what the answer calls it. */
function namesOf({ shape, delegation }: Grant): Pick<PreparedToken, 'typ' | 'issuedTokenType' | 'tokenType'> {
  const tokenType = delegation.jkt === undefined ? 'Bearer' : 'DPoP';
  switch (shape) {
    case 'txnat+jwt':
      return { typ: Typ.transactionalAccessToken, issuedTokenType: TokenType.txnAccessToken, tokenType };
    case 'at+jwt':
      return { typ: Typ.accessToken, issuedTokenType: TokenType.accessToken, tokenType };
    case 'txntoken+jwt':
      return { typ: Typ.transactionToken, issuedTokenType: TokenType.txnToken, tokenType: 'N_A' };
    case 'hand-over':
      return { typ: Typ.accessToken, issuedTokenType: TokenType.accessToken, tokenType: 'N_A' };
  }
}

type Made = Readonly<{ jti: string; transaction: string; expiresAt: Seconds; scope: string }>;

function claimsOf(
  grant: Grant,
  { issuer, personId, now }: Making,
  { jti, transaction, expiresAt, scope }: Made,
): PreparedToken['claims'] {
  const { delegation, shape, audience, details } = grant;
  const { subject, presenter, context } = delegation;
  const isForDomain = shape === 'txntoken+jwt';
  return {
    iss: issuer,
    aud: audience,
    sub: personId,
    // What is undefined is not in the token.
    req_wl: isForDomain ? presenter.workload : undefined,
    client_id: isForDomain ? undefined : presenter.clientId,
    iat: now,
    exp: expiresAt,
    jti,
    txn: transaction,
    scope,
    authorization_details: details,
    tctx: { ...context, call_chain: delegation.callChain },
    rctx: { authn: subject.acr },
    acr: subject.acr,
    amr: subject.amr,
    auth_time: subject.authTime,
    // A hand-over is bound by its one redeemer's own authentication; the key of the hand-over's maker would lock it.
    cnf: delegation.jkt === undefined || shape === 'hand-over' ? undefined : { jkt: delegation.jkt },
    act: nestAct(delegation.actors),
    may_act: shape === 'hand-over' ? { sub: handedTo(grant), iss: issuer } : undefined,
  };
}

const handedTo = ({ delegation: { wanted } }: Grant): string =>
  wanted.target.kind === 'agent' ? wanted.target.clientId : '';
