import { recordHead } from '../audit/index.js';
import { ok, type Seconds } from '../base/index.js';
import { asClient, type AsClientDeps, type Caller } from '../client/index.js';
import {
  type Answer,
  copyJson,
  flattenAct,
  type FormRequest,
  isObject,
  type JsonObject,
  sha256,
  ToolName,
} from '../protocol/index.js';
import { type RegistrySnapshot, unusableActor } from '../registry/index.js';
import type { KeyRing } from '../token/index.js';
import { type OwnToken, readOwnToken } from './own-token.js';
import type { Consumption, Renewal, RunningRules, StateQuestion, TokenStates } from './ports.js';

export type IntrospectionDeps = AsClientDeps &
  Readonly<{
    settings: Readonly<{ issuer: string; trustDomain: string; skew: Seconds }>;
    keys: KeyRing;
    states: TokenStates;
    running: RunningRules;
  }>;

const HEADERS = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;
/** RFC 7662 section 2.2: unknown, expired, revoked and somebody else's look the same, and nothing is said beside it. */
const INACTIVE: Answer = { status: 200, headers: HEADERS, body: { active: false }, notes: { outcome: 'inactive' } };

/**
 * RFC 7662 for the tokens that Writ signs. With our parameter `consume` (a tool name) it also takes one use of the token
 * for that tool, once for all verifiers, and answers inactive when none is left. With `running` (a tool name) a server asks
 * whether a call that began with the token, expired or not, may still run, which is decided anew, recorded, and told until
 * when.
 */
export function introspectionEndpoint(http: FormRequest, deps: IntrospectionDeps): Promise<Answer> {
  return asClient(http, '/introspect', deps, async (caller, registry, now) => {
    const at = { ...deps, registry, now };
    const asked = await judged(readQuestion(http, caller, at), { http, caller, at });
    const { requestId } = http;
    const { spends, keyThumbprint } = caller;
    const basis = { requestId, registryVersion: registry.version, spends, keyThumbprint };
    const state = await deps.states.ask({ ...basis, ...asked.question });
    if (state.registryVersion !== registry.version) return 'stale';
    if (state.replayed) return 'replayed';
    if ('refusal' in asked) return asked.refusal;
    const { token, question } = asked;
    if (token === undefined || !state.live || (question.consume !== undefined && !state.consumed)) return INACTIVE;
    if (question.renew !== undefined && state.runUntil === undefined) return INACTIVE;
    const body = state.runUntil === undefined ? answerOf(token) : runningOf(token, state.runUntil, now);
    return { status: 200, headers: HEADERS, body, notes: { outcome: 'active' } };
  });
}

type TransactionalToken = Exclude<OwnToken, Readonly<{ shape: 'person' }>>;
type Question = Pick<StateQuestion, 'tokenHash' | 'consume' | 'renew'>;
type Asked =
  Readonly<{ token: OwnToken | undefined; question: Question }> | Readonly<{ refusal: Answer; question: Question }>;

const NOTHING: Question = { tokenHash: undefined, consume: undefined };

/** One request's view of the world: what it was authenticated against, and when. */
type Moment = Pick<IntrospectionDeps, 'keys' | 'settings' | 'running'> &
  Readonly<{ registry: RegistrySnapshot; now: Seconds }>;

/** token_type_hint is not looked at: a wrong one must not change the answer (IN-08). */
function readQuestion(http: FormRequest, caller: Caller, at: Moment): Asked {
  const { form } = http;
  for (const [name, values] of form) if (values.length > 1) return malformed(`${name} must be sent once`);
  const text = form.get('token')?.[0] ?? '';
  if (text === '') return malformed('token is missing');
  const tool = form.get('consume')?.[0];
  if (tool !== undefined && !ToolName.safeParse(tool).success) return malformed('consume must be a tool name');
  const running = form.get('running')?.[0];
  if (running !== undefined && !ToolName.safeParse(running).success) return malformed('running must be a tool name');
  if (running !== undefined && tool !== undefined) return malformed('running and consume are two questions');
  const token = running === undefined ? tokenOf(text, at) : begunWith(text, at);
  if (token !== undefined && running !== undefined && !isOf(running, token))
    return { token: undefined, question: NOTHING };
  if (token === undefined || !isFor(token, caller, at.settings.trustDomain) || hasGoneActor(token, at))
    return { token: undefined, question: NOTHING };
  const tokenHash = sha256(token.claims.jti);
  if (tool === undefined) return { token, question: { tokenHash, consume: undefined } };
  const consume = useOf(token, tool, { http, caller, now: at.now, tokenHash });
  return consume === undefined ? { token: undefined, question: NOTHING } : { token, question: { tokenHash, consume } };
}

const tokenOf = (text: string, { keys, settings, now }: Moment): OwnToken | undefined =>
  readOwnToken(text, { keys: keys.verification, issuer: settings.issuer, now });

/** A call that runs goes on for as long as its session lives, whatever became of its token and the token's key meanwhile. */
function begunWith(text: string, { keys, settings: { issuer }, now }: Moment): OwnToken | undefined {
  const known = readOwnToken(text, { keys: keys.verification, issuer, now: 0 });
  if (known !== undefined) return known;
  const former = readOwnToken(text, { keys: keys.former, issuer, now: 0 });
  // Whatever such a key signed has expired. What has not was not signed by us.
  return former !== undefined && former.claims.exp <= now ? former : undefined;
}

/** A token without details is good for any tool of its server that its scopes are enough for: the server knows which. */
function isOf(tool: string, { claims }: OwnToken): boolean {
  const details = 'authorization_details' in claims ? claims.authorization_details : undefined;
  return details?.some(({ identifier }) => identifier === tool) ?? true;
}

type Judging = Readonly<{ http: FormRequest; caller: Caller; at: Moment }>;

/** A call that runs on is decided as one that begins: by the rules of now, and in the statement that reads the state. */
async function judged(asked: Asked, judging: Judging): Promise<Asked> {
  const tool = judging.http.form.get('running')?.[0];
  if (tool === undefined || 'refusal' in asked || asked.token === undefined) return asked;
  const { token, question } = asked;
  if (token.shape === 'person') return asked;
  return { token, question: { ...question, renew: await renewalOf(token, tool, judging) } };
}

/** As long again as the token was good for. Transaction tokens are for no tool that policies know: what lives runs on. */
async function renewalOf(token: TransactionalToken, tool: string, { http, caller, at }: Judging): Promise<Renewal> {
  const { claims, shape } = token;
  const { registry, now } = at;
  const { requestId } = http;
  const rules =
    shape === 'transactional' ? await at.running.judge({ claims, tool }, { registry, now, requestId }) : ok(Infinity);
  const whole = Math.max(claims.exp, now + claims.exp - claims.iat);
  const until = rules.ok ? Math.min(whole, rules.value) : now;
  const record = recordHead('introspection', now, {
    what: 'renewal',
    request: requestId,
    trace: http.traceId ?? null,
    client: caller.clientId,
    token: sha256(claims.jti),
    tool,
    until,
    decision: claims.writ.decision,
    policy: registry.policies?.hash ?? 'none',
    registry: registry.version,
  });
  const { session } = claims.writ;
  return { tool, until, refused: rules.ok ? undefined : rules.error, record, session, txn: claims.txn };
}

type Asking = Readonly<{ http: FormRequest; caller: Caller; now: Seconds; tokenHash: string }>;

function useOf({ claims }: TransactionalToken, tool: string, asking: Asking): Consumption | undefined {
  const detail = claims.authorization_details?.find(({ identifier }) => identifier === tool);
  if (detail === undefined) return undefined;
  const { http, caller, now, tokenHash } = asking;
  const record = recordHead('introspection', now, {
    what: 'use',
    request: http.requestId,
    trace: http.traceId ?? null,
    client: caller.clientId,
    token: tokenHash,
    tool,
    max_uses: detail.max_uses,
  });
  const { session } = claims.writ;
  return { tool, maxUses: detail.max_uses, expiresAt: claims.exp, record, session, txn: claims.txn };
}

/** IN-01, IN-02: an MCP server sees the tokens that are meant for it, members of the trust domain its transaction tokens. */
function isFor(token: OwnToken, { party }: Caller, trustDomain: string): token is TransactionalToken {
  if (party.kind !== 'server') return false;
  switch (token.shape) {
    case 'transactional':
      return token.claims.aud === party.server.resource;
    case 'transaction':
      return token.claims.aud === trustDomain && party.server.transaction_tokens;
    case 'person':
      return false;
  }
}

/** IN-04: with an agent of its chain disabled or expired a token ends, whichever agent of the chain that is. */
function hasGoneActor({ claims }: OwnToken, { registry, settings, now }: Moment): boolean {
  return unusableActor(flattenAct(claims.act), registry, { issuer: settings.issuer, now }) !== undefined;
}

/** IN-05: the claims as they stand in the token, so that a verifier has one way to read them. */
function answerOf({ claims, shape }: OwnToken): JsonObject {
  const tokenType = shape === 'transaction' ? 'N_A' : claims.cnf === undefined ? 'Bearer' : 'DPoP';
  const copy = copyJson(claims);
  return { active: true, token_type: tokenType, ...(isObject(copy) ? copy : {}) };
}

/** An expired token stays inactive: nothing new may begin with it. */
function runningOf(token: OwnToken, until: Seconds, now: Seconds): JsonObject {
  const { jti, exp } = token.claims;
  const told: JsonObject = exp > now ? answerOf(token) : { active: false, jti };
  return { ...told, run_until: until };
}

const malformed = (error_description: string): Asked => ({
  refusal: { status: 400, headers: HEADERS, body: { error: 'invalid_request', error_description } },
  question: NOTHING,
});
