import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from '@jest/globals';
import { networkOf } from '../../src/http/index.js';

const request = (remoteAddress: string, forwarded?: string): Pick<IncomingMessage, 'headers' | 'socket'> =>
  ({ headers: { 'x-forwarded-for': forwarded }, socket: { remoteAddress } }) as unknown as IncomingMessage;

describe('the network of a request', () => {
  it('RL-02 is that of the peer, whatever X-Forwarded-For says, unless the peer is a trusted proxy', () => {
    expect(networkOf([])(request('203.0.113.7', '198.51.100.1'))).toBe('203.0.113.7');
    expect(networkOf(['10.0.0.0/8'])(request('203.0.113.7', '198.51.100.1'))).toBe('203.0.113.7');
  });

  it('is the nearest address behind trusted proxies; what stands left of it is the client’s own writing', () => {
    const network = networkOf(['10.0.0.0/8', 'fd00::/8']);
    expect(network(request('10.0.0.1', '198.51.100.1'))).toBe('198.51.100.1');
    expect(network(request('10.0.0.1', '6.6.6.6, 198.51.100.1, 10.2.3.4'))).toBe('198.51.100.1');
    expect(network(request('fd00::1', '198.51.100.1'))).toBe('198.51.100.1');
  });

  it('is the proxy itself when the header is missing or no address', () => {
    const network = networkOf(['10.0.0.0/8']);
    expect(network(request('10.0.0.1'))).toBe('10.0.0.1');
    expect(network(request('10.0.0.1', 'evil, <script>'))).toBe('10.0.0.1');
  });

  it.each([
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::ffff:198.51.100.1', '198.51.100.1'],
    ['::FFFF:198.51.100.1', '198.51.100.1'],
  ])('RL-01 counts %s as %s', (address, network) => {
    expect(networkOf([])(request(address))).toBe(network);
  });
});
