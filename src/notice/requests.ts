import type { Seconds } from '../base/index.js';
import { sha256, webhookHeaders } from '../protocol/index.js';
import type { Message } from './message.js';
import type { Address, Due } from './ports.js';

/** What is POSTed where. */
export type Sending = Readonly<{ url: URL; headers: Readonly<Record<string, string>>; body: string | Uint8Array }>;

type Push = Extract<Address, { kind: 'push' }>;
type Webhook = Extract<Address, { kind: 'webhook' }>;

/** Not loaded where nobody wants to be told by push. */
const library = async () => (await import('web-push')).default;

/** RFC 8030, encrypted for the browser (RFC 8291), signed by the key that it was given (RFC 8292). */
export async function pushOf(
  { endpoint, keys, vapid }: Push,
  message: Message,
  { issuer, lives }: Readonly<{ issuer: string; lives: Seconds }>,
): Promise<Sending> {
  const webPush = await library();
  const details = webPush.generateRequestDetails({ endpoint, keys: { ...keys } }, JSON.stringify(message), {
    // RFC 8292 section 2.1 wants a way to reach whoever sends; a push service takes no loopback.
    vapidDetails: { subject: issuer.startsWith('https:') ? issuer : 'mailto:writ@localhost', ...vapid },
    TTL: Math.max(0, Math.floor(lives)),
    urgency: 'high',
    // RFC 8030 section 5.4: a newer one takes the place of one that was not delivered.
    topic: sha256(message.tag).slice(0, 32),
  });
  return { url: new URL(details.endpoint), headers: details.headers, body: details.body };
}

/** Standard Webhooks 1.0. The same request by the same channel has the same id, however often it is sent. */
export function webhookOf(
  { url, secret }: Webhook,
  message: Message,
  { due, issuer, now }: Readonly<{ due: Due; issuer: string; now: Seconds }>,
): Sending {
  const id = `ntc_${due.approval}_${due.channel}`;
  const { origin } = new URL(issuer);
  const body = JSON.stringify({
    type: 'approval.asked',
    timestamp: new Date(now * 1_000).toISOString(),
    data: {
      approval: due.approval,
      title: message.title,
      body: message.body,
      url: `${origin}${message.path}`,
      risk: due.tier,
      expires_at: new Date(due.expiresAt * 1_000).toISOString(),
    },
  });
  return { url: new URL(url), headers: webhookHeaders({ id, body, secret, at: now }), body };
}
