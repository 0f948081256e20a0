import { thumbprint } from '../protocol/index.js';
import { TrustedIssuer } from './issuer.js';

type Accepted = TrustedIssuer['accepts'][number];

/**
 * Whether a change takes something from the tokens that people of this issuer brought: an agent, a kind of token, a name or
 * scope of it, a key, or what its claims and client ids mean. `before` is the document that was stored: of one that cannot be
 * read nobody knows that nothing is taken.
 */
export function isNarrowedIssuer(before: unknown, after: TrustedIssuer): boolean {
  if (before === undefined) return false;
  const was = TrustedIssuer.safeParse(before).data;
  if (was === undefined) return true;
  if (haveOthers(was, after) || was.claims.scope !== after.claims.scope) return true;
  return lacksKeys(was, after) || readsOthers(was, after) || was.accepts.some((one) => !isKept(one, after.accepts));
}

/** TX-05: an agent that is new may make a token another agent's, whose `azp` or `client_id` names it. */
const haveOthers = ({ agents: was }: TrustedIssuer, { agents: now }: TrustedIssuer): boolean =>
  lacks(now, was) || lacks(was, now);

/** Keys by URL are not compared: nobody knows here which they were, so at another URL they may be others. */
const lacksKeys = (was: TrustedIssuer, after: TrustedIssuer): boolean =>
  (after.jwks_uri !== undefined && was.jwks_uri !== after.jwks_uri) ||
  (after.jwks !== undefined && (was.jwks === undefined || lacks(thumbprints(after.jwks), thumbprints(was.jwks))));

const thumbprints = ({ keys }: NonNullable<TrustedIssuer['jwks']>): readonly string[] => keys.map(thumbprint);

/** A client id that is new may make a token another client's. */
const readsOthers = ({ client_ids: was }: TrustedIssuer, { client_ids: now }: TrustedIssuer): boolean =>
  [...Object.keys(was), ...Object.keys(now)].some((name) => was[name] !== now[name]);

function isKept(was: Accepted, accepts: readonly Accepted[]): boolean {
  const now = accepts.find((one) => one.token_type === was.token_type && one.typ === was.typ);
  if (now === undefined || lacks(now.audiences, was.audiences)) return false;
  if (now.scopes === undefined || was.scopes === undefined) return now.scopes === was.scopes;
  return !lacks(now.scopes, was.scopes);
}

const lacks = (list: readonly string[], wanted: readonly string[]): boolean =>
  wanted.some((one) => !list.includes(one));
