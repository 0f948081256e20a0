import { createHmac } from 'node:crypto';

/** Standard Webhooks 1.0: the headers of one message. `secret`: `whsec_` and base64. `at` in seconds. */
export function webhookHeaders({
  id,
  body,
  secret,
  at,
}: Readonly<{ id: string; body: string; secret: string; at: number }>): Readonly<Record<string, string>> {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', key)
    .update(`${id}.${String(at)}.${body}`, 'utf8')
    .digest('base64');
  return {
    'Content-Type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(at),
    'webhook-signature': `v1,${signature}`,
  };
}
