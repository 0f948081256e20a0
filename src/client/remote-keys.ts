import { type Clock, Fault, type Seconds } from '../base/index.js';
import { thumbprintOf } from './assertion.js';
import { outgoing } from './outgoing.js';
import { importKey, Jwks, parseObject, type VerificationKey } from '../protocol/index.js';

/** Key sets fetched by URL: cached, bounded, one fetch at a time per URL, none more often than the cooldown. */
export interface RemoteKeys {
  /** The keys at `uri`. Fetches again for an unknown `kid` when the cooldown is over. Throws Fault on an outage. */
  keys(uri: string, kid: string | undefined): Promise<readonly VerificationKey[]>;
  /** What is remembered of them, without asking anybody; `undefined` when that is nothing, or from too long ago. */
  known(uri: string): PublishedKeys | undefined;
  /** Asks again, unless that was done within the cooldown. What is remembered outlives an outage. */
  freshen(uri: string): Promise<void>;
}

/** RFC 7638 thumbprints of the keys that somebody published, and when they were read. */
export type PublishedKeys = Readonly<{ thumbprints: ReadonlySet<string>; at: Seconds }>;

const FRESH_FOR: Seconds = 600;
const STALE_FOR: Seconds = 3_600;
const COOLDOWN: Seconds = 30;
const MAX_SETS = 1_000;
const MAX_BYTES = 64 * 1024;
const TIMEOUT_MS = 3_000;

type Entry = {
  keys: readonly VerificationKey[];
  thumbprints: ReadonlySet<string>;
  fetchedAt: Seconds;
  triedAt: Seconds;
  flight: Promise<void> | undefined;
};

const NOTHING_YET: Readonly<Entry> = { keys: [], thumbprints: new Set(), fetchedAt: 0, triedAt: 0, flight: undefined };

export function remoteKeys(deps: Readonly<{ clock: Clock; allowLoopback: boolean }>): RemoteKeys {
  const entries = new Map<string, Entry>();
  const load = async (uri: string, entry: Entry): Promise<void> => {
    entry.triedAt = deps.clock.now();
    try {
      entry.keys = await fetchKeys(uri, deps.allowLoopback);
      entry.thumbprints = new Set(entry.keys.map(thumbprintOf));
      entry.fetchedAt = deps.clock.now();
    } finally {
      entry.flight = undefined;
    }
  };
  const entryOf = (uri: string): Entry => {
    const entry = entries.get(uri) ?? { ...NOTHING_YET };
    if (!entries.has(uri)) remember(entries, uri, entry);
    return entry;
  };
  return {
    known: (uri) => {
      const { thumbprints, fetchedAt: at } = entries.get(uri) ?? NOTHING_YET;
      return deps.clock.now() - at < STALE_FOR ? { thumbprints, at } : undefined;
    },
    freshen: async (uri) => {
      const entry = entryOf(uri);
      if (entry.flight === undefined && deps.clock.now() - entry.triedAt >= COOLDOWN) entry.flight = load(uri, entry);
      await entry.flight?.catch(() => undefined);
    },
    keys: async (uri, kid) => {
      const entry = entryOf(uri);
      const now = deps.clock.now();
      const known = kid === undefined ? entry.keys.length > 0 : entry.keys.some((key) => key.kid === kid);
      const fresh = now - entry.fetchedAt < FRESH_FOR;
      if (known && fresh) return entry.keys;
      // RL-07: a storm of unknown kids costs one fetch per cooldown.
      if (entry.flight === undefined && now - entry.triedAt >= COOLDOWN) entry.flight = load(uri, entry);
      // An issuer that is down for a while is no reason to forget keys that it published; for longer than that it is.
      const stale = known && now - entry.fetchedAt < STALE_FOR;
      if (entry.flight !== undefined) await (stale ? entry.flight.catch(() => undefined) : entry.flight);
      if (!stale && deps.clock.now() - entry.fetchedAt >= STALE_FOR)
        throw new Fault('issuer_keys_unavailable', `no keys from ${uri} yet`);
      return entry.keys;
    },
  };
}

function remember(entries: Map<string, Entry>, uri: string, entry: Entry): void {
  if (entries.size >= MAX_SETS) {
    const oldest = entries.keys().next();
    if (oldest.done !== true) entries.delete(oldest.value);
  }
  entries.set(uri, entry);
}

async function fetchKeys(uri: string, allowLoopback: boolean): Promise<readonly VerificationKey[]> {
  try {
    const parsed = parseObject(await fetchText(new URL(uri), allowLoopback));
    if (!parsed.ok) throw new Error(`the key set is no JSON object: ${parsed.error}`);
    const { keys } = Jwks.parse({ keys: parsed.value['keys'] });
    return keys.map((jwk) => importKey(jwk)).flatMap((key) => (key.ok ? [key.value] : []));
  } catch (cause) {
    throw new Fault('issuer_keys_unavailable', `cannot fetch the key set at ${uri}`, { cause });
  }
}

/** GET with no redirect, no proxy, bounded time and size, and only to public addresses (CM-03, CI-01, CI-07). */
function fetchText(url: URL, allowLoopback: boolean): Promise<string> {
  const { request: get, options: lookup } = outgoing(url, allowLoopback);
  return new Promise((resolve, reject) => {
    const options = { headers: { accept: 'application/json' }, ...lookup };
    const request = get(url, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS) }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      if (response.statusCode !== 200) request.destroy(new Error(`status ${response.statusCode ?? 0}`));
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_BYTES) request.destroy(new Error('the key set is larger than 64 KB'));
        chunks.push(chunk);
      });
      response.on('end', () => {
        resolve(Buffer.concat(chunks).toString('utf8'));
      });
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end();
  });
}
