import { Fault } from '../base/index.js';
import { importKey, isObject, parseObject, PublicJwk, type VerificationKey } from '../protocol/index.js';

/**
 * The key set of one identity provider, whose address an administrator configures: it may be a private one. Kept for ten minutes,
 * or for an hour while it cannot be read, and read again for a key that is not in it, though not more often than each half minute.
 * Keys that we do not verify with are passed over: many providers publish some for encryption.
 */
export class ProviderKeys {
  readonly #now: () => number;
  #known: readonly VerificationKey[] = [];
  #readAt = -Infinity;
  #triedAt = -Infinity;
  #flight: Promise<void> | undefined;

  /** `now`: in milliseconds, never going back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Throws a Fault on an outage. */
  async of(uri: string | undefined, kid: string | undefined): Promise<readonly VerificationKey[]> {
    const isKnown = kid === undefined ? this.#known.length > 0 : this.#known.some((key) => key.kid === kid);
    const age = this.#now() - this.#readAt;
    if (isKnown && age < FRESH_MS) return this.#known;
    if (uri === undefined) throw new Fault('issuer_keys_unavailable', 'the discovery document names no key set');
    const wait = this.#readAt < this.#triedAt ? RETRY_MS : COOLDOWN_MS;
    if (this.#now() - this.#triedAt > wait) this.#flight ??= this.#read(uri);
    if (isKnown && age < STALE_MS) await this.#flight?.catch(() => undefined);
    else if (this.#flight !== undefined) await this.#flight;
    else if (this.#readAt < this.#triedAt) throw new Fault('issuer_keys_unavailable', `no key set from ${uri} yet`);
    return this.#known;
  }

  async #read(uri: string): Promise<void> {
    const triedAt = this.#now();
    this.#triedAt = triedAt;
    try {
      this.#known = keysIn(await textAt(uri));
      this.#readAt = triedAt;
    } catch (cause) {
      throw new Fault('issuer_keys_unavailable', `cannot read the key set at ${uri}`, { cause });
    } finally {
      this.#flight = undefined;
    }
  }
}

const FRESH_MS = 600_000;
const STALE_MS = 3_600_000;
const COOLDOWN_MS = 30_000;
/** After a failure. */
const RETRY_MS = 2_000;
const TIMEOUT_MS = 3_000;
const MAX_BYTES = 256 * 1024;
const MAX_KEYS = 64;

async function textAt(uri: string): Promise<string> {
  const headers = { accept: 'application/json' };
  const response = await fetch(uri, { headers, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok || response.body === null)
    throw new Error(`the key set is answered with ${String(response.status)}`);
  const body: AsyncIterable<Uint8Array> = response.body;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > MAX_BYTES) throw new Error('the key set is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function keysIn(text: string): readonly VerificationKey[] {
  const parsed = parseObject(text);
  const keys = parsed.ok ? parsed.value['keys'] : undefined;
  if (!Array.isArray(keys)) throw new Error('the key set is none');
  return keys
    .slice(0, MAX_KEYS)
    .filter(isObject)
    .flatMap((key) => PublicJwk.safeParse(key).data ?? [])
    .map((key) => importKey(key))
    .flatMap((key) => (key.ok ? [key.value] : []));
}
