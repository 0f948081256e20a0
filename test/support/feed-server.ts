import { KeyObject } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { ENTRY_LIFE, FEED_PATH, FEED_TYP, type FeedEntry, feedId } from '../../src/protocol/index.js';
import { newKey, type TestIssuer } from './issuer.js';
import { jws } from './jws.js';

type Batch = Readonly<{
  iss: string;
  at: number;
  from: number;
  to: number;
  entries: readonly FeedEntry[];
  more?: true;
}>;
type Stream = { response: ServerResponse; to: number };

/** How often it says something, in milliseconds. */
const BEAT_MS = 50;
const PAGE = 1_000;

/** The feed of a {@link TestIssuer} by the rules of the protocol, until something of it is broken. */
export class TestFeed {
  readonly counts = { snapshots: 0, streams: 0 };

  isOff = false;
  /** The database cannot be read: streams stay open and say nothing, and the rest is refused. */
  isBlind = false;
  delayMs = 0;
  /** How far the clock of the database is off. */
  shiftMs = 0;
  /** What is sent in the place of a batch that is due. */
  spoil: (batch: Batch) => readonly (string | Batch)[] = (batch) => [batch];
  readonly #issuer: TestIssuer;
  readonly #entries: FeedEntry[] = [];
  readonly #streams = new Set<Stream>();
  readonly #timer: NodeJS.Timeout;
  #number = 0;

  constructor(issuer: TestIssuer) {
    this.#issuer = issuer;
    issuer.beside.push((request, response) => this.#answers(request, response));
    this.#timer = setInterval(() => {
      this.#beat();
    }, BEAT_MS).unref();
  }

  /** Revokes at once, and answers with the number. */
  revoke(...targets: readonly string[]): number {
    const exp = Math.floor(Date.now() / 1_000) + ENTRY_LIFE;
    for (const target of targets) this.#entries.push([feedId(target), ++this.#number, exp]);
    this.#beat();
    return this.#number;
  }

  get followers(): number {
    return this.#streams.size;
  }

  /** Ends every connection in the middle. */
  cut(): void {
    for (const { response } of this.#streams) response.destroy();
  }

  sign(batch: Batch, key = this.#issuer.signingKey): string {
    return jws(KeyObject.from(key.privateKey), { alg: 'ES256', kid: key.kid, typ: FEED_TYP }, batch);
  }

  close(): void {
    clearInterval(this.#timer);
    this.cut();
  }

  #batch(from: number): Batch {
    const news = this.#entries.filter(([, number]) => number > from);
    const some = news.slice(0, PAGE);
    const hasMore = news.length > some.length;
    const to = hasMore ? (some.at(-1)?.[1] ?? from) : Math.max(from, this.#number);
    const at = Date.now() + this.#issuer.ahead * 1_000 + this.shiftMs;
    return { iss: this.#issuer.url, at, from, to, entries: some, ...(hasMore ? { more: true } : {}) };
  }

  #texts(batch: Batch): readonly string[] {
    return this.spoil(batch).map((one) => (typeof one === 'string' ? one : this.sign(one)));
  }

  #beat(): void {
    if (this.isBlind) return;
    for (const stream of this.#streams) {
      const batch = this.#batch(stream.to);
      stream.to = batch.to;
      const texts = this.#texts(batch);
      void this.#later(() => {
        for (const text of texts) stream.response.write(`id: ${String(batch.to)}\ndata: ${text}\n\n`);
      });
    }
  }

  async #later(work: () => void): Promise<void> {
    if (this.delayMs > 0) await pause(this.delayMs);
    work();
  }

  #answers(request: IncomingMessage, response: ServerResponse): boolean {
    const url = new URL(request.url ?? '', this.#issuer.url);
    if (!url.pathname.startsWith(FEED_PATH)) return false;
    void this.#answer(url, request, response);
    return true;
  }

  async #answer(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const assertion = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const isKnown = (await this.#issuer.clientOf(assertion)) !== undefined;
    if (!isKnown || this.isOff || this.isBlind) {
      response.writeHead(isKnown ? 503 : 401).end();
      return;
    }
    const after = Number(url.searchParams.get('after') ?? '0');
    if (url.pathname === `${FEED_PATH}/snapshot`) {
      this.counts.snapshots++;
      const body = JSON.stringify({ batches: this.#texts(this.#batch(after)) });
      await this.#later(() => {
        response.writeHead(200, { 'content-type': 'application/json' }).end(body);
      });
      return;
    }
    this.counts.streams++;
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    const stream = { response, to: after };
    this.#streams.add(stream);
    response.once('close', () => this.#streams.delete(stream));
  }
}

/** A key that the issuer never published, under the id of one that it did. */
export async function strangeKey({ signingKey }: TestIssuer): Promise<Awaited<ReturnType<typeof newKey>>> {
  return newKey(signingKey.kid);
}
