import { createServer, type RequestListener } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ProviderKeys } from '../../src/human/provider-keys.js';
import { makeKey } from '../support/writ.js';

const [first, second] = [makeKey('first'), makeKey('second')];
let published: object[] = [first.jwk];
let asked = 0;
const publish: RequestListener = (_, response) => {
  response.end(JSON.stringify({ keys: published }));
};
let answer = publish;
const server = createServer((request, response) => {
  asked++;
  answer(request, response);
});
let uri = '';
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  uri = `http://127.0.0.1:${String(typeof address === 'object' ? address?.port : 0)}/jwks`;
});
afterEach(() => {
  [published, answer, asked] = [[first.jwk], publish, 0];
});
afterAll(() => {
  server.close();
});

const down: RequestListener = (_, response) => response.writeHead(500).end();
const SECOND = 1_000;
/** A key set at a clock of its own. */
function keysAt(): Readonly<{ later(ms: number): void; of(kid?: string): Promise<readonly string[]> }> {
  let now = 1;
  const keys = new ProviderKeys(() => now);
  return {
    later: (ms) => void (now += ms),
    of: async (kid) => (await keys.of(uri, kid)).map((key) => key.kid ?? ''),
  };
}
const UNAVAILABLE = { code: 'issuer_keys_unavailable' };

describe('the key set of an identity provider', () => {
  it('is read once for ten minutes, and once by all who ask at the same moment', async () => {
    const keys = keysAt();
    expect(await Promise.all([keys.of('first'), keys.of('first'), keys.of()])).toEqual([
      ['first'],
      ['first'],
      ['first'],
    ]);
    keys.later(599 * SECOND);
    await keys.of('first');
    expect(asked).toBe(1);
    keys.later(2 * SECOND);
    await keys.of('first');
    expect(asked).toBe(2);
  });

  it('is read again for a key that is not in it, once in half a minute', async () => {
    const keys = keysAt();
    await keys.of('first');
    published = [first.jwk, second.jwk];
    keys.later(29 * SECOND);
    expect([await keys.of('second'), asked]).toEqual([['first'], 1]);
    keys.later(2 * SECOND);
    expect([await keys.of('second'), asked]).toEqual([['first', 'second'], 2]);
    await keys.of('nobody');
    expect(asked).toBe(2);
  });

  it('that cannot be read is an outage, and is tried again soon, but not by everybody at once', async () => {
    const keys = keysAt();
    answer = down;
    await expect(keys.of('first')).rejects.toMatchObject(UNAVAILABLE);
    await expect(keys.of('first')).rejects.toMatchObject(UNAVAILABLE);
    expect(asked).toBe(1);
    answer = publish;
    keys.later(3 * SECOND);
    expect([await keys.of('first'), asked]).toEqual([['first'], 2]);
  });

  it('is believed for an hour while the provider is down', async () => {
    const keys = keysAt();
    await keys.of('first');
    answer = down;
    keys.later(3_599 * SECOND);
    expect([await keys.of('first'), asked]).toEqual([['first'], 2]);
    await expect(keys.of('second')).rejects.toMatchObject(UNAVAILABLE);
    keys.later(3 * SECOND);
    await expect(keys.of('first')).rejects.toMatchObject(UNAVAILABLE);
  });

  it('that no discovery document names is an outage each time, until one does', async () => {
    const keys = new ProviderKeys();
    await expect(keys.of(undefined, 'first')).rejects.toMatchObject(UNAVAILABLE);
    await expect(keys.of(undefined, 'first')).rejects.toMatchObject(UNAVAILABLE);
    expect((await keys.of(uri, 'first')).map(({ kid }) => kid)).toEqual(['first']);
  });

  it('is passed over where we do not verify with a key, and is good for the others', async () => {
    published = [{ kty: 'RSA', use: 'enc', kid: 'enc', n: 'AQAB', e: 'AQAB' }, first.jwk];
    expect(await keysAt().of('first')).toEqual(['first']);
  });

  it.each<[string, RequestListener]>([
    ['is no JSON', (_, response) => response.end('<html>')],
    ['has no keys', (_, response) => response.end('{"keys":7}')],
    ['is a redirect', (_, response) => response.writeHead(302, { location: uri }).end()],
    ['is larger than 256 KB', (_, response) => response.end(`{"keys":[],"x":"${'x'.repeat(262_144)}"}`)],
  ])('that %s is an outage', async (_, behave) => {
    answer = behave;
    await expect(keysAt().of('first')).rejects.toMatchObject(UNAVAILABLE);
  });
});
