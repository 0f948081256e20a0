import { type Clock, type Seconds, err, ok, type Result } from '../../base/index.js';
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
import { type Fetch, fetchCacheable, fetchJson } from './http.js';
import { type Ages, remember } from './remember.js';

/** The one issuer whose tokens count. Its addresses come from its metadata, never from a token. */
export interface Issuer {
  keyFor(jws: Jws): Promise<Result<VerificationKey, Reason>>;
  /** The ids of all keys that are held, whether anything was signed with them or not. */
  kids(): readonly string[];
  /** Takes no signature by this key any more, whatever the published set says. */
  distrust(kid: string): void;
  /** Holds no keys any more that were fetched longer ago than this. */
  forgetKeys(age: Seconds): void;
  introspectionEndpoint(): Promise<string>;
}

export type IssuerOptions = Readonly<{
  issuer: string;
  jwks: Jwks | string | undefined;
  fetch: Fetch;
  clock: Clock;
  timeoutMs: number;
}>;

const AGES: Ages = { fresh: 600, stale: 3_600, cooldown: 30 };

/** An issuer that changes its keys faster than usual says so; it can shorten how long they are kept, never prolong it. */
function agesOf(held: Keys | undefined): Ages {
  const fresh = Math.min(AGES.fresh, Math.max(1, held?.maxAge ?? AGES.fresh));
  return { ...AGES, fresh, cooldown: Math.min(AGES.cooldown, fresh) };
}

/** Discovery (RFC 8414 section 3) and keys, both remembered. Rejects with `issuer_unavailable` when they cannot be had. */
export function createIssuer(options: IssuerOptions): Issuer {
  const { clock } = options;
  const metadata = remember(
    () => loadMetadata(options),
    clock,
    () => AGES,
  );
  const keys = remember(async () => loadKeys(options, options.jwks ?? (await metadata.get()).jwks_uri), clock, agesOf);
  const distrusted = new Set<string>();
  return {
    keyFor: async (jws) => {
      const found = await orUnavailable(() => findKey(jws, keys));
      return jws.kid !== undefined && distrusted.has(jws.kid) ? err('unknown_key') : found;
    },
    kids: () => (keys.held()?.list ?? []).flatMap(({ kid }) => (kid === undefined ? [] : [kid])),
    distrust: (kid) => {
      distrusted.add(kid);
    },
    forgetKeys: (age) => {
      keys.forget(age);
    },
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
  const known = held.list.some(({ kid }) => kid === jws.kid);
  const [key] = candidates(jws, (known ? held : await keys.renew()).list);
  return key ? ok(key) : err('unknown_key');
}

type Keys = Readonly<{ list: readonly VerificationKey[]; maxAge: Seconds | undefined }>;

async function loadMetadata({ issuer, fetch, timeoutMs }: IssuerOptions): Promise<ServerMetadata> {
  const metadata = ServerMetadata.parse(
    await fetchJson(fetch, wellKnown('oauth-authorization-server', issuer), { timeoutMs }),
  );
  // RFC 8414 section 3.3: identical, or somebody else's document is being read.
  if (metadata.issuer !== issuer) throw new Error('the metadata names another issuer');
  return metadata;
}

async function loadKeys({ fetch, timeoutMs }: IssuerOptions, source: Jwks | string): Promise<Keys> {
  const { value, maxAge } =
    typeof source === 'string'
      ? await fetchCacheable(fetch, source, { timeoutMs })
      : { value: source, maxAge: undefined };
  const set = Jwks.parse(value);
  const keys = set.keys.map(importKey).filter((key) => key.ok);
  if (keys.length === 0) throw new Error('the issuer publishes no usable key');
  return { list: keys.map((key) => key.value), maxAge };
}

async function orUnavailable<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    throw new VerifierError('issuer_unavailable', { cause });
  }
}
