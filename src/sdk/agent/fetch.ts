import { dpopProof } from '../../protocol/index.js';
import type { Exchange } from './exchange.js';
import { unlessAborted } from './abort.js';
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
}>;

/** Fits the `fetch` option of the official MCP clients. */
export type McpFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

export type FetchDeps = Readonly<{ exchange: Exchange; nonces: Nonces; settings: Settings }>;

type Sent = Readonly<{ url: string; request: Request; body: string | undefined }>;

/**
 * For each tool call a token for exactly that call with exactly those arguments; for the rest one token, kept while it
 * lives. A tool call is sent again only when the server refused its token, which is before it ran.
 */
export function createMcpFetch(options: CallOptions, deps: FetchDeps): McpFetch {
  const tokens = createTokens(options, deps);
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
    const token = await tokens.for(call, signal);
    const first = await send(sent, token, deps);
    if (first.status !== 401) return watched(first);
    const learned = deps.nonces.learn(sent.url, first.headers) && asksForNonce(first);
    if (!learned && !refusedToken(first)) return first;
    await first.body?.cancel();
    return watched(await send(sent, learned ? token : await tokens.anew(call, token, signal), deps));
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
  anew(call: WantedTool | undefined, refused: TokenSet, signal: AbortSignal): Promise<TokenSet>;
}

/** Seconds before its end at which a token counts as over. */
const MARGIN = 10;

function createTokens(options: CallOptions, { exchange, settings }: FetchDeps): Tokens {
  let shared: Promise<TokenSet> | undefined;
  const ask = async (tool: WantedTool | undefined, signal?: AbortSignal): Promise<TokenSet> =>
    exchange(await unlessAborted(toRequest(options, tool), signal), signal);
  const renewShared = (): Promise<TokenSet> => {
    const asked = ask(undefined);
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
    for: (call, signal) => (call ? ask(call, signal) : unlessAborted(sharedToken(), signal)),
    anew: (call, refused, signal) => (call ? ask(call, signal) : unlessAborted(sharedToken(refused), signal)),
  };
}

async function toRequest(
  { resource, subjectToken, subjectTokenType, scope, task, purpose }: CallOptions,
  tool: WantedTool | undefined,
): Promise<ExchangeRequest> {
  return {
    resource,
    subjectToken: typeof subjectToken === 'string' ? subjectToken : await subjectToken(),
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
