import type { Brought } from '../delegation/index.js';
import { thumbprint } from '../protocol/index.js';
import { namesUs, type RegistrySnapshot, type TrustedIssuer, typOf } from '../registry/index.js';

type Coming = Readonly<{ scopes: readonly string[]; brought: (Brought & Readonly<{ agent: string }>) | undefined }>;

/**
 * Whether the token of a trusted issuer that this one comes of would be accepted as the issuer is registered now, for these
 * scopes. It says nothing of keys that an issuer publishes by URL, and of people who signed in here.
 */
export function isStillAccepted(
  { scopes, brought }: Coming,
  { registry, issuer: us }: Readonly<{ registry: RegistrySnapshot; issuer: string }>,
): boolean {
  if (brought === undefined) return true;
  const trusted = registry.issuer(brought.issuer);
  if (trusted?.status !== 'active' || !trusted.agents.includes(brought.agent)) return false;
  const accepted = trusted.accepts.find(
    (one) => one.token_type === brought.tokenType && (typOf(one) ?? null) === brought.typ,
  );
  if (accepted === undefined || !isOfKey(brought, trusted)) return false;
  if (!namesUs(brought, trusted, [us, ...accepted.audiences])) return false;
  if (trusted.claims.scope !== brought.scopeClaim) return false;
  if (accepted.scopes === undefined) return brought.isScoped;
  return scopes.every((scope) => accepted.scopes?.includes(scope) === true);
}

const isOfKey = ({ key }: Brought, { jwks }: TrustedIssuer): boolean =>
  jwks === undefined || jwks.keys.some((jwk) => thumbprint(jwk) === key);
