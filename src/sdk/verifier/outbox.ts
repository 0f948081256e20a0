import { z } from 'zod';
import type { Clock } from '../../base/index.js';
import { type Fetch, postJson, type Posted } from './http.js';
import { bearerOf, type Client } from './introspection.js';

/** What became of one call of a tool, as Writ wants it. */
export type ToolOutcome = Readonly<{
  jti: string;
  txn: string;
  tool: string;
  /** Random: the same report again changes nothing. */
  call: string;
  outcome: 'executed' | 'failed' | 'unknown';
  result_sha256?: string;
  error?: string;
  duration_ms: number;
  at: number;
}>;

/**
 * Reports that will never be in the log of Writ. `overflow`: more waited than fit, the oldest were dropped; `refused`: Writ
 * would not have them; `closed`: they could not be sent before the end.
 */
export type LostOutcomes = Readonly<{ count: number; reason: 'overflow' | 'refused' | 'closed' }>;

/** Keeps reports until Writ has them. Adding never waits and never throws. */
export interface Outbox {
  add(outcome: ToolOutcome): void;
  /** Sends now what waits, and resolves with how many could not be sent. They wait on. */
  flush(): Promise<number>;
  /** Sends what waits, for a few seconds at most; what is left is lost, and told to `onLost`. */
  close(): Promise<void>;
}

export type OutboxOptions = Readonly<{
  client: Client;
  issuerId: string;
  fetch: Fetch;
  clock: Clock;
  timeoutMs: number;
  capacity: number;
  onLost: (lost: LostOutcomes) => void;
}>;

const BATCH = 100;
const GATHER_MS = 250;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 60_000;
const CLOSE_MS = 3_000;

/** See {@link Outbox}. */
export function createOutbox(options: OutboxOptions): Outbox {
  const { capacity } = options;
  const waiting: ToolOutcome[] = [];
  let sending: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;
  let closed = false;

  const lose = (count: number, reason: LostOutcomes['reason']): void => {
    if (count === 0) return;
    try {
      options.onLost({ count, reason });
    } catch {
      // What the server's own code does with the news is not ours to fail on.
    }
  };
  const dropOldest = (): void => {
    const excess = waiting.length - capacity;
    if (excess > 0) lose(waiting.splice(0, excess).length, 'overflow');
  };
  const later = (ms: number): void => {
    if (timer !== undefined || closed || waiting.length === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      void send();
    }, ms);
    timer.unref();
  };
  /** One batch after the other until one fails. */
  const run = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH);
      const answer = await deliver(batch, options);
      if (answer.kind === 'later') {
        waiting.unshift(...batch);
        dropOldest();
        failures += 1;
        if (closed) lose(waiting.splice(0).length, 'closed');
        later(Math.max(answer.waitMs, pauseOf(failures)));
        return;
      }
      failures = 0;
      lose(answer.refused, 'refused');
    }
  };
  const send = (): Promise<void> => {
    sending ??= run().finally(() => {
      sending = undefined;
      later(GATHER_MS);
    });
    return sending;
  };
  const now = async (): Promise<void> => {
    await sending;
    clearTimeout(timer);
    timer = undefined;
    await send();
  };
  return {
    add: (outcome) => {
      if (closed) {
        lose(1, 'closed');
        return;
      }
      waiting.push(outcome);
      dropOldest();
      later(GATHER_MS);
    },
    flush: async () => {
      await now();
      return waiting.length;
    },
    close: async () => {
      const until = performance.now() + CLOSE_MS;
      for (let pause = FIRST_PAUSE_MS; ; pause *= 2) {
        await within(now(), until - performance.now());
        if (waiting.length === 0 || performance.now() + pause > until) break;
        await sleep(pause);
      }
      closed = true;
      clearTimeout(timer);
      lose(waiting.splice(0).length, 'closed');
    },
  };
}

type Delivered = Readonly<{ kind: 'done'; refused: number }> | Readonly<{ kind: 'later'; waitMs: number }>;

/** A batch that Writ cannot read is sent in halves, until what it cannot read is alone. */
async function deliver(batch: readonly ToolOutcome[], options: OutboxOptions): Promise<Delivered> {
  const posted = await post(batch, options);
  if (posted === undefined || isForLater(posted.status))
    return { kind: 'later', waitMs: waitOf(posted, options.clock) };
  const answers = posted.status === 200 ? Answers.safeParse(posted.value).data : undefined;
  if (answers !== undefined)
    return { kind: 'done', refused: answers.outcomes.filter(({ result }) => result !== 'recorded').length };
  if (posted.status === 200) return { kind: 'later', waitMs: 0 };
  if (batch.length === 1 || Problem.safeParse(posted.value).data?.error !== 'invalid_request')
    return { kind: 'done', refused: batch.length };
  const middle = Math.ceil(batch.length / 2);
  const first = await deliver(batch.slice(0, middle), options);
  if (first.kind === 'later') return first;
  const second = await deliver(batch.slice(middle), options);
  return second.kind === 'later' ? second : { kind: 'done', refused: first.refused + second.refused };
}

const Answers = z.object({ outcomes: z.array(z.object({ result: z.string() })) });
const Problem = z.object({ error: z.string() });

/** `undefined`: nobody answered. */
async function post(batch: readonly ToolOutcome[], options: OutboxOptions): Promise<Posted | undefined> {
  const { issuerId, fetch, client, timeoutMs } = options;
  try {
    return await postJson(fetch, `${issuerId}/audit/v1/outcomes`, {
      headers: { accept: 'application/json', 'content-type': 'application/json', ...bearerOf(client, options) },
      body: JSON.stringify({ outcomes: batch }),
      timeoutMs,
    });
  } catch {
    return undefined;
  }
}

/** Not now, or not before somebody has mended something: credentials, an older Writ, an outage. */
const isForLater = (status: number): boolean => [401, 403, 404, 408, 425, 429].includes(status) || status >= 500;

/** RFC 9110 section 10.2.3: seconds, or a date. */
function waitOf(posted: Posted | undefined, clock: Clock): number {
  const header = posted?.retryAfter ?? '';
  const date = Date.parse(header);
  const seconds = /^\d{1,6}$/.test(header) ? Number(header) : Number.isNaN(date) ? 0 : date / 1000 - clock.now();
  return Math.max(0, Math.min(seconds, 3_600)) * 1000;
}

/** Twice as long after each failure, somewhere in its upper half: many servers must not come back at once. */
const pauseOf = (failures: number): number =>
  Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 10)) * (0.5 + Math.random() / 2);

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, ms));
  });
  await Promise.race([work, over]);
  clearTimeout(timer);
}
