import type { Clock } from '../base/index.js';
import { postTo } from '../client/index.js';
import type { RegistryReader } from '../registry/index.js';
import { messageOf } from './message.js';
import type { Due, Notices } from './ports.js';
import { pushOf, type Sending, webhookOf } from './requests.js';

export type SenderDeps = Readonly<{
  issuer: string;
  /** Of a Writ on loopback: its push services and webhooks may be there too. */
  allowLoopback: boolean;
  notices: Notices;
  registry: RegistryReader;
  clock: Clock;
}>;

const AT_ONCE = 20;
const LONGEST_PAUSE = 60;

/**
 * Sends what is due. What is not taken is sent again, later and later, for as long as the request waits; each channel is one
 * of its own, so that where one is dead the others still tell. Nothing comes of any answer but that.
 */
export async function sendDue(deps: SenderDeps): Promise<void> {
  for (;;) {
    const due = await deps.notices.take(deps.clock.now(), AT_ONCE);
    await Promise.all(due.map((one) => send(one, deps)));
    if (due.length < AT_ONCE) return;
  }
}

async function send(due: Due, deps: SenderDeps): Promise<void> {
  const { notices, clock, allowLoopback } = deps;
  const status = await sendingOf(due, deps)
    .then(({ url, ...rest }) => postTo(url, rest, allowLoopback))
    .catch(() => undefined);
  if (status !== undefined && status >= 200 && status < 300) await notices.sent(due, clock.now());
  else if (status === 410 || (status === 404 && due.address.kind === 'push')) await notices.gone(due);
  else await notices.failed(due, clock.now() + Math.min(2 ** due.attempts, LONGEST_PAUSE));
}

async function sendingOf(due: Due, { issuer, registry, clock }: SenderDeps): Promise<Sending> {
  const now = clock.now();
  const message = messageOf(due, registry.current(), issuer);
  const { address } = due;
  return address.kind === 'push'
    ? pushOf(address, message, { issuer, lives: due.expiresAt - now })
    : webhookOf(address, message, { due, issuer, now });
}
