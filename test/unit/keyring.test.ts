import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { importKey, parseJws, verifySignature } from '../../src/protocol/index.js';
import { type KeyStore, openKeyRing, type StoredKey, type StoredKeys } from '../../src/token/index.js';
import { seal, unseal } from '../../src/token/seal.js';

const KEY = randomBytes(32);
const NOW = 1_795_305_600;

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
    ['half a tag of nothing', [seal(new Uint8Array(), box).subarray(0, 20), box]],
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
    read: () => Promise.resolve({ keys: [...stored], former: [], dueIn: undefined }),
    insertFirst: (key) => {
      if (stored.every(({ state }) => state !== 'active')) stored.unshift({ ...key, state: 'active', ...TIMES });
      return Promise.resolve();
    },
    insertNext: () => Promise.reject(new Error('not here')),
    settle: () => Promise.reject(new Error('not here')),
    withdraw: () => Promise.reject(new Error('not here')),
    reseal: (reseal) => {
      stored.forEach((key, at) => {
        const sealed = key.sealed.length === 0 ? undefined : reseal(key);
        if (sealed !== undefined) stored[at] = { ...key, sealed };
      });
      return Promise.resolve();
    },
  };
}
const TIMES = {
  createdAt: NOW,
  activatesAt: NOW,
  retiredAt: undefined,
  publishedUntil: undefined,
  withdrawnAt: undefined,
};
const TIMING = { cache: 600, longestToken: 600, skew: 30 };
const open = (store: KeyStore, ...encryptionKeys: Uint8Array[]) =>
  openKeyRing({ store, encryptionKeys: [encryptionKeys[0] ?? KEY, ...encryptionKeys.slice(1)], timing: TIMING });

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
    expect([key.alg, store.stored[0]?.alg]).toEqual(['ES256', 'ES256']);
    expect(key.kid).toMatch(/^[\w-]{16}$/);
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

  it('makes a key where none is active', async () => {
    const old = await firstKey();
    const store = rows({ ...old, state: 'retired' });
    const ring = await open(store);
    expect(ring.active().kid).not.toBe(old.kid);
    expect(store.stored.map(({ kid, state }) => [kid === old.kid, state])).toEqual([
      [false, 'active'],
      [true, 'retired'],
    ]);
  });

  it('signs with none while none is active any more', async () => {
    const store = rows(await firstKey());
    const ring = await open(store);
    for (const left of [store.stored.map((key) => ({ ...key, state: 'retired' as const })), []]) {
      store.stored.splice(0, 1, ...left);
      await ring.refresh();
      expect(() => ring.active()).toThrow(expect.objectContaining({ code: 'keys_unavailable' }));
    }
  });

  it('publishes and verifies by retired keys, and signs by the active one', async () => {
    const [old, current] = [await firstKey(), await firstKey()];
    const ring = await open(rows({ ...old, state: 'retired', sealed: new Uint8Array() }, current));
    expect(ring.active().kid).toBe(current.kid);
    expect(ring.all().map(({ kid }) => kid)).toEqual([current.kid, old.kid]);
    expect(ring.verification.map(({ kid }) => kid)).toEqual([old.kid, current.kid]);
    expect(() => ring.signer(old.kid).sign(DATA)).toThrow(/may not sign/);
  });

  it('publishes the next key and does not sign by it', async () => {
    const [next, current, old] = [await firstKey(), await firstKey(), await firstKey()];
    const ring = await open(rows({ ...next, state: 'next' }, current, { ...old, state: 'retired' }));
    expect(ring.published.map(({ kid }) => kid)).toEqual([next.kid, current.kid, old.kid]);
    expect(ring.all().map(({ kid }) => kid)).toEqual([current.kid, next.kid, old.kid]);
    expect(ring.active().kid).toBe(current.kid);
    expect(() => ring.signer(next.kid).sign(DATA)).toThrow(/may not sign/);
  });

  it('signs what was prepared with the key that has retired meanwhile, and with no key that was withdrawn', async () => {
    const [old, newer] = [await firstKey(), await firstKey()];
    const store = rows(old);
    const ring = await open(store);
    const prepared = ring.signer(old.kid);
    store.stored.splice(0, 1, newer, { ...old, state: 'retired', sealed: new Uint8Array() });
    await ring.refresh();
    expect(ring.active().kid).toBe(newer.kid);
    expect(ring.signer(old.kid).sign(DATA)).toHaveLength(64);
    store.stored.splice(1, 1, { ...old, state: 'withdrawn', sealed: new Uint8Array() });
    await ring.refresh();
    expect([ring.published, ring.verification].map((keys) => keys.map(({ kid }) => kid))).toEqual([
      [newer.kid],
      [newer.kid],
    ]);
    for (const signing of [() => prepared.sign(DATA), () => ring.signer(old.kid)]) {
      expect(signing).toThrow(expect.objectContaining({ code: 'keys_unavailable' }));
    }
  });

  it('seals again what an earlier encryption key sealed, after which that one opens nothing', async () => {
    const store = rows(await firstKey());
    const [before] = store.stored;
    const newer = randomBytes(32);
    const ring = await open(store, newer, KEY);
    expect(ring.active().kid).toBe(before?.kid);
    expect(store.stored[0]?.sealed).not.toEqual(before?.sealed);
    const after = [...store.stored];
    await open(store, newer, KEY);
    expect(store.stored).toEqual(after);
    await expect(open(store, KEY)).rejects.toThrow(/does not open/);
    expect((await open(store, newer)).active().kid).toBe(before?.kid);
    const newest = randomBytes(32);
    expect((await open(store, newest, KEY, newer)).active().kid).toBe(before?.kid);
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
  ])('does not open %s', async (_, change, encryptionKey, message) => {
    const store = rows(change(await firstKey(), await firstKey()));
    const opening = open(store, encryptionKey);
    await expect(opening).rejects.toMatchObject({ name: 'Fault', code: 'keys_unavailable' });
    await expect(opening).rejects.toThrow(message);
  });
});

describe('a ring that follows its database', () => {
  /** What is read, one answer for each time, the last of them for ever. */
  const answering = (...answers: readonly (StoredKeys | Error)[]) => {
    const seen = { reads: 0, settled: [] as number[] };
    const read = (): Promise<StoredKeys> => {
      const answer = answers[Math.min(seen.reads++, answers.length - 1)];
      return answer instanceof Error || answer === undefined
        ? Promise.reject(answer ?? new Error())
        : Promise.resolve(answer);
    };
    const settle = (overlap: number): Promise<void> => {
      seen.settled.push(overlap);
      return Promise.resolve();
    };
    const insertFirst = (): Promise<void> => Promise.reject(new Error('there is one'));
    return { seen, store: { ...rows(), read, settle, insertFirst } };
  };
  const now = (keys: readonly StoredKey[], dueIn?: number): StoredKeys => ({ keys, former: [], dueIn });
  const ringOf = async (store: KeyStore, heard: unknown[] = []) =>
    openKeyRing({ store, encryptionKeys: [KEY], timing: TIMING, onFault: (thrown) => heard.push(thrown) });

  it('makes no key where one is active', async () => {
    const key = await firstKey();
    expect((await ringOf(answering(now([{ ...key, state: 'active' }])).store)).active().kid).toBe(key.kid);
  });

  it('signs with what it read within ten seconds, and with nothing older', async () => {
    const { store } = answering(now([await firstKey()]));
    const later = jumpTo(5_000);
    const ring = await ringOf(store);
    const key = ring.active();
    later.jump(15_000);
    expect([ring.isFresh(), key.sign(DATA).length]).toEqual([true, 64]);
    later.jump(15_001);
    expect(ring.isFresh()).toBe(false);
    for (const signing of [() => ring.active(), () => key.sign(DATA), () => ring.signer(key.kid).sign(DATA)])
      expect(signing).toThrow(expect.objectContaining({ code: 'keys_unavailable' }));
    await ring.refresh();
    expect([ring.isFresh(), key.sign(DATA).length]).toEqual([true, 64]);
    later.end();
  });

  it.each<[string, number | undefined, number[]]>([
    ['is due', 0, [1_240]],
    ['was due', -5, [1_240]],
    ['is due later', 1, []],
    ['is never due', undefined, []],
  ])(
    'settles what %s, for as long as anything signed may live and be cached, and reads again',
    async (_, dueIn, settled) => {
      const [old, newer] = [await firstKey(), await firstKey()];
      const { seen, store } = answering(now([old]), now([old], dueIn), now([newer]));
      const ring = await ringOf(store);
      expect(seen.settled).toEqual(settled);
      expect(ring.active().kid).toBe(settled.length > 0 ? newer.kid : old.kid);
    },
  );

  it('tells once of a key that does not open, publishes it, and signs with the others', async () => {
    const [bad, good] = [await firstKey(), await firstKey()];
    const heard: unknown[] = [];
    const next: StoredKey = { ...bad, state: 'next', sealed: flip(bad.sealed, 40) };
    const empty: StoredKey = { ...bad, kid: 'old', state: 'retired', sealed: new Uint8Array() };
    const ring = await ringOf(answering(now([next, good, empty])).store, heard);
    await ring.refresh();
    await ring.refresh();
    expect(heard).toEqual([expect.objectContaining({ name: 'Fault', code: 'keys_unavailable' })]);
    expect(ring.published).toHaveLength(3);
    expect(ring.active().kid).toBe(good.kid);
    expect(() => ring.signer(bad.kid).sign(DATA)).toThrow(/may not sign/);
  });

  it('passes over a published key that cannot verify', async () => {
    const [weak, good] = [await firstKey(), await firstKey()];
    const publicJwk = { kty: 'RSA', kid: weak.kid, n: 'AQAB', e: 'AQAB' };
    const ring = await ringOf(answering(now([{ ...weak, state: 'retired', publicJwk }, good])).store);
    expect(ring.verification.map(({ kid }) => kid)).toEqual([good.kid]);
  });

  it('lets those who ask while a read is under way share the one after it', async () => {
    const key = await firstKey();
    const { seen, store } = answering(now([key]));
    let open: () => void = () => undefined;
    let gate = Promise.resolve();
    let begun = 0;
    const read = (): Promise<StoredKeys> => {
      begun += 1;
      return gate.then(() => store.read());
    };
    const ring = await ringOf({ ...store, read });
    const before = seen.reads;
    begun = 0;
    gate = new Promise((resolve) => (open = resolve));
    const first = ring.refresh();
    await pause(1);
    const shared = [ring.refresh(), ring.refresh(), ring.refresh()];
    await pause(1);
    expect(begun).toBe(1);
    gate = Promise.resolve();
    open();
    await Promise.all([first, ...shared]);
    expect(seen.reads - before).toBe(2);
  });

  it('reads when a key is due, tells of the first of several failures in a row, and stops', async () => {
    const key = await firstKey();
    const due = now([key], 0.001);
    const gone = new Error('no database');
    const { seen, store } = answering(due, due, gone, gone, due, gone, due);
    const heard: unknown[] = [];
    const ring = await ringOf(store, heard);
    const stop = ring.watch();
    for (let waited = 0; seen.reads < 8 && waited < 400; waited++) await pause(5);
    expect(seen.reads).toBeGreaterThanOrEqual(8);
    stop();
    const { reads } = seen;
    await pause(60);
    expect(heard).toEqual([gone, gone]);
    expect(seen.reads).toBe(reads);
  });

  it('goes on after a failure that nobody wants to hear of', async () => {
    const due = now([await firstKey()], 0.001);
    const { seen, store } = answering(due, due, new Error('no database'), due);
    const stop = (await open(store)).watch();
    for (let waited = 0; seen.reads < 5 && waited < 400; waited++) await pause(5);
    stop();
    expect(seen.reads).toBeGreaterThanOrEqual(5);
  });

  it('tells of nothing and reads no more once it has stopped, whatever comes of the read that is under way', async () => {
    const due = now([await firstKey()], 0.001);
    const { seen, store } = answering(due, due, new Error('no database'), due);
    const heard: unknown[] = [];
    let gate = Promise.resolve();
    const ring = await ringOf({ ...store, read: () => gate.then(() => store.read()) }, heard);
    let open: () => void = () => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const stop = ring.watch();
    await pause(60);
    stop();
    open();
    await pause(60);
    expect([heard, seen.reads]).toEqual([[], 3]);
  });
});

/** Puts the process' own clock where a test wants it. */
function jumpTo(at: number): { jump(to: number): void; end(): void } {
  const real = performance.now.bind(performance);
  const jump = (to: number): void => {
    performance.now = () => to;
  };
  jump(at);
  return { jump, end: () => (performance.now = real) };
}

const DATA = Buffer.from('to be signed');
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
