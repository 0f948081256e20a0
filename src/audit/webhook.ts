import { type Clock, Fault, type Seconds } from '../base/index.js';
import { sha256, webhookHeaders } from '../protocol/index.js';
import type { EventFinder } from './event-ports.js';
import { eventOf } from './events.js';

/** How far somebody who follows the log has come: the index of the next entry. */
export interface LogConsumers {
  position(name: string): Promise<number>;
  /** False when somebody else has moved it meanwhile. */
  advance(name: string, from: number, to: number): Promise<boolean>;
}

export type WebhookDeps = Readonly<{
  url: string;
  /** `whsec_` and base64. */
  secret: string;
  events: EventFinder;
  consumers: LogConsumers;
  clock: Clock;
  /** Told how many records had been removed before they were taken. */
  onMissed: (records: number) => void;
}>;

const BATCH = 100;
const ANSWER_WITHIN_MS = 10_000;
const LONGEST_PAUSE: Seconds = 300;

/**
 * Sends the log on, at least once and in the order of the tree (Standard Webhooks). What was not taken is sent again, later
 * and later, and the place stays where it was: as long as retention keeps the entries nothing is lost. Whoever comes later
 * is told how many it removed between `from` and `to`. The same entries come under the same `webhook-id`, also from another
 * process.
 */
export function webhook(deps: WebhookDeps): () => Promise<'more' | 'done'> {
  const { url, events, consumers, clock, onMissed } = deps;
  const name = `webhook:${sha256(url)}`;
  let [failures, notBefore] = [0, 0];
  return async () => {
    if (clock.now() < notBefore) return 'done';
    const from = await consumers.position(name);
    const { entries, indexedTo } = await events.find(EVERYTHING, { after: from - 1, limit: BATCH });
    const last = entries.at(-1);
    if (last === undefined) return 'done';
    const to = last.index + 1;
    const pruned = to - from - entries.length;
    const body = JSON.stringify({
      type: 'audit.entries',
      timestamp: new Date(clock.now() * 1_000).toISOString(),
      data: { from, to, pruned, entries: entries.map(eventOf) },
    });
    try {
      await send(deps, { id: `log_${String(from)}_${String(to)}`, body });
    } catch (cause) {
      failures += 1;
      notBefore = clock.now() + Math.min(2 ** failures, LONGEST_PAUSE);
      throw new Fault('webhook_unavailable', 'the webhook of the log does not take what it is sent', { cause });
    }
    [failures, notBefore] = [0, 0];
    if ((await consumers.advance(name, from, to)) && pruned > 0) onMissed(pruned);
    return to < indexedTo ? 'more' : 'done';
  };
}

const EVERYTHING = { keys: [], since: undefined, until: undefined };

/** A redirect is no answer: what is sent goes where the operator said. */
async function send(
  { url, secret, clock }: WebhookDeps,
  { id, body }: Readonly<{ id: string; body: string }>,
): Promise<void> {
  const answer = await fetch(url, {
    method: 'POST',
    redirect: 'manual',
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    headers: webhookHeaders({ id, body, secret, at: clock.now() }),
    body,
  });
  await answer.body?.cancel();
  if (!answer.ok) throw new Error(`it answers ${String(answer.status)}`);
}
