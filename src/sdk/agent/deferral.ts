import { z } from 'zod';
import type { Seconds } from '../../base/index.js';
import { sha256 } from '../../protocol/index.js';
import type { JsonAnswer } from './http.js';
import { personOf } from './person.js';

/** A token that waits for a person (Deferred Token Response). It holds no token and no argument; `code` is good for its agent alone. */
export type Deferral = Readonly<{
  /** Names it to the host and in its store. */
  id: string;
  code: string;
  /** Digest of what was asked for whom: the same request finds it again. */
  request: string;
  tool: string | undefined;
  /** Where the person decides: a page of the issuer. */
  approvalUri: string | undefined;
  /** Two digits to show beside it: whoever approves says which they are, so that nobody approves what another one started. */
  number: string | undefined;
  expiresAt: Seconds;
  intervalSeconds: Seconds;
  /** RFC 9449: the key that has to be proven again. */
  jkt: string | undefined;
}>;

/** What the host tells its user. */
export type Waiting = Readonly<Pick<Deferral, 'id' | 'tool' | 'approvalUri' | 'number' | 'expiresAt'>>;

/**
 * Where deferrals are kept, so that an agent that died while it waited gets its token when it is started anew. Entries are plain
 * JSON. Whoever has one and not the agent's key has nothing.
 */
export interface DeferralStore {
  /** In the place of the one with the same `id`. */
  keep(deferral: Deferral): Promise<void>;
  forget(id: string): Promise<void>;
  all(): Promise<readonly Deferral[]>;
}

/** How an agent waits. Without it the issuer is told nothing of waiting, and a call that needs a person is refused. */
export type WaitingOptions = Readonly<{
  /** Told once for each wait. What it throws ends the wait. */
  onWaiting?: (waiting: Waiting) => void;
  /**
   * In memory when left out. With `dpop: true` an agent that is started anew has another key, by which nobody fetches what
   * waited: it asks anew.
   */
  store?: DeferralStore;
}>;

/** Forgets at the end of the process. */
export function memoryDeferralStore(): DeferralStore {
  const held = new Map<string, Deferral>();
  return {
    keep: (deferral) => Promise.resolve(void held.set(deferral.id, deferral)),
    forget: (id) => Promise.resolve(void held.delete(id)),
    all: () => Promise.resolve([...held.values()]),
  };
}

const Deferred = z.object({
  error: z.enum(['authorization_pending', 'interaction_required']),
  deferral_code: z.string().min(22).max(512),
  expires_in: z.number().int().positive().max(86_400),
  interval: z.number().int().min(1).max(300).default(5),
  interaction_uri: z.string().max(2_048).optional(),
  number: z
    .string()
    .regex(/^\d{2}$/)
    .optional()
    .catch(undefined),
});

type Asked = Readonly<{
  request: string;
  tool: string | undefined;
  issuer: string;
  jkt: string | undefined;
  now: Seconds;
}>;

/** What the issuer deferred, if it is that; `now` is the time before the request. */
export function deferralOf(
  { status, body }: JsonAnswer,
  { request, tool, issuer, jkt, now }: Asked,
): Deferral | undefined {
  const read = Deferred.safeParse(body);
  if (status !== 400 || !read.success) return undefined;
  const { deferral_code: code, expires_in: life, interval: intervalSeconds, interaction_uri: uri, number } = read.data;
  return Object.freeze({
    ...{ id: sha256(code), code, request, tool },
    approvalUri: uri !== undefined && isAt(uri, issuer) ? uri : undefined,
    ...{ number, expiresAt: now + life, intervalSeconds, jkt },
  });
}

/** EL-05: a person is led to the issuer itself and nowhere else. */
function isAt(address: string, issuer: string): boolean {
  return URL.canParse(address) && new URL(address).origin === new URL(issuer).origin;
}

/** The person counts, not the bytes of the token, which is another one after a restart. */
export function digestOf({ subject_token: subject = '', ...rest }: Readonly<Record<string, string>>): string {
  const person = personOf(subject) ?? sha256(subject);
  return sha256(JSON.stringify([person, ...Object.entries(rest).sort(([one], [other]) => (one < other ? -1 : 1))]));
}
