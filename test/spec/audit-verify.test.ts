import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { run } from '../../src/cli/index.js';
import { cosignatureLine, verifierKey } from '../../src/tlog/index.js';
import { AT, LogBook, newKey, ORIGIN, witness } from '../support/log-book.js';
import { ownWorld } from '../support/world.js';
import { request, tokenOf } from '../support/writ.js';

const AUDIT_TOKEN = randomBytes(32).toString('hex');
const folder = mkdtempSync(join(tmpdir(), 'writ-verify-'));
const copy = join(folder, 'copy');
const witnessKey = newKey();
const witnessVkey = witness('witness.example/w1', witnessKey).text;

/** A witness that cosigns what it is shown, and is always new to the log. */
const asked: string[] = [];
const cosigner = createServer((incoming, response) => {
  void text(incoming).then((body) => {
    asked.push(body);
    const note = body.slice(body.indexOf('\n\n') + 2);
    const signed = cosignatureLine(note.slice(0, note.indexOf('\n\n') + 1), 'witness.example/w1', witnessKey, AT);
    response.end(`${signed}\n`);
  });
});
await new Promise<void>((resolve) => cosigner.listen(0, '127.0.0.1', resolve));
const witnessUrl = `http://127.0.0.1:${(cosigner.address() as AddressInfo).port}`;

const world = await ownWorld({
  env: { WRIT_AUDIT_TOKEN: AUDIT_TOKEN, WRIT_LOG_COPIES: copy, WRIT_LOG_WITNESSES: `${witnessUrl} ${witnessVkey}` },
});
afterAll(() => {
  cosigner.closeAllConnections();
  cosigner.close();
  rmSync(folder, { recursive: true });
});

const claims = decodeJwt(tokenOf(await world.exchange()));
const { session } = claims['writ'] as { session: string };
const log = `${world.issuer}/audit/v1`;
const asAuditor = { headers: { authorization: `Bearer ${AUDIT_TOKEN}` } };

/** Until the answer is as wanted; the log is at most some seconds behind. */
async function eventually<T>(ask: () => Promise<T> | T, isThere: (answer: T) => boolean): Promise<T> {
  for (let waited = 0; ; waited += 100) {
    const answer = await ask();
    if (isThere(answer) || waited > 20_000) return answer;
    await pause(100);
  }
}

const bundleOf = (query: string) => request(`${log}/bundle?${query}`, asAuditor);
const bundle = (
  await eventually(
    () => bundleOf(`session=${session}`),
    ({ text }) => text.includes('"run"'),
  )
).text;
const vkey = (JSON.parse(bundle.split('\n', 1)[0] ?? '') as { keys: string[] }).keys[0] ?? '';

const verify = (...args: string[]): Promise<{ code: number; out: string }> => verifyAt(world.issuer, ...args);

/** As `WRIT_ISSUER` says where Writ is. */
async function verifyAt(issuer: string, ...args: string[]): Promise<{ code: number; out: string }> {
  const out: string[] = [];
  const code = await run(['audit', 'verify', ...args], {
    env: { WRIT_AUDIT_TOKEN: AUDIT_TOKEN, WRIT_ISSUER: issuer },
    readFile: (path) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined),
    makePrivateFile: () => false,
    readStdin: () => Promise.resolve(''),
    out: (line) => out.push(line),
    err: (line) => out.push(line),
  });
  return { code, out: out.join('\n') };
}
const file = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

describe('writ audit verify', () => {
  it('proves a session of a bundle that was saved, without the server', async () => {
    const { code, out } = await verify(file('session.jsonl', bundle), '--key', vkey);
    expect(out).toMatch(
      /^PROVED: session \S+\n1 entry, 1 session open and whole so far\nproved against the checkpoint of .*\/audit at /,
    );
    expect(out).toContain('which nobody witnessed; 1 newer entry is only claimed');
    expect(code).toBe(0);
  });

  it('names the entry that was changed, and exits 1', async () => {
    const [header = '', entry = '', ...rest] = bundle.split('\n');
    const { index, leaf, hash } = JSON.parse(entry) as { index: number; leaf: string; hash: string };
    const changed = Buffer.from(leaf, 'base64url').toString('utf8').replace('"permit"', '"refuse"');
    const line = JSON.stringify({ index, hash, leaf: Buffer.from(changed).toString('base64url') });
    const { code, out } = await verify(file('changed.jsonl', [header, line, ...rest].join('\n')), '--key', vkey);
    expect(out).toContain(
      `NOT PROVED: session ${session}\n  entry_altered (entry ${index}): its bytes are not those that were hashed`,
    );
    expect(code).toBe(1);
  });

  it('says in JSON what it says in words', async () => {
    const { code, out } = await verify(file('json.jsonl', bundle), '--key', file('vkey', `${vkey}\n`), '--json');
    expect(JSON.parse(out)).toMatchObject({
      isProved: true,
      about: { session },
      problems: [],
      entries: { included: 1 },
      keys: [],
    });
    expect(code).toBe(0);
  });

  it('exits 2 when there is nothing that it could judge', async () => {
    const saved = file('nothing.jsonl', bundle);
    for (const [args, said] of [
      [[saved], "writ: give the log's verifier key with --key; nothing can be trusted without"],
      [[saved, '--key', 'nowhere'], 'writ: there is no file nowhere'],
      [[saved, '--key', `${vkey}x`], 'is no verifier key'],
      [[join(folder, 'nowhere'), '--key', vkey], 'cannot be read'],
      [['http://example.com/audit/v1', '--key', vkey], 'must be https (http on loopback only)'],
      [[saved, '--key', vkey, '--copy', join(folder, 'none')], 'writ: there is no file'],
      [[saved, '--key', vkey, '--quorum', '1'], '--quorum must be a number of the witnesses'],
      [[saved, '--key', vkey, '--witness', vkey], '--witness must be the verifier key of a witness'],
      [[saved, '--key', vkey, '--pruned-below', 'all'], '--pruned-below must be the index of an entry'],
      [[saved, '--key', vkey, '--pruned-below', '1.5'], '--pruned-below must be the index of an entry'],
      [[saved, '--key', vkey, '--session', session, '--txn', 'x'], 'a bundle is about one thing'],
      [[`${log}/bundle?session=${session}`, '--key', vkey, '--session', 'other'], 'a bundle is about one thing'],
    ] as const) {
      const { code, out } = await verify(...args);
      expect([code, out]).toEqual([2, expect.stringContaining(said)]);
    }
  });

  it('proves a whole log by its address, with every entry of it', async () => {
    const { code, out } = await verify(log, '--key', vkey);
    expect(out).toMatch(/^PROVED: the whole log\n\d+ entries/);
    expect(out).not.toContain('by their hashes alone');
    expect(code).toBe(0);
  });

  it('proves a whole log by its hashes for whoever may not read the entries, and says so', async () => {
    const { code, out } = await verifyAt('https://another.example', log, '--key', vkey);
    expect(out).toMatch(/\nPROVED: the whole log\n\d+ entries\nby their hashes alone: with an auditor's token /);
    expect(code).toBe(0);
  });

  it('says that a bundle is about something else than was asked', async () => {
    const saved = file('asked.jsonl', bundle);
    expect((await verify(saved, '--key', vkey, '--session', session)).code).toBe(0);
    for (const other of [
      ['--session', 'ses_other'],
      ['--txn', session],
    ] as const) {
      const { code, out } = await verify(saved, '--key', vkey, ...other);
      expect([code, out]).toEqual([1, expect.stringContaining('other_subject (line 1)')]);
    }
    // Whoever stands between answers with a bundle that is right, and of something else.
    const other = (await bundleOf(`txn=${String(claims['txn'])}`)).text;
    const between = createServer((_, response) => response.end(other));
    await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
    const at = `http://127.0.0.1:${(between.address() as AddressInfo).port}/audit/v1`;
    const asked = await verify(`${at}/bundle?session=${session}`, '--key', vkey);
    expect([asked.code, asked.out]).toEqual([1, expect.stringContaining('other_subject (line 1)')]);
    expect((await verify(`${at}/bundle?txn=${String(claims['txn'])}`, '--key', vkey)).out).toContain(
      'PROVED: entries of',
    );
    between.close();
  });

  it('sends the token of the environment to WRIT_ISSUER only, and another where it is told to', async () => {
    const url = `${log}/bundle?session=${session}`;
    for (const issuer of ['', 'https://writ.example', world.issuer.replace('127.0.0.1', 'localhost')]) {
      const { code, out } = await verifyAt(issuer, url, '--key', vkey);
      expect([code, out]).toEqual([2, expect.stringMatching(/WRIT_AUDIT_TOKEN is sent to WRIT_ISSUER only[^]* 401$/)]);
    }
    const token = ['--token-file', file('token', `${AUDIT_TOKEN}\n`)] as const;
    expect((await verifyAt('https://writ.example', url, '--key', vkey, ...token)).code).toBe(0);
  });

  it.each([
    ['checkpoint', 256 * 1024],
    ['tile/', 256 * 32],
  ])('reads no more of a %s than it can have', async (path, longest) => {
    const { text: note } = await request(`${log}/checkpoint`, {});
    const endless = createServer((incoming, response) => {
      const isWanted = incoming.url?.startsWith(`/audit/v1/${path}`) === true;
      response.end(isWanted ? Buffer.alloc(longest + 1, 'x') : note);
    });
    await new Promise<void>((resolve) => endless.listen(0, '127.0.0.1', resolve));
    const at = `http://127.0.0.1:${(endless.address() as AddressInfo).port}/audit/v1`;
    const { code, out } = await verify(at, '--key', vkey);
    endless.close();
    expect([code, out]).toEqual([2, expect.stringContaining(`answers with more than ${longest} bytes`)]);
  });

  it('takes the copies that Writ keeps elsewhere for what they are: what the log must continue', async () => {
    await eventually(() => existsSync(copy), Boolean);
    const kept = file('kept', readFileSync(copy, 'utf8'));
    await world.exchange();
    const size = Number(readFileSync(kept, 'utf8').split('\n')[1]);
    await eventually(
      () => bundleOf(`from=${size}&to=${size + 1}`),
      ({ text }) => text.includes('"run"'),
    );
    const { code, out } = await verify(`${log}/bundle?session=${session}`, '--key', vkey, '--copy', kept);
    expect(out).toContain(`proved against a kept copy of ${size} entries`);
    expect(code).toBe(0);
    expect((await verify(log, '--key', vkey, '--copy', kept)).code).toBe(0);
    const other = file('other', readFileSync(kept, 'utf8').replace(`\n${size}\n`, `\n${size + 1}\n`));
    expect((await verify(log, '--key', vkey, '--copy', other)).out).toContain('copy_unusable');
  });

  it('follows a whole log from the first key that was trusted to the newest, which signs alone', async () => {
    const [book, second] = [new LogBook().fill(300), newKey()];
    const [first = second] = book.keys;
    book.sign();
    book.rotate(second);
    book.keys = [first, second];
    book.fill(5).sign();
    book.keys = [second];
    book.fill(20).sign();
    const server = createServer((incoming, response) => {
      const { pathname, searchParams } = new URL(incoming.url ?? '', 'http://localhost');
      const path = pathname.slice('/audit/v1/'.length);
      if (path === 'bundle') {
        const range = [Number(searchParams.get('from')), Number(searchParams.get('to'))] as const;
        void book.bundle({ range }).then((lines) => response.end(lines));
        return;
      }
      const served = book.served(path);
      response.writeHead(served === undefined ? 404 : 200).end(served);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}/audit/v1`;
    const token = ['--token-file', file('any', 'any')] as const;
    const trusted = await verify(at, ...token, '--key', verifierKey(ORIGIN, first).text);
    expect(trusted.out).toContain('PROVED: the whole log\n326 entries');
    expect(trusted.out).toContain(`key announced by the log: ${verifierKey(ORIGIN, second).text}`);
    expect(trusted.code).toBe(0);
    const other = await verify(at, ...token, '--key', verifierKey(ORIGIN, newKey()).text);
    expect([other.code, other.out]).toEqual([1, expect.stringContaining('checkpoint_untrusted')]);
    server.close();
  });

  it('says when a witness had cosigned the checkpoint', async () => {
    const args = ['--key', vkey, '--witness', witnessVkey] as const;
    const { code, out } = await eventually(
      () => verify(log, ...args),
      (answer) => answer.code === 0,
    );
    expect(out).toMatch(
      /proved against the checkpoint witnessed at 2026-11-22T\S+Z by witness\.example\/w1; \d+ newer/,
    );
    expect(code).toBe(0);
    expect(asked[0]).toMatch(/^old 0\n\n/);
  });
});

describe('GET /audit/v1/bundle', () => {
  it('is for auditors only, who must ask for one thing', async () => {
    expect((await request(`${log}/bundle?session=${session}`, {})).status).toBe(401);
    for (const query of [
      '',
      'session=a&txn=b',
      'from=x',
      'session=',
      'since=1&from=2&to=3',
      'sizes=1',
      'since=1',
      'until=1',
      'from=1',
      'to=1',
      'since=2&until=1',
      'from=2&to=1',
      'session=a&sizes=x',
    ]) {
      expect([query, (await bundleOf(query)).status]).toEqual([query, 400]);
    }
  });

  it('answers by transaction, by time and by place', async () => {
    const lines = async (query: string): Promise<string[]> => (await bundleOf(query)).text.trimEnd().split('\n');
    expect((await lines(`txn=${String(claims['txn'])}`)).at(-1)).toBe('{"end":true,"entries":1}');
    expect(await lines('from=0&to=2')).toHaveLength(5);
    const now = Math.floor(Date.now() / 1_000);
    expect((await lines(`since=${now - 600}&until=${now + 600}`)).length).toBeGreaterThan(4);
    expect(await lines('since=1&until=2')).toHaveLength(2);
    expect(await lines('txn=unknown')).toHaveLength(2);
  });
});
