import type { Clock, Seconds } from '../../base/index.js';
import { feedId, feedTarget, targetsOf } from '../../protocol/index.js';
import type { Delegation } from './delegation.js';
import { type Reason, VerifierError } from './errors.js';
import type { Feed } from './feed.js';
import type { Introspect, Renew } from './introspection.js';
import type { VerifiedToken } from './token.js';

/** Whether a token that was good when it was verified still is. Everything rejects with a {@link VerifierError}. */
export interface Standing {
  /** Looks at a token that was just verified. */
  enter(delegation: Delegation, token: string, verified: VerifiedToken): Promise<void>;
  /** Looks at it again, for this tool. */
  check(delegation: Delegation, tool: string): Promise<void>;
  /** Goes on looking for as long as a call of this tool runs. */
  hold(delegation: Delegation, tool: string): Hold;
  close(): void;
}

/** A call that runs, and may have to stop; `stopped` says why, once the signal has fired. */
export type Hold = Readonly<{
  signal: AbortSignal;
  stopped(): VerifierError | undefined;
  /** Says that {@link Hold.release} will come, whatever becomes of the work: only then it may be renewed. */
  willRelease(): void;
  release(): void;
}>;

export type StandingOptions = Readonly<{
  /** Absent where this verifier follows no feed: then a token ends when it expires, and not before. */
  follow: ((onNews: () => void) => Feed) | undefined;
  maxAgeMs: Readonly<{ exact: number; other: number }>;
  onStale: 'refuse' | 'introspect';
  introspect: Introspect;
  /** Absent where a call ends with its token. */
  renew: Renew | undefined;
  resource: string;
  clock: Clock;
  skew: Seconds;
  timeoutMs: number;
}>;

/** What is remembered of a token from its verification to the end of its call. */
type Known = {
  readonly token: string;
  readonly tokenId: string;
  readonly ids: readonly string[];
  /** Of the key that signed it, whose withdrawal counts whatever the token has seen. */
  readonly keyIds: readonly string[];
  readonly seen: number;
  readonly life: Seconds;
  readonly boundMs: number;
  /** The end of the token; of a call that was renewed, when it has to be again. */
  expiresAt: Seconds;
  /** Until then Writ's own answer stands in for the feed. */
  vouchedUntil: number;
};

/** A token in the hands of a call that runs. */
type Held = Known & { readonly tool: string; isRenewed: boolean; mayRenew: boolean };

/** See {@link Standing}. */
export function createStanding(options: StandingOptions): Standing {
  const { follow, maxAgeMs, resource } = options;
  const known = new WeakMap<Delegation, Known>();
  const watch = new Watch();
  const feed = follow?.(() => {
    watch.look();
  });
  const judge = new Judge(feed, options);
  const called = (delegation: Delegation, tool: string): Held => {
    const found = known.get(delegation);
    if (found === undefined) throw new VerifierError('not_admitted');
    const ids = feed === undefined ? [] : [...found.ids, feedId(feedTarget.tool(resource, tool))];
    return { ...found, ids, tool, isRenewed: false, mayRenew: false };
  };
  return {
    enter: (delegation, token, { claims, kid }) => {
      const isExact = delegation.details.some(({ argumentsSha256 }) => argumentsSha256 !== undefined);
      const entry = {
        token,
        tokenId: claims.jti,
        ids: feed === undefined ? [] : targetsOf(claims).map(feedId),
        keyIds: feed === undefined || kid === undefined ? [] : [feedId(feedTarget.key(kid))],
        seen: claims.writ.seen,
        life: claims.exp - claims.iat,
        expiresAt: claims.exp,
        boundMs: isExact ? maxAgeMs.exact : maxAgeMs.other,
        vouchedUntil: -Infinity,
      };
      known.set(delegation, entry);
      return judge.check(entry);
    },
    check: (delegation, tool) => judge.check(called(delegation, tool)),
    hold: (delegation, tool) => hold(called(delegation, tool), judge, watch),
    close: () => feed?.close(),
  };
}

class Judge {
  readonly #feed: Feed | undefined;
  readonly #options: StandingOptions;

  constructor(feed: Feed | undefined, options: StandingOptions) {
    this.#feed = feed;
    this.#options = options;
  }

  async check(token: Known): Promise<void> {
    await this.#feed?.begun(this.#options.timeoutMs);
    const flaw = this.flawOf(token);
    if (flaw !== undefined) throw new VerifierError(flaw);
    if (!this.isFresh(token)) await this.vouch(token);
  }

  /** What is certain without asking anybody. */
  flawOf({ expiresAt, ids, keyIds, seen }: Known): Reason | undefined {
    const { clock, skew } = this.#options;
    if (expiresAt <= clock.now() - skew) return 'expired';
    const isRevoked = this.#feed?.isRevoked(ids, seen) === true || this.#feed?.isRevoked(keyIds, 0) === true;
    return isRevoked ? 'revoked' : undefined;
  }

  /** Whether what is known is young enough for this token. */
  isFresh({ boundMs, vouchedUntil }: Known): boolean {
    return this.#feed === undefined || this.#feed.ageMs() <= boundMs || performance.now() < vouchedUntil;
  }

  /** Whether it is time to ask whether a call may run on: shortly before it may not. Without an end to see it never does. */
  isDue({ expiresAt, life, mayRenew }: Held): boolean {
    const { renew, clock } = this.#options;
    return mayRenew && renew !== undefined && clock.now() >= expiresAt - Math.min(RENEW_BEFORE, Math.max(2, life / 4));
  }

  /** Has a call run on, and throws when Writ says that it may not. Without an answer its time goes on running out. */
  async renew(held: Held): Promise<void> {
    const until = await this.#options.renew?.(held, held.tool);
    if (until === undefined || until <= held.expiresAt) throw new VerifierError('inactive');
    held.expiresAt = until;
    held.isRenewed = true;
  }

  /** Without a young feed it is Writ itself or nobody. */
  async vouch(token: Known): Promise<void> {
    const asked = this.#mayAsk();
    const answer = await this.#options.introspect(token.token);
    if (!answer.active || answer.claims.jti !== token.tokenId) throw new VerifierError('inactive');
    token.vouchedUntil = asked + token.boundMs;
  }

  /** The same for a call that runs on, whose token may have expired. */
  async revouch(held: Held): Promise<void> {
    const asked = this.#mayAsk();
    if ((await this.#options.renew?.(held, held.tool)) === undefined) throw new VerifierError('inactive');
    held.vouchedUntil = asked + held.boundMs;
  }

  #mayAsk(): number {
    if (this.#options.onStale === 'refuse') throw new VerifierError('feed_stale', { cause: this.#feed?.trouble() });
    return performance.now();
  }
}

function hold(held: Held, judge: Judge, watch: Watch): Hold {
  const controller = new AbortController();
  let stopped: VerifierError | undefined;
  const stop = (error: VerifierError): void => {
    if (!watch.remove(look)) return;
    stopped = error;
    controller.abort(error);
  };
  const vouch = oneAtATime(
    () => (held.isRenewed ? judge.revouch(held) : judge.vouch(held)),
    (cause) => {
      stop(cause instanceof VerifierError ? cause : new VerifierError('feed_stale', { cause }));
    },
  );
  const renew = oneAtATime(
    () => judge.renew(held),
    async (cause) => {
      if (cause instanceof VerifierError && cause.reason === 'inactive') stop(cause);
      else await pause(RENEW_PAUSE_MS);
    },
  );
  const look = (): void => {
    const flaw = judge.flawOf(held);
    if (flaw !== undefined) {
      stop(new VerifierError(flaw));
      return;
    }
    if (!judge.isFresh(held)) vouch();
    if (judge.isDue(held)) renew();
  };
  watch.add(look);
  look();
  return {
    signal: controller.signal,
    stopped: () => stopped,
    willRelease: () => {
      held.mayRenew = true;
    },
    release: () => void watch.remove(look),
  };
}

/** Begins the work unless it is being done. */
function oneAtATime(work: () => Promise<void>, failed: (cause: unknown) => void | Promise<void>): () => void {
  let isAtIt = false;
  return () => {
    if (isAtIt) return;
    isAtIt = true;
    void work()
      .catch(failed)
      .finally(() => {
        isAtIt = false;
      });
  };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref());

/** Looks at every call that runs, ten times a second and when there are news. Without calls it does nothing. */
class Watch {
  readonly #looks = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;

  add(look: () => void): void {
    this.#looks.add(look);
    this.#timer ??= setInterval(() => {
      this.look();
    }, LOOK_MS).unref();
  }

  remove(look: () => void): boolean {
    const had = this.#looks.delete(look);
    if (this.#looks.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    return had;
  }

  look(): void {
    for (const look of [...this.#looks]) look();
  }
}

const LOOK_MS = 100;
/** So long before its end a call is renewed; a quarter of its token's life before it, where that is less. */
const RENEW_BEFORE: Seconds = 10;
const RENEW_PAUSE_MS = 1_000;
