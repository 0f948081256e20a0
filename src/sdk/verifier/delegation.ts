import type { Seconds } from '../../base/index.js';
import { flattenAct, type TransactionalAccessToken } from '../../protocol/index.js';

/** An agent or service in the chain; identity is the pair of `issuer` and `id`. */
export type DelegationActor = Readonly<{ id: string; issuer: string; profile: 'ai_agent' | 'service' | undefined }>;

/** One tool that the token may call, and how. */
export type ToolGrant = Readonly<{
  tool: string;
  resource: string;
  argumentsSha256: string | undefined;
  definitionSha256: string | undefined;
  maxUses: number;
}>;

/** Who asked for this, through whom, for what and until when. */
export type Delegation = Readonly<{
  /** Our stable id of the person on whose behalf it happens. */
  person: string;
  /** The current actor first. Only that one counts for access (RFC 8693 section 4.1); the rest is for the record. */
  actors: readonly DelegationActor[];
  client: string;
  transaction: string;
  session: string;
  decision: string;
  approval: string | undefined;
  task: string | undefined;
  purpose: string | undefined;
  scopes: readonly string[];
  details: readonly ToolGrant[];
  tokenId: string;
  issuedAt: Seconds;
  expiresAt: Seconds;
  /** How and when the person signed in. */
  acr: string | undefined;
  /** RFC 8176: the methods of it. */
  amr: readonly string[] | undefined;
  authTime: Seconds | undefined;
  /** True when this server may count the uses of exact calls itself; false for tools of tier high and critical. */
  localUses: boolean;
  /** True when the caller proved possession of the token's key. */
  dpopBound: boolean;
}>;

/** The bearer information that both official MCP SDKs pass on to handlers. */
export type AuthInfo = {
  token: string;
  clientId: string;
  scopes: string[];
  expiresAt: Seconds;
  resource: URL;
  extra: { writ: Delegation };
};

/** The claims in plain words, frozen. */
export function toDelegation(claims: TransactionalAccessToken): Delegation {
  const { writ, tctx } = claims;
  return Object.freeze({
    person: claims.sub,
    actors: Object.freeze(
      flattenAct(claims.act).map((actor) =>
        Object.freeze({ id: actor.sub, issuer: actor.iss, profile: actor.sub_profile }),
      ),
    ),
    client: claims.client_id,
    transaction: claims.txn,
    session: writ.session,
    decision: writ.decision,
    approval: writ.approval,
    task: tctx.task,
    purpose: tctx.purpose,
    scopes: Object.freeze(claims.scope.split(' ').filter((scope) => scope !== '')),
    details: toGrants(claims),
    tokenId: claims.jti,
    issuedAt: claims.iat,
    expiresAt: claims.exp,
    acr: claims.acr,
    amr: claims.amr && Object.freeze(claims.amr),
    authTime: claims.auth_time,
    localUses: writ.uses === 'local',
    dpopBound: claims.cnf !== undefined,
  });
}

/** What the MCP SDK hands to a tool, with the delegation in `extra.writ`. */
export function toAuthInfo(token: string, delegation: Delegation, resource: string): AuthInfo {
  return {
    token,
    clientId: delegation.client,
    scopes: [...delegation.scopes],
    expiresAt: delegation.expiresAt,
    resource: new URL(resource),
    extra: { writ: delegation },
  };
}

function toGrants({ authorization_details: details = [] }: TransactionalAccessToken): readonly ToolGrant[] {
  return Object.freeze(
    details.map((detail) =>
      Object.freeze({
        tool: detail.identifier,
        resource: detail.locations[0],
        argumentsSha256: detail.arguments_sha256,
        definitionSha256: detail.definition_sha256,
        maxUses: detail.max_uses,
      }),
    ),
  );
}
