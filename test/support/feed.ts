import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { z } from 'zod';
import {
  candidates,
  FeedAnswer,
  type FeedBatch,
  feedId,
  importKey,
  Jwks,
  parseBatch,
  type VerificationKey,
  verifySignature,
} from '../../src/protocol/index.js';
import { revoke } from '../../src/storage/index.js';
import type { Client, World } from './world.js';
import { assertion, type Reply, request, type TestWrit } from './writ.js';

type At = Pick<TestWrit, 'issuer'> & Readonly<{ base?: string }>;

/** Asks the feed as this client, whose assertion is the bearer token, or with these headers. */
export async function askFeed(at: At, path: string, by: Client | Readonly<Record<string, string>>): Promise<Reply> {
  return request(`${at.base ?? at.issuer}/feed/v1${path}`, { method: 'GET', headers: await headersOf(at, by) });
}

async function headersOf(at: At, by: Client | Readonly<Record<string, string>>): Promise<Record<string, string>> {
  return 'key' in by ? { authorization: `Bearer ${await assertion(at.issuer, by as Client)}` } : { ...by };
}

/** A batch as a receiver believes it: its form, its issuer and its signature. */
export async function believed(at: At, jws: string): Promise<FeedBatch> {
  const parsed = parseBatch(jws, at.issuer);
  if (!parsed.ok) throw new Error(parsed.error);
  const known = keysOf.get(at.issuer) ?? (await readKeys(at));
  keysOf.set(at.issuer, known);
  if (!candidates(parsed.value.jws, known).some((key) => verifySignature(parsed.value.jws, key)))
    throw new Error('no key of the issuer signed this');
  return parsed.value.batch;
}

const keysOf = new Map<string, readonly VerificationKey[]>();

async function readKeys(at: At): Promise<readonly VerificationKey[]> {
  const { keys } = Jwks.parse((await request(`${at.base ?? at.issuer}/jwks`, { method: 'GET' })).body);
  return keys.map((jwk) => importKey(jwk)).flatMap((key) => (key.ok ? [key.value] : []));
}

export const batchesOf = (at: At, { body }: Pick<Reply, 'body'>): Promise<FeedBatch[]> =>
  Promise.all(FeedAnswer.parse(body).batches.map((jws) => believed(at, jws)));

/** Revokes by the code that every route revokes with; answers the number of the last. */
export async function revokeTargets({ writ }: Pick<World, 'writ'>, ...targets: string[]): Promise<number> {
  await revoke(writ.database.prisma, targets, 'test', 'test');
  return headOf({ writ });
}

export async function headOf({ writ }: Pick<World, 'writ'>): Promise<number> {
  const { _max } = await writ.database.prisma.revocation.aggregate({ _max: { number: true } });
  return Number(_max.number ?? 0n);
}

export const idsOf = (batches: readonly FeedBatch[]): readonly string[] =>
  batches.flatMap(({ entries }) => entries.map(([id]) => id));

export const hasTarget = (batches: readonly FeedBatch[], target: string): boolean =>
  idsOf(batches).includes(feedId(target));

const Event = z.tuple([z.string().regex(/^id: \d+$/), z.string().regex(/^data: [\w.-]+$/)]);

/** One stream of server-sent events, read as fast as it comes. */
export class Stream {
  readonly batches: FeedBatch[] = [];
  readonly response: IncomingMessage;
  /** Of the connection itself: to read no more from it, for one. */
  isOver = false;
  #text = '';
  #reading = Promise.resolve();
  #wake: (() => void)[] = [];
  readonly #at: At;

  private constructor(at: At, response: IncomingMessage) {
    this.#at = at;
    this.response = response;
    response.setEncoding('utf8').on('data', (chunk: string) => {
      this.#reading = this.#reading.then(() => this.#read(chunk));
    });
    response
      .on('error', () => undefined)
      .once('close', () => {
        this.isOver = true;
        this.#tell();
      });
  }

  static async open(
    at: At,
    by: Client | Readonly<Record<string, string>>,
    { after, headers = {} }: Readonly<{ after?: number; headers?: Record<string, string> }> = {},
  ): Promise<Stream> {
    const address = `${at.base ?? at.issuer}/feed/v1/events${after === undefined ? '' : `?after=${String(after)}`}`;
    const asked = httpRequest(address, { headers: { ...(await headersOf(at, by)), ...headers }, agent: false });
    asked.on('error', () => undefined).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    return new Stream(at, response);
  }

  /** Resolves as soon as this is so of what came. */
  async until(isSo: (stream: Stream) => boolean): Promise<void> {
    while (!isSo(this)) {
      if (this.isOver) throw new Error('the stream is over');
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  async over(): Promise<void> {
    while (!this.isOver) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  close(): void {
    this.response.destroy();
  }

  async #read(chunk: string): Promise<void> {
    const events = (this.#text + chunk).split('\n\n');
    this.#text = events.pop() ?? '';
    for (const event of events) {
      const [id, data] = Event.parse(event.split('\n'));
      const batch = await believed(this.#at, data.slice('data: '.length));
      if (id !== `id: ${String(batch.to)}`) throw new Error(`${id} is not the end of its batch`);
      this.batches.push(batch);
    }
    this.#tell();
  }

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
