import type { Seconds } from '../base/index.js';
import type { Brought } from '../delegation/index.js';
import { thumbprint } from '../protocol/index.js';
import { namesUs, type RegistrySnapshot, type TrustedIssuer, typOf } from '../registry/index.js';

type Bringing = Readonly<{ brought: Brought & Readonly<{ agent: string }> }>;
type Coming = Readonly<{ scopes: readonly string[]; brought: Bringing['brought'] | undefined }>;

/** What is remembered of the keys that are published at a URL: their RFC 7638 thumbprints, and when they were read. */
export type PublishedKeysOf = (uri: string) => Readonly<{ thumbprints: ReadonlySet<string>; at: Seconds }> | undefined;

type Now = Readonly<{ registry: RegistrySnapshot; issuer: string; now: Seconds; publishedKeys: PublishedKeysOf }>;

/**
 * Whether the token of a trusted issuer that this one comes of would be accepted as the issuer is registered now, for these
 * scopes; `unknown` where nobody here knows whether its key is still published. It says nothing of people who signed in here.
 */
export function acceptanceOf({ scopes, brought }: Coming, now: Now): 'accepted' | 'refused' | 'unknown' {
  if (brought === undefined) return 'accepted';
  const trusted = now.registry.issuer(brought.issuer);
  if (trusted === undefined || !isRead(trusted, { scopes, brought }, now.issuer)) return 'refused';
  return standingOf(brought.key, trusted, now);
}

function isRead(trusted: TrustedIssuer, { scopes, brought }: Bringing & Pick<Coming, 'scopes'>, us: string): boolean {
  if (trusted.status !== 'active' || !trusted.agents.includes(brought.agent)) return false;
  const accepted = trusted.accepts.find(
    (one) => one.token_type === brought.tokenType && (typOf(one) ?? null) === brought.typ,
  );
  if (accepted === undefined) return false;
  if (!namesUs(brought, trusted, [us, ...accepted.audiences])) return false;
  if (trusted.claims.scope !== brought.scopeClaim) return false;
  if (accepted.scopes === undefined) return brought.isScoped;
  return scopes.every((scope) => accepted.scopes?.includes(scope) === true);
}

/** No longer ago are keys asked for again: one that was published since is not known yet. */
const LATELY: Seconds = 30;

function standingOf(
  key: string,
  { jwks, jwks_uri: uri }: TrustedIssuer,
  { publishedKeys, now }: Now,
): 'accepted' | 'refused' | 'unknown' {
  if (jwks !== undefined) return jwks.keys.some((jwk) => thumbprint(jwk) === key) ? 'accepted' : 'refused';
  const known = uri === undefined ? undefined : publishedKeys(uri);
  if (known?.thumbprints.has(key) === true) return 'accepted';
  return known !== undefined && known.at >= now - LATELY ? 'refused' : 'unknown';
}
