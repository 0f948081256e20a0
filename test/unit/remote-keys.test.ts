import { createServer, type RequestListener, type Server } from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { Fault } from '../../src/base/index.js';
import { isPublic, remoteKeys } from '../../src/client/remote-keys.js';
import { close, listen } from '../support/company.js';
import { makeKey } from '../support/writ.js';

const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map(close));
});

/** A publisher of keys on loopback that counts who asks. */
async function publisher(answer: RequestListener): Promise<{ uri: string; asked: () => number }> {
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    answer(request, response);
  });
  servers.push(server);
  return { uri: `${await listen(server)}/jwks`, asked: () => asked };
}

const jwks = (...kids: string[]): string => JSON.stringify({ keys: kids.map((kid) => makeKey(kid).jwk) });
const open = (allowLoopback = true) => {
  const clock = { at: 1_795_305_600, now: () => clock.at };
  return { clock, remote: remoteKeys({ clock, allowLoopback }) };
};
const outage = { name: 'Fault', code: 'issuer_keys_unavailable' };

describe('keys by URL', () => {
  it('are fetched once for many who ask at once, and again after ten minutes', async () => {
    const { uri, asked } = await publisher((_, response) => response.end(jwks('a', 'b')));
    const { clock, remote } = open();
    const sets = await Promise.all(Array.from({ length: 50 }, () => remote.keys(uri, 'a')));
    expect(sets.map((keys) => keys.map(({ kid }) => kid))).toEqual(Array(50).fill(['a', 'b']));
    clock.at += 599;
    await remote.keys(uri, 'a');
    expect(asked()).toBe(1);
    clock.at += 1;
    await remote.keys(uri, undefined);
    expect(asked()).toBe(2);
  });

  it('RL-07: are fetched once per half minute for any number of unknown key ids', async () => {
    const { uri, asked } = await publisher((_, response) => response.end(jwks('a')));
    const { clock, remote } = open();
    for (let n = 0; n < 20; n++) await remote.keys(uri, `unknown ${n}`);
    expect(asked()).toBe(1);
    clock.at += 30;
    await remote.keys(uri, 'unknown');
    expect(asked()).toBe(2);
  });

  it('that rotated are found by the first token that needs the new one', async () => {
    let published = jwks('old');
    const { uri } = await publisher((_, response) => response.end(published));
    const { clock, remote } = open();
    await remote.keys(uri, 'old');
    published = jwks('new');
    clock.at += 31;
    expect((await remote.keys(uri, 'new')).map(({ kid }) => kid)).toEqual(['new']);
  });

  it('that cannot be used are passed over', async () => {
    const weak = { kty: 'RSA', kid: 'weak', n: 'AQAB', e: 'AQAB' };
    const body = JSON.stringify({ keys: [weak, makeKey('good').jwk] });
    const { uri } = await publisher((_, response) => response.end(body));
    expect((await open().remote.keys(uri, 'good')).map(({ kid }) => kid)).toEqual(['good']);
  });

  it.each<[string, RequestListener]>([
    ['an error', (_, response) => response.writeHead(500).end()],
    ['a redirect', (_, response) => response.writeHead(302, { location: '/elsewhere' }).end()],
    ['no JSON', (_, response) => response.end('<html>')],
    ['no key set', (_, response) => response.end('{}')],
    ['a key set twice', (_, response) => response.end('{"keys":[],"keys":[]}')],
    ['a private key', (_, response) => response.end('{"keys":[{"kty":"EC","d":"x"}]}')],
    ['more than 64 KB', (_, response) => response.end(`{"keys":[],"x":"${'x'.repeat(70_000)}"}`)],
    [
      'half an answer',
      (_, response) => response.writeHead(200, { 'content-length': 100 }).write('{', () => response.destroy()),
    ],
  ])('answered by %s are an outage, not a refusal', async (_, answer) => {
    const { uri } = await publisher(answer);
    const asking = open().remote.keys(uri, 'a');
    await expect(asking).rejects.toBeInstanceOf(Fault);
    await expect(asking).rejects.toMatchObject(outage);
  });

  it('that never come are waited for in bounded time', async () => {
    const { uri } = await publisher(() => undefined);
    const started = Date.now();
    await expect(open().remote.keys(uri, 'a')).rejects.toMatchObject(outage);
    expect(Date.now() - started).toBeLessThan(5_000);
  });

  it('CM-03: on loopback are fetched by a Writ on loopback only', async () => {
    const { uri, asked } = await publisher((_, response) => response.end(jwks('a')));
    await expect(open(false).remote.keys(uri, 'a')).rejects.toMatchObject(outage);
    expect(asked()).toBe(0);
  });

  it.each([
    'http://keys.example/jwks',
    'https://10.0.0.1/jwks',
    'https://[::1]/jwks',
    'https://169.254.169.254/jwks',
    'https://localhost/jwks',
    'https://0x7f000001/jwks',
    'file:///etc/passwd',
    'no url',
  ])('CM-03: at %s are never fetched', async (uri) => {
    await expect(open(false).remote.keys(uri, 'a')).rejects.toMatchObject(outage);
  });
});

describe('a public address', () => {
  it.each(['192.0.3.1', '8.8.8.8', '172.32.0.1', '2606:4700::1111'])('%s', (address) => {
    expect(isPublic(address)).toBe(true);
  });
  it.each([
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '192.168.1.1',
    '192.0.2.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '64:ff9b::7f00:1',
    '2001:db8::1',
    '2002:7f00:1::',
    'fc00::1',
    'fd12::1',
    'fe80::1',
    'ff02::1',
    'localhost',
    '',
  ])('%j is none', (address) => {
    expect(isPublic(address)).toBe(false);
  });
});
