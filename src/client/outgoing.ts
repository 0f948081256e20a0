import { lookup } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { isLoopback } from '../protocol/index.js';
import { isPublic } from './addresses.js';

/** How to ask an address that others gave us. */
export type Outgoing = Readonly<{
  request: typeof httpsRequest;
  options: Pick<RequestOptions, 'lookup'>;
}>;

/**
 * To public addresses by https only, with no redirect and no proxy (CM-03, CI-01, CI-07). `allowLoopback`: of a Writ on
 * loopback, loopback too. Throws for any other address.
 */
export function outgoing(url: URL, allowLoopback: boolean): Outgoing {
  const local = allowLoopback && isLoopback(url.hostname);
  const address = url.hostname.replace(/^\[|\]$/g, '');
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && local)) throw new Error('only https is fetched');
  if (!local && isIP(address) !== 0 && !isPublic(address)) throw new Error('the address is not public');
  return {
    request: url.protocol === 'https:' ? httpsRequest : httpRequest,
    options: local ? {} : { lookup: publicLookup },
  };
}

/** Whether {@link outgoing} would ask it, as far as its text says. */
export function mayBeAsked(text: string, allowLoopback: boolean): boolean {
  if (!URL.canParse(text)) return false;
  try {
    outgoing(new URL(text), allowLoopback);
    return true;
  } catch {
    return false;
  }
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

const POST_WITHIN_MS = 5_000;

/** POSTs, reads no more of the answer than its status, and throws where there is none in time, or before the signal. */
export async function postTo(
  url: URL,
  { headers, body }: Readonly<{ headers: Readonly<Record<string, string>>; body: string | Uint8Array }>,
  { allowLoopback, signal }: Readonly<{ allowLoopback: boolean; signal: AbortSignal }>,
): Promise<number> {
  const { request, options } = outgoing(url, allowLoopback);
  const ended = AbortSignal.any([signal, AbortSignal.timeout(POST_WITHIN_MS)]);
  return new Promise((resolve, reject) => {
    const sent = request(url, { ...options, method: 'POST', headers: { ...headers }, signal: ended }, (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
