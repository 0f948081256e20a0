import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

/** Finds the network that a request comes from. */
export type NetworkOf = (request: Pick<IncomingMessage, 'headers' | 'socket'>) => string;

/**
 * The peer's own address, or behind trusted proxies the nearest address that is not one of them; what a client itself
 * writes into X-Forwarded-For stands left of that and is never believed. An IPv6 /64 is one network (RFC 6177), and an
 * IPv4 address is the same however it is written.
 */
export function networkOf(trustedProxies: readonly string[]): NetworkOf {
  const trusted = new BlockList();
  for (const cidr of trustedProxies) {
    const [address = '', prefix = ''] = cidr.split('/');
    trusted.addSubnet(address, Number(prefix), isIP(address) === 6 ? 'ipv6' : 'ipv4');
  }
  const isTrusted = (address: string): boolean => trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  // Behind no proxy the peer is the answer, and looking it up in an empty list costs more than everything else here.
  if (trustedProxies.length === 0) return ({ socket }) => networkAt(plain(socket.remoteAddress ?? ''));
  return ({ headers, socket }) => {
    const header = headers['x-forwarded-for'];
    const forwarded = (typeof header === 'string' ? header : (header?.join(',') ?? '')).split(',').slice(-16);
    let address = plain(socket.remoteAddress ?? '');
    while (isTrusted(address)) {
      const next = plain(forwarded.pop()?.trim() ?? '');
      if (isIP(next) === 0) break;
      address = next;
    }
    return networkAt(address);
  };
}

const seen = new WeakMap<IncomingMessage, string>();

/** The network that this request was found to come from when it came in, by limitFailures; '' before that. */
export const networkSeen = (request: IncomingMessage): string => seen.get(request) ?? '';

export function rememberNetwork(request: IncomingMessage, network: string): void {
  seen.set(request, network);
}

const networkAt = (address: string): string => (isIP(address) === 6 ? prefix64(address) : address);

/** ::ffff:192.0.2.1 is 192.0.2.1 (RFC 4291 section 2.5.5.2). */
const plain = (address: string): string =>
  address.startsWith(':') ? (/^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address) : address;

function prefix64(address: string): string {
  const url = `http://[${address.split('%')[0] ?? address}]`;
  if (!URL.canParse(url)) return address;
  const [head = '', tail] = new URL(url).hostname.slice(1, -1).split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => '0');
  return `${[...left, ...zeros, ...right].slice(0, 4).join(':')}::/64`;
}
