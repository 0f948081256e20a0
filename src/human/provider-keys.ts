import { Fault } from '../base/index.js';
import { importKey, isObject, parseObject, PublicJwk, type VerificationKey } from '../protocol/index.js';

/**
 * The key set of one identity provider: kept for ten minutes, and read again for a key that is not in it, though not more often
 * than each half minute. Keys that we do not verify with are passed over: many providers publish some for encryption.
 */
export class ProviderKeys {
  #known: readonly VerificationKey[] = [];
  #readAt = -Infinity;
  #triedAt = -Infinity;
  #flight: Promise<void> | undefined;

  async of(uri: string | undefined, kid: string | undefined): Promise<readonly VerificationKey[]> {
    const isKnown = kid === undefined ? this.#known.length > 0 : this.#known.some((key) => key.kid === kid);
    if (isKnown && performance.now() - this.#readAt < FRESH_MS) return this.#known;
    const mayTry = performance.now() - this.#triedAt > COOLDOWN_MS;
    if (this.#flight === undefined && (mayTry || this.#readAt < this.#triedAt)) this.#flight = this.#read(uri);
    await this.#flight;
    return this.#known;
  }

  async #read(uri: string | undefined): Promise<void> {
    this.#triedAt = performance.now();
    try {
      if (uri === undefined) throw new Error('the discovery document names no key set');
      this.#known = keysIn(await textAt(uri));
      this.#readAt = performance.now();
    } catch (cause) {
      throw new Fault('issuer_keys_unavailable', `cannot read the key set at ${String(uri)}`, { cause });
    } finally {
      this.#flight = undefined;
    }
  }
}

const FRESH_MS = 600_000;
const COOLDOWN_MS = 30_000;
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
