import { FEED_PATH, FeedAnswer, MAX_BATCH_LENGTH } from '../../protocol/index.js';
import type { Fetch } from './http.js';
import { fetchJson } from './http.js';
import { bearerOf, type Client } from './introspection.js';
import type { Clock } from '../../base/index.js';

export type FeedSource = Readonly<{
  client: Client;
  issuerId: string;
  fetch: Fetch;
  clock: Clock;
  timeoutMs: number;
}>;

/** 16 pages of the longest entries. */
const MAX_SNAPSHOT = 16 * MAX_BATCH_LENGTH + 1_024;
/** A line that is longer is no batch. */
const MAX_LINE = MAX_BATCH_LENGTH + 1_024;

/** Everything after this number, read for this request: up to 16 pages. */
export async function snapshotAfter(
  after: number,
  source: FeedSource,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const headers = { accept: 'application/json', ...bearerOf(source.client, source) };
  const bounds = { timeoutMs: source.timeoutMs, maxBytes: MAX_SNAPSHOT };
  const url = `${source.issuerId}${FEED_PATH}/snapshot?after=${String(after)}`;
  return FeedAnswer.parse(await fetchJson(source.fetch, url, { headers, signal, ...bounds })).batches;
}

/** HTML, "Server-sent events": opens the stream after this number, and gives the data of each event. */
export async function* eventsAfter(after: number, source: FeedSource, signal: AbortSignal): AsyncGenerator<string> {
  const response = await source.fetch(`${source.issuerId}${FEED_PATH}/events?after=${String(after)}`, {
    headers: { accept: 'text/event-stream', ...bearerOf(source.client, source) },
    redirect: 'error',
    signal,
  });
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel();
    throw new Error(`the feed answered ${String(response.status)}`);
  }
  yield* eventsOf(response.body);
}

async function* eventsOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  let data: string | undefined;
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r\n|\n|\r/);
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE) throw new Error('the feed sent too long a line');
    for (const line of lines) {
      if (line.startsWith('data:')) data = line.slice(line.startsWith('data: ') ? 6 : 5);
      if (line !== '' || data === undefined) continue;
      yield data;
      data = undefined;
    }
  }
}
