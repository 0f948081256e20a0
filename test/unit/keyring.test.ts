import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { importKey, parseJws, verifySignature } from '../../src/protocol/index.js';
import { type KeyStore, openKeyRing, type StoredKey } from '../../src/token/keyring.js';
import { seal, unseal } from '../../src/token/seal.js';

const KEY = randomBytes(32);
const clock = { now: () => 1_795_305_600 };

describe('seal', () => {
  const plain = Buffer.from('a private key');
  const box = { key: KEY, context: 'kid-1' };

  it('opens with the same key and context, and is another text each time', () => {
    const [one, two] = [seal(plain, box), seal(plain, box)];
    expect(unseal(one, box)).toEqual(plain);
    expect(unseal(two, box)).toEqual(plain);
    expect(Buffer.from(one)).not.toEqual(Buffer.from(two));
    expect(Buffer.from(one).includes(plain)).toBe(false);
  });

  it.each<[string, Parameters<typeof unseal>]>([
    ['another key', [seal(plain, box), { ...box, key: randomBytes(32) }]],
    ['another context', [seal(plain, box), { ...box, context: 'kid-2' }]],
    ['a key of another length', [seal(plain, box), { ...box, key: randomBytes(16) }]],
    ['a changed nonce', [flip(seal(plain, box), 0), box]],
    ['a changed tag', [flip(seal(plain, box), 12), box]],
    ['a changed text', [flip(seal(plain, box), 28), box]],
    ['a short tag', [seal(plain, box).subarray(0, 20), box]],
    ['nothing', [new Uint8Array(), box]],
  ])('does not open with %s', (_, [sealed, wrong]) => {
    expect(unseal(sealed, wrong)).toBeUndefined();
  });
});

function flip(bytes: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}

/** The rows, as the table keeps them; the contract suite runs the real ones. */
function rows(...stored: StoredKey[]): KeyStore & { stored: StoredKey[] } {
  return {
    stored,
    list: () => Promise.resolve(stored),
    insertFirst: (key) => {
      if (stored.length === 0) stored.push(key);
      return Promise.resolve(stored);
    },
  };
}
const open = (store: KeyStore, encryptionKey: Uint8Array = KEY) => openKeyRing({ store, encryptionKey, clock });

async function firstKey(): Promise<StoredKey> {
  const store = rows();
  await open(store);
  const [key] = store.stored;
  if (key === undefined) throw new Error('no key');
  return key;
}

describe('the key ring', () => {
  it('makes the first key, publishes its public half, and signs what that verifies', async () => {
    const store = rows();
    const ring = await open(store);
    const key = ring.active();
    expect(ring.published).toEqual([key.publicJwk]);
    expect(key.publicJwk).toEqual({
      kty: 'EC',
      crv: 'P-256',
      x: expect.any(String),
      y: expect.any(String),
      kid: key.kid,
      alg: 'ES256',
      use: 'sig',
    });
    const input = `${encode({ alg: 'ES256', kid: key.kid })}.${encode({})}`;
    const jws = parseJws(`${input}.${Buffer.from(key.sign(Buffer.from(input))).toString('base64url')}`);
    const published = importKey(key.publicJwk);
    expect(jws.ok && published.ok && verifySignature(jws.value, published.value)).toBe(true);
    expect(JSON.stringify(store.stored)).not.toMatch(/"d":/);
  });

  it('is the same after a restart', async () => {
    const store = rows();
    const [first, second] = [await open(store), await open(store)];
    expect(second.published).toEqual(first.published);
    expect(second.active().kid).toBe(first.active().kid);
  });

  it('publishes and verifies by retired keys, and signs by the active one', async () => {
    const [old, current] = [await firstKey(), await firstKey()];
    const ring = await open(rows({ ...old, state: 'retired' }, current));
    expect(ring.active().kid).toBe(current.kid);
    expect(ring.verification.map(({ kid }) => kid)).toEqual([old.kid, current.kid]);
  });

  it.each<[string, (key: StoredKey, other: StoredKey) => StoredKey, Uint8Array, RegExp]>([
    ['with another encryption key', (key) => key, randomBytes(32), /WRIT_KEY_ENCRYPTION_KEY/],
    ['whose sealed half was changed', (key) => ({ ...key, sealed: flip(key.sealed, 40) }), KEY, /does not open/],
    ['whose halves were mixed up', (key, other) => ({ ...key, publicJwk: other.publicJwk }), KEY, /is damaged/],
    [
      'whose sealed half was moved to another row',
      (key, other) => ({ ...key, sealed: other.sealed }),
      KEY,
      /does not open/,
    ],
    ['when none is active', (key) => ({ ...key, state: 'retired' }), KEY, /no signing key is active/],
  ])('does not open %s', async (_, change, encryptionKey, message) => {
    const store = rows(change(await firstKey(), await firstKey()));
    const opening = open(store, encryptionKey);
    await expect(opening).rejects.toMatchObject({ name: 'Fault', code: 'keys_unavailable' });
    await expect(opening).rejects.toThrow(message);
  });
});

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
