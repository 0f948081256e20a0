import { z } from 'zod';
import { type Clock, systemClock } from '../../base/index.js';
import { isSecureUrl, Issuer, Jwks, ResourceUri } from '../../protocol/index.js';
import type { ErrorClasses } from './errors.js';
import type { Fetch } from './http.js';
import { IntrospectionClient } from './introspection.js';
import type { OnceStore } from './once.js';
import type { LostOutcomes } from './outbox.js';
import type { Tools } from './own-tools.js';

const SecureUrl = z.string().refine(isSecureUrl, { error: 'must be an https URL (http on loopback)' });

const Age = z.number().int().min(500).max(60_000);

const Follow = z.strictObject({
  maxAgeMs: z.strictObject({ exact: Age.default(1_500), other: Age.default(5_000) }).prefault({}),
  /** `introspect` asks Writ about each token for as long as the feed is too old, instead of refusing. */
  onStale: z.enum(['refuse', 'introspect']).default('refuse'),
  /** A deny set that is full of what still counts makes the feed too old. */
  maxEntries: z.number().int().min(1_000).max(20_000_000).default(2_000_000),
});
export type Follow = z.output<typeof Follow>;

/** What `feed: true` stands for. */
export const followOf = (feed: boolean | Follow): Follow | undefined =>
  typeof feed === 'object' ? feed : feed ? Follow.parse({}) : undefined;

const Options = z
  .strictObject({
    issuer: Issuer,
    resource: ResourceUri,
    endpoint: SecureUrl.optional(),
    shapes: z
      .array(z.enum(['txnat+jwt', 'at+jwt']))
      .min(1)
      .default(['txnat+jwt']),
    jwks: z.union([Jwks, SecureUrl]).optional(),
    introspection: IntrospectionClient.optional(),
    uses: z.enum(['local', 'writ']).default('local'),
    /** `writ` asks before every call whether it may still be made; without a clear yes it is refused. */
    decide: z.enum(['token', 'writ']).default('token'),
    decideTimeoutMs: z.number().int().min(50).max(5_000).default(300),
    /** Whether Writ is told what became of each call; it needs the credentials of `introspection`. */
    outcomes: z.boolean().default(true),
    /** As many outcomes wait while Writ cannot be reached; then the oldest are dropped, and `onLost` is told. */
    outcomesBuffer: z.number().int().min(100).max(1_000_000).default(10_000),
    /**
     * Follows what Writ revokes, with the credentials of `introspection`, and refuses when it has not heard for longer than
     * `maxAgeMs`: of a call with exact arguments (tiers high and critical), and of any other. Close it at the end.
     */
    feed: z.union([z.boolean(), Follow]).default(false),
    /**
     * A call that is longer than its token is told to stop at the token's end. With the credentials of `introspection`, and
     * unless this is `stop`, it is renewed while its Promise is pending: shortly before that Writ is asked whether it may run
     * on, and so again and again.
     */
    longCalls: z.enum(['renew', 'stop']).default('renew'),
    dpopRequired: z.boolean().default(false),
    maxLifetimeSeconds: z.number().int().min(1).max(300).default(300),
    /** Difference between this clock and the issuer's that is forgiven. */
    clockSkewSeconds: z.number().int().min(0).max(60).default(30),
    timeoutMs: z.number().int().min(50).max(30_000).default(2_000),
    resourceMetadataUrl: SecureUrl.optional(),
  })
  .refine(({ issuer, resource }) => issuer !== resource, {
    error: 'the issuer is the audience of tokens that are good for the exchange only',
    path: ['resource'],
  })
  .refine(({ uses, introspection }) => uses === 'local' || introspection !== undefined, {
    error: 'is needed when uses is "writ"',
    path: ['introspection'],
  })
  .refine(({ feed, introspection }) => feed === false || introspection !== undefined, {
    error: 'is needed for the feed',
    path: ['introspection'],
  })
  // An entry is kept for the longest token and twice this: a verifier that comes late must still be told.
  .refine(({ feed, clockSkewSeconds }) => feed === false || clockSkewSeconds <= 30, {
    error: 'must be 30 or less with the feed',
    path: ['clockSkewSeconds'],
  })
  .refine(({ decide, introspection }) => decide === 'token' || introspection !== undefined, {
    error: 'is needed when decide is "writ"',
    path: ['introspection'],
  });

/** How a verifier is set up. Only `issuer` and `resource` are needed; a wrong option throws a TypeError at once. */
export type VerifierOptions = z.input<typeof Options> &
  Readonly<{
    /** Error classes of the v1 MCP SDK; the v2 SDK needs none. */
    errors?: ErrorClasses;
    /** Where one-time things are counted; give several replicas a shared one. */
    once?: OnceStore;
    /**
     * The tools of this server as its `tools/list` has them now, or how to get one: a token for another definition is
     * refused and, where `introspection` has credentials, reported to Writ. Left out, what `guard.fetch` hears this server
     * answer to `tools/list` counts, as far as it has heard anything; `guard.node` and `guard.express` hear no answers, so
     * give them the tools.
     */
    tools?: Tools;
    /** Told of outcomes that Writ will never have. Left out, it is a warning of the process, once a minute at most. */
    onLost?: (lost: LostOutcomes) => void;
    fetch?: Fetch;
    clock?: Clock;
  }>;

export type Settings = z.output<typeof Options> &
  Readonly<{
    errors: ErrorClasses | undefined;
    once: OnceStore | undefined;
    tools: Tools | undefined;
    onLost: ((lost: LostOutcomes) => void) | undefined;
    fetch: Fetch;
    clock: Clock;
  }>;

/** Refuses to start rather than run with a hole. */
export function readOptions({
  errors,
  once,
  tools,
  onLost,
  fetch = globalThis.fetch,
  clock = systemClock,
  ...rest
}: VerifierOptions): Settings {
  const read = Options.safeParse(rest);
  if (read.success) return Object.freeze({ ...read.data, errors, once, tools, onLost, fetch, clock });
  const flaws = read.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`);
  throw new TypeError(`createVerifier: ${flaws.join('; ')}`);
}
