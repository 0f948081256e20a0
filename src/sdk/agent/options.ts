import { z } from 'zod';
import { type Clock, systemClock } from '../../base/index.js';
import { ClientId, type ClientKey, importClientKey, Issuer, PrivateJwk } from '../../protocol/index.js';
import { generateKeyPairSync } from 'node:crypto';
import type { WaitingOptions } from './deferral.js';
import type { Fetch } from './http.js';

const Options = z.strictObject({
  issuer: Issuer,
  clientId: ClientId,
  key: PrivateJwk,
  dpop: z.union([z.boolean(), PrivateJwk]).default(false),
  timeoutMs: z.number().int().min(50).max(60_000).default(5_000),
  maxWaitSeconds: z.number().min(0).max(60).default(5),
});

/** How an agent is set up. `key` is its private JWK; with `dpop` every token is bound to that key or a fresh one. */
export type AgentOptions = z.input<typeof Options> &
  Readonly<{
    /** Waits where a person has to approve a call. Nothing to say: `{}`. */
    waiting?: WaitingOptions;
    fetch?: Fetch;
    clock?: Clock;
  }>;

export type Settings = Readonly<{
  issuer: string;
  clientId: string;
  key: ClientKey;
  dpopKey: ClientKey | undefined;
  timeoutMs: number;
  maxWaitSeconds: number;
  waiting: WaitingOptions | undefined;
  fetch: Fetch;
  clock: Clock;
}>;

/** A wrong option is a mistake of the program: TypeError, at once. */
export function readOptions({
  fetch = globalThis.fetch,
  clock = systemClock,
  waiting,
  ...rest
}: AgentOptions): Settings {
  const read = Options.safeParse(rest);
  if (!read.success) {
    const flaws = read.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`);
    throw new TypeError(`createAgent: ${flaws.join('; ')}`);
  }
  const { key, dpop, ...plain } = read.data;
  const dpopKey = dpop === false ? undefined : keyFrom('dpop', dpop === true ? newKey() : dpop);
  return Object.freeze({ ...plain, key: keyFrom('key', key), dpopKey, waiting, fetch, clock });
}

function keyFrom(name: string, jwk: PrivateJwk): ClientKey {
  const key = importClientKey(jwk);
  if (!key.ok) throw new TypeError(`createAgent: ${name} is no usable key: ${key.error}`);
  return key.value;
}

/** Lives as long as the process: a restart means new tokens. */
const newKey = (): PrivateJwk =>
  PrivateJwk.parse(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }));
