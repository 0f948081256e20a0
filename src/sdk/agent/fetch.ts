import { dpopProof } from '../../protocol/index.js';
import type { Exchange } from './exchange.js';
import { unlessAborted } from './abort.js';
import type { Discovery } from './issuer.js';
import { createSubjectTokens, neededBy, neededFor, type SignInAgain } from './step-up.js';
import { AgentError } from './errors.js';
import { asksForTools, createShownTools, type ShownTools, toolCallIn } from './mcp.js';
import type { Nonces } from './nonces.js';
import type { Settings } from './options.js';
import type { ExchangeRequest, WantedTool } from './request.js';
import type { TokenSet } from './response.js';

/** On whose behalf, at which MCP server and what for. */
export type CallOptions = Readonly<{
  resource: string;
  /** The person's token, or where to get the current one. */
  subjectToken: string | (() => string | Promise<string>);
  subjectTokenType?: string;
  /** Scopes of the token for everything that is no tool call, such as listing the tools. */
  scope?: string | readonly string[];
  task?: string;
  purpose?: string;
  /**
   * Called where the issuer or the MCP server wants the person to sign in again, or by another class. The call is then made
   * once more with the new token; a second wish of that kind is an `AgentError`. Left out, the first one is.
   */
  signInAgain?: SignInAgain;
}>;

/** Fits the `fetch` option of the official MCP clients. */
export type McpFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

export type FetchDeps = Readonly<{ exchange: Exchange; nonces: Nonces; settings: Settings; discovery: Discovery }>;

type Sent = Readonly<{ url: string; request: Request; body: string | undefined }>;

/**
 * For each tool call a token for exactly that call with exactly those arguments; for the rest one token, kept while it
 * lives. A tool call is sent again only when the server refused its token, which is before it ran.
 */
export function createMcpFetch(options: CallOptions, deps: FetchDeps): McpFetch {
  const { signInAgain = noSignIn, subjectToken } = options;
  const subject = createSubjectTokens(subjectToken, signInAgain, deps.discovery);
  const tokens = createTokens(options, () => subject.current(), deps);
  const shown = createShownTools();
  return async (input, init) => {
    const request = new Request(input, init);
    requireSameResource(request.url, options.resource);
    const body = request.method === 'POST' ? await request.text() : undefined;
    const sent = { url: request.url, request, body };
    const call = body === undefined ? undefined : shownCall(body, shown);
    const watched = (response: Response): Response =>
      body !== undefined && asksForTools(body) ? shown.watch(response) : response;
    const { signal } = request;
    // RFC 9470: once for each request, whoever asks for it; a sign-in that did not help will not do so by repetition.
    const mayAsk = createOnce(options.signInAgain !== undefined);
    const token = await tokens.for(call, signal).catch(async (error: unknown) => {
      const needed = neededBy(error, call?.name);
      if (needed === undefined || !mayAsk()) throw error;
      return tokens.anew(call, { signal, subject: await subject.again(needed, signal) });
    });
    const answer = await sendUntilTaken(sent, token, {
      ...deps,
      anew: () => tokens.anew(call, { signal, refused: token }),
    });
    const needed = neededFor(answer, call?.name);
    if (needed === undefined || !mayAsk()) return watched(answer);
    await answer.body?.cancel();
    const fresh = await tokens.anew(call, { signal, subject: await subject.again(needed, signal) });
    return watched(await send(sent, fresh, deps));
  };
}

/** Once more with another nonce or token where the server refused the first one, which is before anything ran. */
async function sendUntilTaken(
  sent: Sent,
  token: TokenSet,
  deps: FetchDeps & Readonly<{ anew: () => Promise<TokenSet> }>,
): Promise<Response> {
  const first = await send(sent, token, deps);
  if (first.status !== 401) return first;
  const learned = deps.nonces.learn(sent.url, first.headers) && asksForNonce(first);
  if (!learned && !refusedToken(first)) return first;
  await first.body?.cancel();
  return send(sent, learned ? token : await deps.anew(), deps);
}

const noSignIn: SignInAgain = () => Promise.reject(new TypeError('fetch: signInAgain is not given'));

function createOnce(isPossible: boolean): () => boolean {
  let isLeft = isPossible;
  return () => {
    const was = isLeft;
    isLeft = false;
    return was;
  };
}

/** The call with the pin of what its tool was shown to be, so that there is no token when somebody reviewed another. */
function shownCall(body: string, shown: ShownTools): WantedTool | undefined {
  const call = toolCallIn(body);
  const definitionSha256 = call && shown.pinOf(call.name);
  return call && definitionSha256 !== undefined ? { ...call, definitionSha256 } : call;
}

interface Tokens {
  for(call: WantedTool | undefined, signal: AbortSignal): Promise<TokenSet>;
  /** Another one than was refused, or one for a fresh subject token. */
  anew(call: WantedTool | undefined, instead: Instead): Promise<TokenSet>;
}

type Instead = Readonly<{ signal: AbortSignal; refused?: TokenSet; subject?: string }>;

/** Seconds before its end at which a token counts as over. */
const MARGIN = 10;

function createTokens(options: CallOptions, current: () => Promise<string>, { exchange, settings }: FetchDeps): Tokens {
  let shared: Promise<TokenSet> | undefined;
  const ask = async (tool: WantedTool | undefined, subject?: string, signal?: AbortSignal): Promise<TokenSet> => {
    const subjectToken = subject ?? (await unlessAborted(current(), signal));
    return exchange(toRequest(options, subjectToken, tool), signal);
  };
  const renewShared = (subject?: string): Promise<TokenSet> => {
    const asked = ask(undefined, subject);
    shared = asked;
    asked.catch(() => (shared = shared === asked ? undefined : shared));
    return asked;
  };
  const sharedToken = async (refused?: TokenSet): Promise<TokenSet> => {
    const asked = shared;
    const held = await asked;
    if (held && held !== refused && held.expiresAt - MARGIN > settings.clock.now()) return held;
    // Somebody else may have asked anew while we waited.
    return shared === asked ? renewShared() : sharedToken(refused);
  };
  return {
    // What several requests wait for is given up by none of them for all.
    for: (call, signal) => (call ? ask(call, undefined, signal) : unlessAborted(sharedToken(), signal)),
    anew: (call, { refused, signal, subject }) => {
      if (call) return ask(call, subject, signal);
      return unlessAborted(subject === undefined ? sharedToken(refused) : renewShared(subject), signal);
    },
  };
}

function toRequest(
  { resource, subjectTokenType, scope, task, purpose }: CallOptions,
  subjectToken: string,
  tool: WantedTool | undefined,
): ExchangeRequest {
  return {
    resource,
    subjectToken,
    ...(subjectTokenType === undefined ? {} : { subjectTokenType }),
    ...(task === undefined ? {} : { task }),
    ...(purpose === undefined ? {} : { purpose }),
    ...(tool ? { tools: [tool] } : scope === undefined ? {} : { scope }),
  };
}

function send(
  { url, request, body }: Sent,
  { accessToken, tokenType }: TokenSet,
  { settings, nonces }: FetchDeps,
): Promise<Response> {
  const headers = new Headers(request.headers);
  headers.set('authorization', `${tokenType === 'DPoP' ? 'DPoP' : 'Bearer'} ${accessToken}`);
  if (tokenType === 'DPoP' && settings.dpopKey) {
    const { method } = request;
    headers.set(
      'dpop',
      dpopProof(settings.dpopKey, {
        method,
        url,
        now: settings.clock.now(),
        nonce: nonces.for(url),
        accessToken,
      }),
    );
  }
  const { method, signal } = request;
  return settings.fetch(url, { method, headers, signal, redirect: 'error', ...(body === undefined ? {} : { body }) });
}

/** A token is good at one address, and shown to no other. */
function requireSameResource(url: string, resource: string): void {
  const [asked, wanted] = [new URL(url), new URL(resource)];
  if (asked.origin === wanted.origin && asked.pathname === wanted.pathname) return;
  throw new AgentError('wrong_address', `${asked.origin} is not where this token belongs`);
}

const asksForNonce = ({ headers }: Response): boolean =>
  (headers.get('www-authenticate') ?? '').includes('error="use_dpop_nonce"');

const refusedToken = ({ headers }: Response): boolean =>
  (headers.get('www-authenticate') ?? '').includes('error="invalid_token"');
