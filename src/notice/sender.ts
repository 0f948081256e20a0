import type { Clock } from '../base/index.js';
import { postTo } from '../client/index.js';
import type { RegistryReader } from '../registry/index.js';
import { messageOf } from './message.js';
import type { Address, Due, Notices } from './ports.js';
import { pushOf, type Sending, webhookOf } from './requests.js';

/** What became of one message. `status`: what the channel answered, where it did. */
export type Told = Readonly<{
  due: Due;
  kind: Address['kind'];
  outcome: 'sent' | 'failed' | 'gone';
  status: number | undefined;
}>;

export type SenderDeps = Readonly<{
  issuer: string;
  /** Of a Writ on loopback: its push services and webhooks may be there too. */
  allowLoopback: boolean;
  notices: Notices;
  registry: RegistryReader;
  clock: Clock;
  onTold(told: Told): void;
  report(thrown: unknown): void;
}>;

export type Sender = Readonly<{
  /** Begins to send what is due. */
  round(): Promise<void>;
  /** Gives up what is under way; another process sends it. */
  stop(): Promise<void>;
}>;

const AT_ONCE = 20;
/** Kept free of channels that failed, which may take as long as a request may. */
const RESERVED = 10;
const LONGEST_PAUSE = 60;

/**
 * What is not taken is sent again, later and later, for as long as the request waits. Each channel is one of its own, so that
 * where one is dead or slow the others still tell. Nothing comes of any answer but that.
 */
export function openSender(deps: SenderDeps): Sender {
  const underWay = new Set<Promise<void>>();
  const stopping = new AbortController();
  const begin = (due: readonly Due[]): number => {
    for (const one of due) {
      const sending = send(one, deps, stopping.signal)
        .catch(deps.report)
        .finally(() => underWay.delete(sending));
      underWay.add(sending);
    }
    return due.length;
  };
  const take = async (room: number, isFailing: boolean): Promise<number> =>
    room <= 0 ? 0 : begin(await deps.notices.take(deps.clock.now(), { limit: room, isFailing }));
  return {
    round: async () => {
      while (!stopping.signal.aborted) {
        const room = AT_ONCE - underWay.size;
        if (room === 0) await Promise.race(underWay);
        else if ((await take(room, false)) < room) break;
      }
      if (!stopping.signal.aborted) await take(AT_ONCE - RESERVED - underWay.size, true);
    },
    stop: async () => {
      stopping.abort();
      await Promise.all(underWay);
    },
  };
}

async function send(due: Due, deps: SenderDeps, stopping: AbortSignal): Promise<void> {
  const { notices, clock, allowLoopback, onTold } = deps;
  const { kind } = due.address;
  const status = await sendingOf(due, deps)
    .then(({ url, ...rest }) => postTo(url, rest, { allowLoopback, signal: stopping }))
    .catch(() => undefined);
  const outcome = outcomeOf(status, kind);
  if (outcome === 'sent') await notices.sent(due, clock.now());
  else if (outcome === 'gone') await notices.gone(due);
  else await notices.failed(due, clock.now() + Math.min(2 ** due.attempts, LONGEST_PAUSE));
  onTold({ due, kind, outcome, status });
}

function outcomeOf(status: number | undefined, kind: Address['kind']): Told['outcome'] {
  if (status !== undefined && status >= 200 && status < 300) return 'sent';
  return status === 410 || (status === 404 && kind === 'push') ? 'gone' : 'failed';
}

async function sendingOf(due: Due, { issuer, registry, clock }: SenderDeps): Promise<Sending> {
  const now = clock.now();
  const message = messageOf(due, registry.current(), issuer);
  const { address } = due;
  return address.kind === 'push'
    ? pushOf(address, message, { issuer, lives: due.expiresAt - now })
    : webhookOf(address, message, { due, issuer, now });
}
