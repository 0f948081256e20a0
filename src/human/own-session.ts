import type { Context } from 'koa';
import { z } from 'zod';
import { type Clock, randomText, type Seconds } from '../base/index.js';
import { recordKey } from '../protocol/index.js';

/** Where sign-ins are kept that end as every other does: by sign-out, revocation, the company's logout, erasure. */
export interface SignInRecords {
  put(record: {
    readonly key: string;
    readonly model: string;
    readonly payload: string;
    readonly grant: undefined;
    readonly uid: string;
    readonly expiresAt: Seconds;
  }): Promise<void>;
  /** Never one that has ended; one that is over it may answer. */
  find(key: string): Promise<Readonly<{ payload: string; expiresAt: Seconds | undefined }> | undefined>;
  remove(key: string): Promise<void>;
  /** The number of the last revocation: what began after it is not ended by it. */
  lastRevocation(): Promise<number>;
}

/** A sign-in at Writ itself, which no client opened and no client's request prolongs. `verifiedAt`: RFC 9470's `auth_time`. */
export type OwnSession = Readonly<{ uid: string; person: string; verifiedAt: Seconds }> & OwnClass;

/** How sure whoever signed the person in is of them: RFC 9470's `acr` and RFC 8176's `amr`, as they said it. */
export type OwnClass = Readonly<{ acr: string | undefined; amr: readonly string[] | undefined }>;

/** How somebody signed in; `seen` was the last revocation before they were asked who they are. */
export type OwnSignIn = Readonly<{
  person: string;
  issuer: string;
  verifiedAt: Seconds;
  seen: number;
  /** The company's own session, hashed. */
  sessions: readonly string[];
}> &
  OwnClass;

type Deps = Readonly<{ issuer: string; records: SignInRecords; clock: Clock }>;

/** Sessions of /approvals. The cookie is another one than that of the code flow, so no agent's authorization opens one. */
export class OwnSessions {
  readonly #deps: Deps;
  readonly #cookie: string;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#cookie = ownCookie(deps.issuer, 'writ_approvals');
  }

  async current(ctx: Context): Promise<OwnSession | undefined> {
    const id = ctx.cookies.get(this.#cookie) ?? '';
    if (!SECRET.test(id)) return undefined;
    const record = await this.#deps.records.find(keyOf(id));
    if (record === undefined || (record.expiresAt ?? 0) <= this.#deps.clock.now()) return undefined;
    const { uid, accountId: person, verifiedAt, acr, amr } = Kept.parse(JSON.parse(record.payload));
    return { uid, person, verifiedAt, acr, amr };
  }

  /** Begins one under a new id, whatever the browser brought, and forgets the one before. */
  async begin(ctx: Context, { person, issuer, verifiedAt, acr, amr, seen, sessions }: OwnSignIn): Promise<void> {
    const { records, clock } = this.#deps;
    await this.#forget(ctx);
    const [id, uid] = [randomText(32), randomText(32)];
    const origin = { issuer, seen, sessions };
    const payload = { uid, accountId: person, verifiedAt, acr, amr, origin } satisfies z.input<typeof Kept>;
    // A `Session` as those of the engine, which whatever ends sign-ins knows by that name; its key is no key of theirs.
    const kept = { model: 'Session', payload: JSON.stringify(payload), grant: undefined, uid };
    await records.put({ ...kept, key: keyOf(id), expiresAt: clock.now() + OWN_SESSION_SECONDS });
    setOwnCookie(ctx, this.#deps.issuer, this.#cookie, id);
  }

  async clear(ctx: Context): Promise<void> {
    await this.#forget(ctx);
    setOwnCookie(ctx, this.#deps.issuer, this.#cookie, null);
  }

  async #forget(ctx: Context): Promise<void> {
    const before = ctx.cookies.get(this.#cookie) ?? '';
    if (SECRET.test(before)) await this.#deps.records.remove(keyOf(before));
  }
}

const OWN_SESSION_SECONDS: Seconds = 3_600;

const SECRET = /^[\w-]{43}$/;
const keyOf = (id: string): string => recordKey('OwnSession', id);

const Kept = z.object({
  uid: z.string(),
  accountId: z.string(),
  verifiedAt: z.number(),
  acr: z.string().optional(),
  amr: z.array(z.string()).readonly().optional(),
  origin: z.object({ issuer: z.string(), seen: z.number(), sessions: z.array(z.string()).readonly() }),
});

const isHttps = (issuer: string): boolean => new URL(issuer).protocol === 'https:';

/** RFC 6265bis section 4.1.3.2: neither a neighbour host nor plain http sets it. */
export const ownCookie = (issuer: string, name: string): string => `${isHttps(issuer) ? '__Host-' : ''}${name}`;

/** Lax: links in messages lead here from other places, and every form has a token besides. */
export function setOwnCookie(ctx: Context, issuer: string, name: string, value: string | null): void {
  const secure = isHttps(issuer);
  // The issuer says whether the browser speaks TLS: a proxy before us may end it.
  ctx.cookies.secure = secure;
  ctx.cookies.set(name, value, { path: '/', httpOnly: true, sameSite: 'lax', overwrite: true, secure });
}
