import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import {
  type Opened,
  openCheckpoint,
  parseEntryBundle,
  parseVerifierKey,
  leafHash,
  verifyConsistency,
  verifyInclusion,
} from '../../src/tlog/index.js';
import { databaseKinds } from '../support/databases.js';
import { startWorld, type World } from '../support/world.js';
import { ADMIN_TOKEN, request, tokenOf } from '../support/writ.js';

type Got = Readonly<{ status: number; headers: Headers; bytes: Buffer; text: string }>;
type Proof = Readonly<{ index: number; size: number; proof: string[]; checkpoint: string | null }>;

describe.each(databaseKinds)('the tree of the log as anybody reads it (%s)', (kind) => {
  let world: World;
  const get = async (path: string, headers: Record<string, string> = {}): Promise<Got> => {
    const response = await fetch(`${world.issuer}/audit/v1/${path}`, { headers });
    const bytes = Buffer.from(await response.arrayBuffer());
    return { status: response.status, headers: response.headers, bytes, text: bytes.toString('utf8') };
  };
  const json = async <T>(path: string): Promise<T> => JSON.parse((await get(path)).text) as T;
  const opened = async (note?: string): Promise<Opened> => {
    const { origin, keys } = await json<{ origin: string; keys: { vkey: string }[] }>('keys');
    const parsed = keys.flatMap(({ vkey }) => {
      const key = parseVerifierKey(vkey);
      return key.ok ? [key.value] : [];
    });
    const checkpoint = openCheckpoint(note ?? (await get('checkpoint')).text, { origin, keys: parsed });
    if (!checkpoint.ok) throw new Error(checkpoint.error);
    return checkpoint.value;
  };
  const inTree = async (leaf: string): Promise<Proof> => {
    for (let waited = 0; waited < 5_000; waited += 50) {
      const reply = await get(`proof/inclusion?leaf=${leaf}`);
      if (reply.status === 200) return JSON.parse(reply.text) as Proof;
      await pause(50);
    }
    throw new Error('not sequenced');
  };
  const mint = async (): Promise<string> => {
    const { writ } = decodeJwt<{ writ: { leaf: string } }>(tokenOf(await world.exchange()));
    return writ.leaf;
  };
  beforeAll(async () => {
    world = await startWorld({ kind });
  }, 60_000);
  afterAll(async () => {
    await world.close();
    expect(world.faults).toEqual([]);
  });

  it('proves to the holder of a token that its record is in a tree that the log signed', async () => {
    const leaf = await mint();
    const { index, size, proof, checkpoint } = await inTree(leaf);
    const { checkpoint: head } = await opened(checkpoint ?? undefined);
    expect(head).toMatchObject({ size, origin: `${world.issuer.replace('http://', '')}/audit` });
    const hashes = proof.map((hash) => Buffer.from(hash, 'base64url'));
    expect(verifyInclusion(Buffer.from(leaf, 'base64url'), index, head, hashes)).toEqual({
      ok: true,
      value: undefined,
    });
    expect(await json(`proof/inclusion?index=${index}&size=${size}`)).toMatchObject({ index, size, proof });
  });

  it('proves that a later tree begins with an earlier one', async () => {
    const { checkpoint: before } = await opened();
    await inTree(await mint());
    const { checkpoint: after } = await opened();
    const { proof } = await json<Proof>(`proof/consistency?from=${before.size}&to=${after.size}`);
    const hashes = proof.map((hash) => Buffer.from(hash, 'base64url'));
    expect(verifyConsistency(before, after, hashes)).toEqual({ ok: true, value: undefined });
  });

  it('serves tiles for good, and their entries to auditors alone, the access on record', async () => {
    const { size } = await inTree(await mint());
    const width = Math.min(size, 256);
    const path = width === 256 ? '000' : `000.p/${width}`;
    const tile = await get(`tile/0/${path}`);
    expect(tile.headers.get('content-type')).toBe('application/octet-stream');
    expect(tile.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    expect(tile.headers.get('access-control-allow-origin')).toBe('*');
    const again = await get(`tile/0/${path}`, { 'if-none-match': tile.headers.get('etag') ?? '' });
    expect([again.status, again.text]).toEqual([304, '']);
    expect((await get(`tile/entries/${path}`)).status).toBe(401);
    const bundle = await get(`tile/entries/${path}`, { authorization: `Bearer ${ADMIN_TOKEN}` });
    const entries = parseEntryBundle(bundle.bytes);
    expect(entries.ok && Buffer.concat(entries.value.map(leafHash))).toEqual(tile.bytes);
    expect(bundle.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('serves the checkpoint and the keys to everybody, not to be believed longer than they are', async () => {
    const checkpoint = await get('checkpoint');
    expect(checkpoint.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(checkpoint.headers.get('cache-control')).toBe('no-cache');
    expect(checkpoint.headers.get('access-control-allow-origin')).toBe('*');
    const { origin } = (await opened()).checkpoint;
    expect(await json('keys')).toEqual({
      origin,
      keys: [{ vkey: expect.stringMatching(/^127\.0\.0\.1:\d+\/audit\+[0-9a-f]{8}\+/), from_size: 0, leaf: null }],
    });
  });

  it.each([
    'tile/0/001',
    'tile/0/000.p/0',
    'tile/0/000.p/256',
    'tile/0/0',
    'tile/0/x000/000',
    'tile/00/000',
    'tile/7/000',
    'tile/0/000.p/1?x=1',
    'tile/0/x999/x999/x999/x999/x999/999',
    `proof/inclusion?leaf=${'A'.repeat(43)}`,
    'proof/inclusion?index=999999',
    'proof/inclusion?index=0&size=999999',
    'proof/inclusion?index=1&size=1',
    'proof/consistency?from=0&to=999999',
  ])('has no %s', async (path) => {
    expect((await request(`${world.issuer}/audit/v1/${path}`, {})).body).toMatchObject({
      status: 404,
      code: 'not_found',
    });
  });

  it.each([
    ['proof/inclusion', 'leaf'],
    ['proof/inclusion?index=0&leaf=AAAA', 'leaf'],
    ['proof/inclusion?index=01', 'index'],
    ['proof/inclusion?leaf=%20', 'leaf'],
    ['proof/inclusion?index=0&size=-1', 'size'],
    ['proof/consistency', 'from'],
    ['proof/consistency?from=1&to=0', 'from'],
    ['proof/consistency?from=0&from=1', 'from'],
  ])('refuses %s and names %s', async (path, param) => {
    const { body } = await request(`${world.issuer}/audit/v1/${path}`, {});
    expect(body).toMatchObject({ status: 400, code: 'invalid_field', param });
  });

  it('is measured', async () => {
    const { text } = await request(`${world.issuer}/metrics`, {});
    expect(text).toMatch(/^writ_log_size [1-9]/m);
    expect(text).toMatch(/^writ_log_sequenced_total [1-9]/m);
    expect(text).toMatch(/^writ_log_halted 0$/m);
    expect(text).toMatch(/^writ_log_lag_seconds /m);
  });
});
