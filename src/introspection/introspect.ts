import type { Clock, Seconds } from '../base/index.js';
import { Fault } from '../base/index.js';
import { authenticateClient, type Caller, clientRefused, type FailureLog, type KeySource } from '../client/index.js';
import {
  type Answer,
  copyJson,
  type FormRequest,
  isObject,
  type JsonObject,
  sha256,
  ToolName,
} from '../protocol/index.js';
import type { RegistryReader } from '../registry/index.js';
import type { KeyRing } from '../token/index.js';
import { type OwnToken, readOwnToken } from './own-token.js';
import type { StateQuestion, TokenStates } from './ports.js';

export type IntrospectionDeps = Readonly<{
  settings: Readonly<{ issuer: string; trustDomain: string; skew: Seconds }>;
  clock: Clock;
  registry: RegistryReader;
  keys: KeyRing;
  clientKeys: KeySource;
  states: TokenStates;
  failures: FailureLog;
}>;

const HEADERS = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;
/** RFC 7662 section 2.2: unknown, expired, revoked and somebody else's look the same, and nothing is said beside it. */
const INACTIVE: Answer = { status: 200, headers: HEADERS, body: { active: false } };
const TRIES = 4;

/**
 * RFC 7662 for the tokens that Writ signs. With our parameter `consume` (a tool name) it also takes one use of the token
 * for that tool, once for all verifiers, and answers inactive when none is left.
 */
export async function introspectionEndpoint(http: FormRequest, deps: IntrospectionDeps): Promise<Answer> {
  for (let tried = 0; tried < TRIES; tried++) {
    const registry = tried === 0 ? deps.registry.current() : await deps.registry.refresh();
    const now = deps.clock.now();
    const caller = await authenticateClient(http, { ...deps.settings, registry, keys: deps.clientKeys, now });
    if (!caller.ok) {
      await deps.failures.note({ client: caller.error.knownClient, cause: caller.error.reason, route: '/introspect' });
      return clientRefused(caller.error);
    }
    const asked = readQuestion(http, caller.value, now, deps);
    const state = await deps.states.ask({
      requestId: http.requestId,
      registryVersion: registry.version,
      spends: caller.value.spends,
      ...asked.question,
    });
    if (state.registryVersion !== registry.version) continue;
    if (state.replayed) {
      await deps.failures.note({ client: caller.value.clientId, cause: 'assertion_replayed', route: '/introspect' });
      return clientRefused({ reason: 'assertion_replayed', knownClient: caller.value.clientId, usedHeader: false });
    }
    if ('refusal' in asked) return asked.refusal;
    const { token, question } = asked;
    if (token === undefined || !state.live || (question.consume !== undefined && !state.consumed)) return INACTIVE;
    return { status: 200, headers: HEADERS, body: answerOf(token) };
  }
  throw new Fault('registry_unsettled', 'the registry kept changing while a token was looked up');
}

type Question = Pick<StateQuestion, 'tokenHash' | 'consume'>;
type Asked =
  Readonly<{ token: OwnToken | undefined; question: Question }> | Readonly<{ refusal: Answer; question: Question }>;

const NOTHING: Question = { tokenHash: undefined, consume: undefined };

/** token_type_hint is not looked at: a wrong one must not change the answer (IN-08). */
function readQuestion({ form }: FormRequest, caller: Caller, now: Seconds, deps: IntrospectionDeps): Asked {
  for (const [name, values] of form) if (values.length > 1) return malformed(`${name} must be sent once`);
  const text = form.get('token')?.[0] ?? '';
  if (text === '') return malformed('token is missing');
  const tool = form.get('consume')?.[0];
  if (tool !== undefined && !ToolName.safeParse(tool).success) return malformed('consume must be a tool name');
  const token = readOwnToken(text, { keys: deps.keys.verification, issuer: deps.settings.issuer, now });
  if (token === undefined || !isFor(token, caller, deps.settings.trustDomain))
    return { token: undefined, question: NOTHING };
  const tokenHash = sha256(token.claims.jti);
  if (tool === undefined) return { token, question: { tokenHash, consume: undefined } };
  const detail = token.claims.authorization_details?.find(({ identifier }) => identifier === tool);
  if (detail === undefined) return { token: undefined, question: NOTHING };
  return { token, question: { tokenHash, consume: { tool, maxUses: detail.max_uses, expiresAt: token.claims.exp } } };
}

/** IN-01, IN-02: an MCP server sees the tokens that are meant for it, members of the trust domain its transaction tokens. */
function isFor(token: OwnToken, { party }: Caller, trustDomain: string): boolean {
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

/** IN-05: the claims as they stand in the token, so that a verifier has one way to read them. */
function answerOf({ claims, shape }: OwnToken): JsonObject {
  const tokenType = shape === 'transaction' ? 'N_A' : claims.cnf === undefined ? 'Bearer' : 'DPoP';
  const copy = copyJson(claims);
  return { active: true, token_type: tokenType, ...(isObject(copy) ? copy : {}) };
}

const malformed = (error_description: string): Asked => ({
  refusal: { status: 400, headers: HEADERS, body: { error: 'invalid_request', error_description } },
  question: NOTHING,
});
