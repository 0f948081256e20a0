import { z } from 'zod';
import type { Seconds } from '../../base/index.js';
import { thumbprint } from '../../protocol/index.js';
import { unlessAborted } from './abort.js';
import { type Deferral, type DeferralStore, memoryDeferralStore, type WaitingOptions } from './deferral.js';
import { AgentError } from './errors.js';
import type { JsonAnswer } from './http.js';
import type { Discovery } from './issuer.js';
import type { Settings } from './options.js';
import { pause, type Post } from './post.js';
import { readTokenSet, retryAfterOf, type TokenSet } from './response.js';

const DEFERRED_GRANT = 'urn:ietf:params:oauth:grant-type:deferred';
const DEFERRAL_CODE = 'urn:ietf:params:oauth:token-type:deferral-code';

/** Deferred Token Response: the tokens that wait for a person. */
export interface Waits {
  /** Waits on for what the same request began before a restart; `undefined` where there is nothing, or nothing any more. */
  resumed(request: string, signal: AbortSignal | undefined): Promise<TokenSet | undefined>;
  /** Keeps the deferral and waits for its token; `undefined` where somebody here waits for the same one already, once they have it. */
  begun(deferral: Deferral, signal: AbortSignal | undefined): Promise<TokenSet | undefined>;
}

type Deps = Readonly<{ settings: Settings; discovery: Discovery; post: Post }>;

/** See {@link Waits}. */
export function createWaits({ onWaiting, store = memoryDeferralStore() }: WaitingOptions, deps: Deps): Waits {
  const running = new Map<string, Promise<unknown>>();
  const wait = async (deferral: Deferral, signal: AbortSignal | undefined): Promise<TokenSet> => {
    const { id, tool, approvalUri, number, expiresAt } = deferral;
    try {
      await store.keep(deferral);
      onWaiting?.(Object.freeze({ id, tool, approvalUri, number, expiresAt }));
      const tokens = await pollUntilDecided(deferral, deps, signal);
      await store.forget(id);
      return tokens;
    } catch (error) {
      // What the issuer may still answer is kept: a restart, or the same request, goes on with it.
      if (needsSignIn(error)) await store.forget(id);
      else if (!isPassing(error)) await giveUp(deferral, store, { ...deps, isOver: isOver(error) });
      throw error;
    }
  };
  const run = (deferral: Deferral, signal: AbortSignal | undefined): Promise<TokenSet> => {
    const work = wait(deferral, signal).finally(() => running.delete(deferral.id));
    running.set(
      deferral.id,
      work.catch(() => undefined),
    );
    return work;
  };
  const usable = ({ id, expiresAt, jkt }: Deferral): boolean => {
    const { clock, dpopKey } = deps.settings;
    return !running.has(id) && expiresAt + AGAIN > clock.now() && jkt === (dpopKey && thumbprint(dpopKey.publicJwk));
  };
  return {
    resumed: async (request, signal) => {
      const known = await unlessAborted(store.all(), signal);
      const now = deps.settings.clock.now();
      for (const { id, expiresAt } of known) if (expiresAt + AGAIN <= now && !running.has(id)) await store.forget(id);
      const found = known.find((deferral) => deferral.request === request && usable(deferral));
      if (found === undefined) return undefined;
      try {
        return await run(found, signal);
      } catch (error) {
        // Spent or over meanwhile: nobody said no.
        if (error instanceof AgentError && ['invalid_grant', 'expired_token'].includes(error.code)) return undefined;
        throw error;
      }
    },
    begun: async (deferral, signal) => {
      const other = running.get(deferral.id);
      if (other !== undefined) {
        await unlessAborted(other, signal);
        return undefined;
      }
      return run(deferral, signal);
    },
  };
}

async function pollUntilDecided(deferral: Deferral, deps: Deps, signal: AbortSignal | undefined): Promise<TokenSet> {
  const { clock, dpopKey } = deps.settings;
  let { intervalSeconds: seconds } = deferral;
  for (;;) {
    await pause(seconds, signal);
    const now = clock.now();
    const answer = await poll(deferral, deps, signal);
    const said = answer === undefined ? 'authorization_pending' : pendingOf(answer);
    if (answer !== undefined && said === undefined) return readTokenSet(answer, { now, dpop: dpopKey !== undefined });
    if (now > deferral.expiresAt + GRACE) throw new AgentError('expired_token', 'nobody decided in time');
    // RFC 8628 section 3.5.
    if (said === 'slow_down') seconds += 5;
    seconds = Math.max(seconds, (answer && retryAfterOf(answer.headers)) ?? 0);
  }
}

/** For so long the issuer gives a token again that it gave already: the answer may have been lost. */
const AGAIN: Seconds = 60;

/** For the last answer to come, and for a clock that is ahead. */
const GRACE: Seconds = 30;

/** `undefined`: nobody was reached, which says nothing of the person. */
async function poll(
  { code }: Deferral,
  { discovery, post }: Deps,
  signal: AbortSignal | undefined,
): Promise<JsonAnswer | undefined> {
  try {
    const { token_endpoint: url } = await unlessAborted(discovery(), signal);
    const form = { grant_type: DEFERRED_GRANT, deferral_code: code };
    const answer = await post({ url, form, signal });
    return answer.status >= 500 || answer.status === 429 ? undefined : answer;
  } catch (error) {
    if (error instanceof AgentError && error.code === 'unreachable') return undefined;
    throw error;
  }
}

const PENDING = ['authorization_pending', 'interaction_required', 'slow_down'] as const;
const Pending = z.object({ error: z.enum(PENDING) });

function pendingOf({ status, body }: JsonAnswer): (typeof PENDING)[number] | undefined {
  const said = Pending.safeParse(body);
  return status === 400 && said.success ? said.data.error : undefined;
}

const isOver = (error: unknown): boolean =>
  error instanceof AgentError && ['access_denied', 'expired_token', 'invalid_grant'].includes(error.code);
/** The request is asked for anew by the token of the fresh sign-in, and the issuer finds what was approved. */
const needsSignIn = (error: unknown): boolean =>
  error instanceof AgentError && error.code === 'insufficient_user_authentication';
const isPassing = (error: unknown): boolean => error instanceof AgentError && !isOver(error);

/** RFC 7009, so that nobody is asked for what nobody waits for. Where the issuer does not hear it, it ends by itself. */
async function giveUp(
  { id, code }: Deferral,
  store: DeferralStore,
  { discovery, post, isOver }: Deps & Readonly<{ isOver: boolean }>,
): Promise<void> {
  if (!isOver)
    try {
      const { revocation_endpoint: url } = await discovery();
      const form = { token: code, token_type_hint: DEFERRAL_CODE };
      if (url !== undefined) await post({ url, form, signal: undefined });
    } catch {
      // The reason why the wait ended is the one to be told.
    }
  await store.forget(id);
}
