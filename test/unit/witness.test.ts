import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { askWitness, type PostText } from '../../src/audit/index.js';
import {
  cosignatureLine,
  fromBase64,
  openCheckpoint,
  signatureLine,
  verifierKey,
  verifyConsistency,
} from '../../src/tlog/index.js';
import { AT, LogBook, newKey, ORIGIN, witness } from '../support/log-book.js';

const NAME = 'witness.example/w1';
const key = newKey();
const log = new LogBook().fill(300);
const first = log.sign();
log.fill(20);
const second = log.sign();
const textOf = (note: string): string => note.slice(0, note.lastIndexOf('\n\n') + 1);
const rootOf = (note: string) => {
  const opened = openCheckpoint(note, { origin: ORIGIN, keys: log.options.keys });
  if (!opened.ok) throw new Error(opened.error);
  return opened.value.checkpoint;
};

/** A witness that does what C2SP tlog-witness says, or what a test has it answer. */
let known: string | undefined;
let answers: ((request: IncomingMessage, body: string) => [number, string]) | undefined;
const bodies: string[] = [];
let server: Server;
let url = '';

function honest(body: string): [number, string] {
  const [head = '', note = ''] = body.split(/\n\n([^]*)/);
  const [old = '', ...proof] = head.split('\n');
  const from = known === undefined ? { size: 0, root: Buffer.alloc(0) } : rootOf(known);
  if (old !== `old ${from.size}`) return [409, `${from.size}\n`];
  const hashes = proof.map((line) => fromBase64(line) ?? Buffer.alloc(0));
  if (from.size === 0 ? hashes.length > 0 : !verifyConsistency(from, rootOf(note), hashes).ok) return [422, ''];
  known = note;
  return [200, `${cosignatureLine(textOf(note), NAME, key, AT)}\n`];
}

beforeAll(async () => {
  server = createServer((request, response) => {
    void text(request).then((body) => {
      bodies.push(body);
      const [status, answer] =
        request.url !== '/w/add-checkpoint' ? [404, ''] : (answers?.(request, body) ?? honest(body));
      response.writeHead(status).end(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/w`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const post: PostText = async (to, body) => {
  const response = await fetch(to, { method: 'POST', body });
  return { status: response.status, body: await response.text() };
};
const ask = (note: string, from: number, keys = [witness(NAME, key)]) =>
  askWitness({ url, keys }, { note, size: rootOf(note).size, from }, { post, tiles: log.tiles.read });
const answering = async (status: number, body: string) => {
  answers = () => [status, body];
  const answer = await ask(second, 0);
  answers = undefined;
  return answer;
};
const cosigned = (note: string, at = AT) => ({ name: NAME, line: cosignatureLine(textOf(note), NAME, key, at), at });

describe('C2SP tlog-witness', () => {
  it('cosigns a first checkpoint, and a later one by a proof that leads from it', async () => {
    expect(await ask(first, 0)).toEqual({ ok: true, value: [cosigned(first)] });
    expect(bodies.at(-1)).toBe(`old 0\n\n${first}`);
    expect(await ask(second, 300)).toEqual({ ok: true, value: [cosigned(second)] });
    expect(bodies.at(-1)).toMatch(/^old 300\n([A-Za-z0-9+/]{43}=\n){1,63}\n/);
  });

  it('is asked once more, from the size that it says it has', async () => {
    known = first;
    bodies.length = 0;
    expect(await ask(second, 0)).toEqual({ ok: true, value: [cosigned(second)] });
    expect(bodies.map((body) => body.split('\n', 1)[0])).toEqual(['old 0', 'old 300']);
  });

  it('that says it has more than the log is not asked again', async () => {
    bodies.length = 0;
    expect(await answering(409, '321\n')).toEqual({ ok: false, error: 'ahead' });
    expect(bodies.length).toBe(1);
  });

  it.each([
    ['refuses', 403, ''],
    ['is at fault', 500, 'error'],
    ['contradicts itself', 409, '300\n'],
    ['names no size', 409, 'three\n'],
  ])('that %s has not cosigned', async (_, status, body) => {
    expect(await answering(status, body)).toEqual({ ok: false, error: 'refused' });
  });

  it.each([
    ['nothing', ''],
    ['a line without its end', cosignatureLine(textOf(second), NAME, key, AT)],
    ['a cosignature of another checkpoint', `${cosignatureLine(textOf(first), NAME, key, AT)}\n`],
    ['one of another key', `${cosignatureLine(textOf(second), NAME, newKey(), AT)}\n`],
    ['one without a time', `${cosignatureLine(textOf(second), NAME, key, 0)}\n`],
    ['a plain signature', `${signatureLine(textOf(second), NAME, key)}\n`],
    ['a page', '<html></html>\n'],
  ])('that answers %s has not cosigned', async (_, body) => {
    expect(await answering(200, body)).toEqual({ ok: false, error: 'not_cosigned' });
  });

  it('has only those lines kept that are of keys that are trusted', async () => {
    const other = `${cosignatureLine(textOf(second), 'w2', newKey(), AT)}\n`;
    const answer = await answering(200, `${other}${cosigned(second).line}\n`);
    expect(answer).toEqual({ ok: true, value: [cosigned(second)] });
    expect(await ask(second, 320, [verifierKey(NAME, key)])).toEqual({ ok: false, error: 'not_cosigned' });
  });

  it('that is not there is unreachable', async () => {
    const gone = { url: 'http://127.0.0.1:1', keys: [witness(NAME, key)] };
    const submission = { note: second, size: 320, from: 0 };
    expect(await askWitness(gone, submission, { post, tiles: log.tiles.read })).toEqual({
      ok: false,
      error: 'unreachable',
    });
  });
});
