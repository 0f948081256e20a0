import { thumbprint } from '../../protocol/index.js';
import { unlessAborted } from './abort.js';
import { deferralOf, digestOf } from './deferral.js';
import type { JsonAnswer } from './http.js';
import type { Discovery } from './issuer.js';
import type { Nonces } from './nonces.js';
import type { Settings } from './options.js';
import { createPost, pause, type Post } from './post.js';
import { type ExchangeRequest, toForm } from './request.js';
import { readTokenSet, retryAfterOf, type TokenSet } from './response.js';
import { createWaits, type Waits } from './wait.js';

/**
 * RFC 8693. Waits and repeats when the issuer is busy and says for how long; a refusal is never repeated. Where the agent was made
 * with `waiting`, it waits for a person too. `signal` ends it, and withdraws what waits.
 */
export type Exchange = (request: ExchangeRequest, signal?: AbortSignal) => Promise<TokenSet>;

const MAX_TRIES = 3;

/** See {@link Exchange}. */
export function createExchange(settings: Settings, nonces: Nonces, discovery: Discovery): Exchange {
  const post = createPost(settings, nonces);
  const waits = settings.waiting && createWaits(settings.waiting, { settings, discovery, post });
  return async (request, signal) => {
    const form = toForm(request);
    const asked = { form, tool: request.tools?.[0]?.name, signal };
    return (await waits?.resumed(digestOf(form), signal)) ?? ask(asked, { settings, discovery, post, waits });
  };
}

type Asked = Readonly<{ form: Record<string, string>; tool: string | undefined; signal: AbortSignal | undefined }>;
type Deps = Readonly<{ settings: Settings; discovery: Discovery; post: Post; waits: Waits | undefined }>;

async function ask({ form, tool, signal }: Asked, deps: Deps): Promise<TokenSet> {
  const { settings, discovery, post, waits } = deps;
  const { token_endpoint: url } = await unlessAborted(discovery(), signal);
  const now = settings.clock.now();
  const wanted = waits === undefined ? form : { ...form, completion_mode: 'deferred' };
  const answer = await sendUntilHeard(() => post({ url, form: wanted, signal }), settings, signal);
  const { issuer, dpopKey } = settings;
  const jkt = dpopKey && thumbprint(dpopKey.publicJwk);
  const deferral = waits && deferralOf(answer, { request: digestOf(form), tool, issuer, jkt, now });
  if (waits === undefined || deferral === undefined) return readTokenSet(answer, { now, dpop: dpopKey !== undefined });
  // The issuer has one approval for requests that are the same, and each of them needs one of its own.
  return (await waits.begun(deferral, signal)) ?? ask({ form, tool, signal }, deps);
}

async function sendUntilHeard(
  send: () => Promise<JsonAnswer>,
  { maxWaitSeconds }: Settings,
  signal: AbortSignal | undefined,
): Promise<JsonAnswer> {
  for (let tries = 1; ; tries++) {
    const answer = await send();
    const seconds = answer.status === 429 || answer.status === 503 ? retryAfterOf(answer.headers) : undefined;
    if (seconds === undefined || seconds > maxWaitSeconds || tries === MAX_TRIES) return answer;
    await pause(seconds, signal);
  }
}
