import { z } from 'zod';
import type { Result, Seconds } from '../base/index.js';
import type { Tier } from '../protocol/index.js';

const Bytes = z.string().regex(/^[\w-]+$/);

/** RFC 8030 section 4 and RFC 8291 section 2: where a browser's push service takes messages, and how only it reads them. */
export const PushSubscription = z.object({
  endpoint: z.string().max(2_048),
  keys: z.object({ p256dh: Bytes.length(87), auth: Bytes.length(22) }),
});
export type PushSubscription = Readonly<z.infer<typeof PushSubscription>>;

/** Where somebody is told. */
export const Address = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('push'),
    ...PushSubscription.shape,
    /** RFC 8292: the key that the browser was given, and takes messages by only. */
    vapid: z.object({ publicKey: z.string(), privateKey: z.string() }),
  }),
  z.object({ kind: z.literal('webhook'), url: z.string().max(2_048), secret: z.string() }),
]);
export type Address = Readonly<z.infer<typeof Address>>;

/** A channel as its person sees it. `label`: the host that is asked. `failures`: in a row, until now. */
export type Channel = Readonly<{
  id: string;
  kind: Address['kind'];
  label: string;
  failures: number;
  madeAt: Seconds;
}>;

/** One message that is due: of which request, and where to. */
export type Due = Readonly<{
  approval: string;
  channel: string;
  attempts: number;
  address: Address;
  client: string;
  server: string;
  tool: string;
  tier: Tier;
  expiresAt: Seconds;
}>;

/** Channels that one person may have. */
export const MOST_CHANNELS = 8;

/** Requests of which one channel is told in so many seconds, of one agent and in all: no agent makes the others silent. */
export const MOST_TOLD = { ofAgent: 8, count: 64, within: 300 } as const;

export interface Notices {
  of(person: string): Promise<readonly Channel[]>;
  /** The same address again is the same channel. */
  add(person: string, label: string, address: Address): Promise<Result<string, 'too_many'>>;
  remove(person: string, id: string): Promise<boolean>;
  /**
   * What is due to channels that failed last, or to the others, for this process alone until `now + LEASE`: whoever dies while
   * sending leaves it to another one. Nothing of a request that does not wait any more, or that the person may not answer now.
   */
  take(now: Seconds, which: Readonly<{ limit: number; isFailing: boolean }>): Promise<readonly Due[]>;
  sent(due: Due, now: Seconds): Promise<void>;
  /** It is due again then. */
  failed(due: Due, again: Seconds): Promise<void>;
  /** RFC 8030 section 8.2: the subscription has ended. */
  gone(due: Due): Promise<void>;
  /** Forgets what is over and counts for no limit any more. */
  prune(now: Seconds): Promise<void>;
}

export const LEASE: Seconds = 30;
