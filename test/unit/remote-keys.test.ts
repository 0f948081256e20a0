import { createServer, type RequestListener, type Server } from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { Fault } from '../../src/base/index.js';
import { isPublic } from '../../src/client/addresses.js';
import { remoteKeys } from '../../src/client/remote-keys.js';
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
  it('are remembered for whoever asks nobody, for an hour, and asked for again no more often than the cooldown', async () => {
    const published = jwks('a');
    const { uri, asked } = await publisher((_, response) => {
      if (asked() < 3) response.end(published);
      else response.writeHead(500).end();
    });
    const { clock, remote } = open();
    expect(remote.known(uri)).toBeUndefined();
    await Promise.all(Array.from({ length: 50 }, () => remote.freshen(uri)));
    const known = remote.known(uri);
    expect([known?.thumbprints.size, known?.at, asked()]).toEqual([1, clock.at, 1]);
    clock.at += 29;
    await remote.freshen(uri);
    expect(asked()).toBe(1);
    clock.at += 1;
    await remote.freshen(uri);
    expect([remote.known(uri)?.at, asked()]).toEqual([clock.at, 2]);
    const read = clock.at;
    clock.at += 3_599;
    await remote.freshen(uri);
    expect([remote.known(uri), asked()]).toEqual([{ ...known, at: read }, 3]);
    clock.at += 1;
    expect(remote.known(uri)).toBeUndefined();
  });

  it('are fetched once for many who ask at once, and again after ten minutes', async () => {
    const { uri, asked } = await publisher((_, response) => response.end(jwks('a', 'b')));
    const { clock, remote } = open();
    const sets = await Promise.all(Array.from({ length: 50 }, () => remote.keys(uri, 'a')));
    expect(sets.map((keys) => keys.map(({ kid }) => kid))).toEqual(Array(50).fill(['a', 'b']));
    clock.at += 599;
    await remote.keys(uri, 'a');
    await remote.keys(uri, undefined);
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

  it('RL-07: are fetched once per half minute while the set is empty', async () => {
    const { uri, asked } = await publisher((_, response) => response.end('{"keys":[]}'));
    const { clock, remote } = open();
    for (const wait of [29, 1]) {
      expect(await remote.keys(uri, undefined)).toEqual([]);
      expect(asked()).toBe(1);
      clock.at += wait;
    }
    expect([await remote.keys(uri, undefined), asked()]).toEqual([[], 2]);
  });

  it('are kept for a thousand addresses; the one that was met first is forgotten for one more', async () => {
    const { uri, asked } = await publisher((_, response) => response.end(jwks('a')));
    const { remote } = open();
    // Refused before anything is sent, and remembered all the same.
    const meet = (n: number): Promise<void> =>
      expect(remote.keys(`http://keys.example/${n}`, 'a')).rejects.toMatchObject(outage);
    await remote.keys(uri, 'a');
    for (let n = 1; n < 1_000; n++) await meet(n);
    await remote.keys(uri, 'a');
    expect(asked()).toBe(1);
    await meet(1_000);
    await remote.keys(uri, 'a');
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
    ['http://keys.example/jwks', 'only https is fetched'],
    ['file:///etc/passwd', 'only https is fetched'],
    ['https://10.0.0.1/jwks', 'the address is not public'],
    ['https://[::1]/jwks', 'the address is not public'],
    ['https://[fd00::1]/jwks', 'the address is not public'],
    ['https://169.254.169.254/jwks', 'the address is not public'],
    ['https://0x7f000001/jwks', 'the address is not public'],
    ['https://localhost/jwks', 'localhost has no public address'],
    ['no url', 'Invalid URL'],
  ])('CM-03: at %s are never fetched', async (uri, message) => {
    await expect(open(false).remote.keys(uri, 'a')).rejects.toMatchObject({ ...outage, cause: { message } });
  });

  it.each([
    ['http://keys.example/jwks', 'only https is fetched'],
    ['https://10.0.0.1/jwks', 'the address is not public'],
  ])('CM-03: at %s are not fetched by a Writ on loopback either', async (uri, message) => {
    await expect(open().remote.keys(uri, 'a')).rejects.toMatchObject({ ...outage, cause: { message } });
  });

  it('CM-03: of a name that leads to loopback are not even connected for', async () => {
    let connections = 0;
    const server = createServer().on('connection', () => (connections += 1));
    servers.push(server);
    const uri = (await listen(server)).replace(/^http:\/\/[^:]+/, 'https://localhost');
    await expect(open(false).remote.keys(uri, 'a')).rejects.toMatchObject(outage);
    expect(connections).toBe(0);
  });

  it('that were fetched outlast an outage of their publisher for an hour, and no longer', async () => {
    let isUp = true;
    const { uri, asked } = await publisher((_, response) =>
      isUp ? response.end(jwks('a')) : response.writeHead(503).end(),
    );
    const { clock, remote } = open();
    const fetched = await remote.keys(uri, 'a');
    isUp = false;
    clock.at += 600;
    expect([await remote.keys(uri, 'a'), await remote.keys(uri, undefined), asked()]).toEqual([fetched, fetched, 2]);
    await expect(remote.keys(uri, 'a')).resolves.toEqual(fetched);
    clock.at += 29;
    expect([await remote.keys(uri, 'unknown'), asked()]).toEqual([fetched, 2]);
    clock.at += 1;
    await expect(remote.keys(uri, 'unknown')).rejects.toMatchObject(outage);
    expect(asked()).toBe(3);
    clock.at += 2_969;
    expect([await remote.keys(uri, 'a'), asked()]).toEqual([fetched, 4]);
    clock.at += 1;
    await expect(remote.keys(uri, 'a')).rejects.toMatchObject(outage);
    isUp = true;
    await expect(remote.keys(uri, 'a')).rejects.toMatchObject(outage);
    expect(asked()).toBe(4);
    clock.at += 29;
    expect([(await remote.keys(uri, 'a')).map(({ kid }) => kid), asked()]).toEqual([['a'], 5]);
  });

  it('are read up to 64 KB', async () => {
    const padded = (bytes: number): string => {
      const body = jwks('a').replace(/}$/, ',"x":""}');
      return body.replace('"x":""', `"x":"${'x'.repeat(bytes - body.length)}"`);
    };
    let body = padded(65_536);
    const { uri } = await publisher((_, response) => response.end(body));
    expect(await open().remote.keys(uri, 'a')).toHaveLength(1);
    body = padded(65_537);
    await expect(open().remote.keys(uri, 'a')).rejects.toMatchObject(outage);
  });

  it('are asked for as JSON', async () => {
    const accepts: unknown[] = [];
    const { uri } = await publisher((request, response) => {
      accepts.push(request.headers.accept);
      response.end(jwks('a'));
    });
    await open().remote.keys(uri, 'a');
    expect(accepts).toEqual(['application/json']);
  });
});

describe('a public address', () => {
  it.each(['8.8.8.8', '2606:4700::1111'])('%s', (address) => {
    expect(isPublic(address)).toBe(true);
  });
  it.each(['::1', '::ffff:127.0.0.1', '::ffff:8.8.8.8', '169.254.169.254', 'localhost', ''])(
    '%j is none',
    (address) => {
      expect(isPublic(address)).toBe(false);
    },
  );

  // RFC 6890: the ends of each range, and who lives next door.
  it.each([
    [['0.0.0.0', '0.255.255.255'], ['1.0.0.0']],
    [
      ['10.0.0.0', '10.255.255.255'],
      ['9.255.255.255', '11.0.0.0'],
    ],
    [
      ['100.64.0.0', '100.127.255.255'],
      ['100.63.255.255', '100.128.0.0'],
    ],
    [
      ['127.0.0.0', '127.255.255.255'],
      ['126.255.255.255', '128.0.0.0'],
    ],
    [
      ['169.254.0.0', '169.254.255.255'],
      ['169.253.255.255', '169.255.0.0'],
    ],
    [
      ['172.16.0.0', '172.31.255.255'],
      ['172.15.255.255', '172.32.0.0'],
    ],
    [
      ['192.0.0.0', '192.0.0.255', '192.0.2.0', '192.0.2.255'],
      ['191.255.255.255', '192.0.1.0', '192.0.1.255', '192.0.3.0'],
    ],
    [
      ['192.88.99.0', '192.88.99.255'],
      ['192.88.98.255', '192.88.100.0'],
    ],
    [
      ['192.168.0.0', '192.168.255.255'],
      ['192.167.255.255', '192.169.0.0'],
    ],
    [
      ['198.18.0.0', '198.19.255.255'],
      ['198.17.255.255', '198.20.0.0'],
    ],
    [
      ['198.51.100.0', '198.51.100.255'],
      ['198.51.99.255', '198.51.101.0'],
    ],
    [
      ['203.0.113.0', '203.0.113.255'],
      ['203.0.112.255', '203.0.114.0'],
    ],
    [['224.0.0.0', '255.255.255.255'], ['223.255.255.255']],
    [['::', '::ffff:ffff'], ['::1:0:0']],
    [
      ['::ffff:0:0', '::ffff:ffff:ffff'],
      ['::fffe:ffff:ffff', '::1:0:0:0'],
    ],
    [
      ['64:ff9b::', '64:ff9b::ffff:ffff'],
      ['64:ff9a:ffff::', '64:ff9b::1:0:0'],
    ],
    [
      ['64:ff9b:1::', '64:ff9b:1:ffff:ffff:ffff:ffff:ffff'],
      ['64:ff9b:0:ffff::', '64:ff9b:2::'],
    ],
    [
      ['100::', '100::ffff:ffff:ffff:ffff'],
      ['ff:ffff::', '100:0:0:1::'],
    ],
    [
      ['2001::', '2001:1ff:ffff::'],
      ['2000:ffff::', '2001:200::'],
    ],
    [
      ['2001:db8::', '2001:db8:ffff::'],
      ['2001:db7:ffff::', '2001:db9::'],
    ],
    [
      ['2002::', '2002:ffff::'],
      ['2001:ffff::', '2003::'],
    ],
    [
      ['fc00::', 'fdff:ffff::'],
      ['fbff:ffff::', 'fe00::'],
    ],
    [
      ['fe80::', 'febf:ffff::'],
      ['fe7f:ffff::', 'fec0::'],
    ],
    [['ff00::', 'ffff:ffff::'], ['feff:ffff::']],
  ])('is none in %j, and is one in %j', (special, around) => {
    expect([special.filter(isPublic), around.filter(isPublic)]).toEqual([[], around]);
  });
});
