import { type Clock, err, ok, type Result } from '../../base/index.js';
import {
  candidates,
  importKey,
  type Jws,
  Jwks,
  ServerMetadata,
  type VerificationKey,
  wellKnown,
} from '../../protocol/index.js';
import { type Reason, VerifierError } from './errors.js';
import { type Fetch, fetchJson } from './http.js';
import { remember } from './remember.js';

/** The one issuer whose tokens count. Its addresses come from its metadata, never from a token. */
export interface Issuer {
  keyFor(jws: Jws): Promise<Result<VerificationKey, Reason>>;
  introspectionEndpoint(): Promise<string>;
}

export type IssuerOptions = Readonly<{
  issuer: string;
  jwks: Jwks | string | undefined;
  fetch: Fetch;
  clock: Clock;
  timeoutMs: number;
}>;

const AGES = { fresh: 600, stale: 3_600, cooldown: 30 };

/** Discovery (RFC 8414 section 3) and keys, both remembered. Rejects with `issuer_unavailable` when they cannot be had. */
export function createIssuer(options: IssuerOptions): Issuer {
  const { clock } = options;
  const metadata = remember(() => loadMetadata(options), clock, AGES);
  const keys = remember(async () => loadKeys(options, options.jwks ?? (await metadata.get()).jwks_uri), clock, AGES);
  return {
    keyFor: (jws) => orUnavailable(() => findKey(jws, keys)),
    introspectionEndpoint: () =>
      orUnavailable(async () => {
        const { introspection_endpoint } = await metadata.get();
        if (introspection_endpoint === undefined) throw new Error('the issuer has no introspection endpoint');
        return introspection_endpoint;
      }),
  };
}

async function findKey(
  jws: Jws,
  keys: { get(): Promise<Keys>; renew(): Promise<Keys> },
): Promise<Result<VerificationKey, Reason>> {
  // Without `kid` a token would be tried against every key; the issuer always names one.
  if (jws.kid === undefined) return err('unknown_key');
  const held = await keys.get();
  const known = held.some(({ kid }) => kid === jws.kid);
  const [key] = candidates(jws, known ? held : await keys.renew());
  return key ? ok(key) : err('unknown_key');
}

type Keys = readonly VerificationKey[];

async function loadMetadata({ issuer, fetch, timeoutMs }: IssuerOptions): Promise<ServerMetadata> {
  const metadata = ServerMetadata.parse(
    await fetchJson(fetch, wellKnown('oauth-authorization-server', issuer), { timeoutMs }),
  );
  // RFC 8414 section 3.3: identical, or somebody else's document is being read.
  if (metadata.issuer !== issuer) throw new Error('the metadata names another issuer');
  return metadata;
}

async function loadKeys({ fetch, timeoutMs }: IssuerOptions, source: Jwks | string): Promise<Keys> {
  const set = Jwks.parse(typeof source === 'string' ? await fetchJson(fetch, source, { timeoutMs }) : source);
  const keys = set.keys.map(importKey).filter((key) => key.ok);
  if (keys.length === 0) throw new Error('the issuer publishes no usable key');
  return keys.map(({ value }) => value);
}

async function orUnavailable<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    throw new VerifierError('issuer_unavailable', { cause });
  }
}
