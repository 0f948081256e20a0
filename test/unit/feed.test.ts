import { createHash, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import {
  FEED_TYP,
  FeedAnswer,
  FeedBatch,
  feedId,
  feedTarget,
  importKey,
  MAX_BATCH_ENTRIES,
  MAX_BATCH_LENGTH,
  parseBatch,
  targetsOf,
  verifySignature,
} from '../../src/protocol/index.js';
import { jws } from '../support/jws.js';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const issuer = 'https://writ.example';
const HEADER = { alg: 'ES256', kid: 'k1', typ: FEED_TYP };
const entry = (n: number): [string, number, number] => [feedId(`token:${String(n)}`), n, 1_795_306_000];
const BATCH = { iss: issuer, at: 1_795_305_600_123, from: 4, to: 9, entries: [entry(5), entry(8)] };
const read = (payload: unknown, header: unknown = HEADER) => parseBatch(jws(privateKey, header, payload), issuer);

describe('the id of a target', () => {
  it('is the first 16 bytes of the SHA-256 of its text, in base64url', () => {
    const bytes = createHash('sha256').update('session:ses_1').digest().subarray(0, 16);
    expect(feedId(feedTarget.session('ses_1'))).toBe(bytes.toString('base64url'));
    expect(feedId('session:ses_1')).toMatch(/^[\w-]{22}$/);
  });

  it('is made of the kind and the name, so that no two kinds of thing share one', () => {
    expect([
      feedTarget.token('jti_1'),
      feedTarget.transaction('txn_1'),
      feedTarget.session('ses_1'),
      feedTarget.person('prs_1'),
      feedTarget.agent('agt_1'),
      feedTarget.server('https://mcp.example/files'),
      feedTarget.tool('https://mcp.example/files', 'write_file'),
      feedTarget.key('kid_1'),
    ]).toEqual([
      `token:${createHash('sha256').update('jti_1').digest('base64url')}`,
      'txn:txn_1',
      'session:ses_1',
      'person:prs_1',
      'agent:agt_1',
      'server:https://mcp.example/files',
      'tool:https://mcp.example/files#write_file',
      'key:kid_1',
    ]);
  });
});

describe('the targets of a token', () => {
  const shared = {
    iss: issuer,
    aud: 'https://mcp.example/files',
    sub: 'prs_1',
    jti: 'jti_1',
    txn: 'txn_1',
    iat: 1,
    exp: 2,
    scope: '',
    tctx: { call_chain: [] },
    rctx: {},
    act: {
      sub: 'agt_2/worker',
      iss: issuer,
      act: { sub: 'agt_1', iss: issuer, act: { sub: 'agt_9', iss: 'https://other.example' } },
    },
    writ: { decision: 'dec_1', policy: 'p', session: 'ses_1', seen: 3, leaf: 'A'.repeat(43) },
  };
  const claims = { ...shared, client_id: 'agt_1' };
  const common = [
    feedTarget.token('jti_1'),
    'txn:txn_1',
    'session:ses_1',
    'person:prs_1',
    'server:https://mcp.example/files',
  ];

  it('are itself, what it belongs to, its server and every agent of ours in its chain once, but not the key that its `seen` is forged with', () => {
    expect(targetsOf(claims)).toEqual([...common, 'agent:agt_1', 'agent:agt_2']);
  });

  it('of a transaction token are the same, without a client', () => {
    expect(targetsOf({ ...shared, act: { sub: 'agt_2', iss: issuer }, req_wl: 'agt_2' })).toEqual([
      ...common,
      'agent:agt_2',
    ]);
  });
});

describe('a batch', () => {
  it('is read as it was signed, and its signature is still to be checked', () => {
    const parsed = read(BATCH);
    const key = importKey({ ...(publicKey.export({ format: 'jwk' }) as { kty: 'EC' }), kid: 'k1' });
    if (!parsed.ok || !key.ok) throw new Error('not read');
    expect(parsed.value.batch).toEqual(BATCH);
    expect(verifySignature(parsed.value.jws, key.value)).toBe(true);
  });

  it('without entries is a heartbeat, and with `more` is not the end', () => {
    expect(FeedBatch.parse({ ...BATCH, from: 9, entries: [] })).toEqual({ ...BATCH, from: 9, entries: [] });
    expect(FeedBatch.parse({ ...BATCH, more: true })).toEqual({ ...BATCH, more: true });
  });

  it('of the most entries and the longest numbers fits what a receiver takes', () => {
    const start = Number.MAX_SAFE_INTEGER - MAX_BATCH_ENTRIES;
    const entries = Array.from({ length: MAX_BATCH_ENTRIES }, (_, n) => [
      feedId(String(n)),
      start + n,
      253_402_300_799,
    ]);
    const iss = `https://${'w'.repeat(500)}`;
    const text = jws(privateKey, HEADER, { ...BATCH, iss, to: Number.MAX_SAFE_INTEGER, entries });
    expect(text.length).toBeLessThan(MAX_BATCH_LENGTH);
    expect(parseBatch(text, iss).ok).toBe(true);
  });

  it.each([
    ['another issuer', { ...BATCH, iss: 'https://evil.example' }, HEADER, 'wrong_issuer'],
    ['the type of a token', BATCH, { ...HEADER, typ: 'txnat+jwt' }, 'wrong_type'],
    ['no type', BATCH, { alg: 'ES256', kid: 'k1' }, 'wrong_type'],
    ['another algorithm', BATCH, { ...HEADER, alg: 'RS256' }, 'wrong_algorithm'],
    ['an extension', BATCH, { ...HEADER, crit: ['b64'] }, 'unknown_crit'],
    ['a member too many', { ...BATCH, alive: [] }, HEADER, 'not_a_batch'],
    ['no time', { ...BATCH, at: undefined }, HEADER, 'not_a_batch'],
    ['a time with a fraction', { ...BATCH, at: 1.5 }, HEADER, 'not_a_batch'],
    ['an end before its start', { ...BATCH, from: 10, entries: [] }, HEADER, 'not_a_batch'],
    ['an entry at its start', { ...BATCH, entries: [entry(4)] }, HEADER, 'not_a_batch'],
    ['an entry after its end', { ...BATCH, entries: [entry(10)] }, HEADER, 'not_a_batch'],
    ['entries that descend', { ...BATCH, entries: [entry(8), entry(5)] }, HEADER, 'not_a_batch'],
    ['a number twice', { ...BATCH, entries: [entry(8), entry(8)] }, HEADER, 'not_a_batch'],
    ['an id that is too short', { ...BATCH, entries: [['short', 5, 1]] }, HEADER, 'not_a_batch'],
    ['an id that has two spellings', { ...BATCH, entries: [[`${'A'.repeat(21)}B`, 5, 1]] }, HEADER, 'not_a_batch'],
    ['an entry without its end', { ...BATCH, entries: [[feedId('x'), 5]] }, HEADER, 'not_a_batch'],
    ['`more` that is no more', { ...BATCH, more: false }, HEADER, 'not_a_batch'],
    ['an array for a payload', [BATCH], HEADER, 'bad_json'],
  ])('with %s is refused', (_what, payload, header, flaw) => {
    expect(read(payload, header)).toEqual({ ok: false, error: flaw });
  });

  it('longer than any of ours is refused before it is read', () => {
    expect(parseBatch('a'.repeat(MAX_BATCH_LENGTH + 1), issuer)).toEqual({ ok: false, error: 'too_long' });
  });
});

describe('an answer', () => {
  it('is batches and nothing else', () => {
    expect(FeedAnswer.safeParse({ batches: ['a.b.c'] }).success).toBe(true);
    for (const wrong of [{ batches: [] }, { batches: [1] }, { batches: ['a'], more: true }, {}])
      expect(FeedAnswer.safeParse(wrong).success).toBe(false);
  });
});
