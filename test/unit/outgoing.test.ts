import { createServer, type Server } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mayBeAsked, postTo } from '../../src/client/index.js';
import { close, listen } from '../support/company.js';

let server: Server;
let url: URL;
let [connections, requests] = [0, 0];
beforeAll(async () => {
  server = createServer((request, response) => {
    requests++;
    if (request.url === '/silent') return;
    response.writeHead(request.url === '/away' ? 307 : 204, { location: '/elsewhere' }).end();
  });
  server.on('connection', () => connections++);
  url = new URL(await listen(server));
});
afterAll(() => close(server));

const never = new AbortController().signal;
const post = (to: URL, { allowLoopback = true, signal = never } = {}): Promise<number> =>
  postTo(to, { headers: {}, body: 'x' }, { allowLoopback, signal });

describe('what is sent to addresses that people gave (CI-08)', () => {
  it.each(['https://localhost', 'https://127.0.0.1', 'https://[::1]', 'http://localhost', 'https://10.1.2.3'])(
    'is sent to no private address: %s',
    async (address) => {
      const to = new URL(address);
      to.port = url.port;
      const before = connections;
      await expect(post(to, { allowLoopback: false })).rejects.toThrow(/public|https/);
      expect(connections).toBe(before);
    },
  );

  it('is said to be so by the text of the address, but for names, which are resolved when it is sent', () => {
    const asked = [
      'https://10.1.2.3',
      'https://[fd00::1]',
      'http://hooks.example',
      'hooks.example',
      'https://hooks.example',
    ];
    expect(asked.filter((text) => mayBeAsked(text, false))).toEqual(['https://hooks.example']);
  });

  it('follows no redirect', async () => {
    const before = requests;
    expect(await post(new URL('/away', url))).toBe(307);
    expect(requests - before).toBe(1);
  });

  it('ends with the signal of whoever stops', async () => {
    const stopping = new AbortController();
    const sent = post(new URL('/silent', url), { signal: stopping.signal });
    stopping.abort();
    await expect(sent).rejects.toThrow('aborted');
  });
});
