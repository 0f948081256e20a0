import { lookup } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { type Clock, Fault, type Seconds } from '../base/index.js';
import { thumbprintOf } from './assertion.js';
import { importKey, isLoopback, Jwks, parseObject, type VerificationKey } from '../protocol/index.js';

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
  const local = allowLoopback && isLoopback(url.hostname);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && local)) throw new Error('only https is fetched');
  if (!local && isIP(url.hostname.replace(/^\[|\]$/g, '')) !== 0 && !isPublic(url.hostname.replace(/^\[|\]$/g, ''))) {
    throw new Error('the address is not public');
  }
  const get = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const options = { headers: { accept: 'application/json' }, ...(local ? {} : { lookup: publicLookup }) };
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

/** Resolves and pins: the address that was checked is the address that is connected to, so a second answer cannot rebind. */
const publicLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    const found = error ? [] : addresses.filter(({ address }) => isPublic(address));
    const [first] = found;
    if (first === undefined) callback(error ?? new Error(`${hostname} has no public address`), '', 4);
    else if (options.all === true) callback(null, found);
    else callback(null, first.address, first.family);
  });
};

/**
 * RFC 6890 special-purpose addresses. One list for each family: in a list of both, Node takes every IPv4 address for
 * one of `::ffff:0:0/96`.
 */
const special = { 4: new BlockList(), 6: new BlockList() } as const;
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const) {
  special[4].addSubnet(net, prefix, 'ipv4');
}
for (const [net, prefix] of [
  ['::', 96],
  ['::ffff:0:0', 96],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  special[6].addSubnet(net, prefix, 'ipv6');
}

/** False for loopback, private, link-local, mapped and every other special-purpose address. */
export function isPublic(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !special[4].check(address, 'ipv4');
  return family === 6 && !special[6].check(address, 'ipv6');
}
