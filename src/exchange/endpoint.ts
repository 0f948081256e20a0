import { Fault } from '../base/index.js';
import { authenticateClient, clientRefused, type FailureLog } from '../client/index.js';
import type { Answer, FormRequest, JsonObject } from '../protocol/index.js';
import type { Issued } from '../token/index.js';
import { exchange, type ExchangeDeps } from './exchange.js';
import { type Refusal, toWire } from './refusal.js';

/** How often a decision is made anew because the registry moved under it, before the request is told to come back. */
const TRIES = 4;

/** POST /token for the token-exchange grant: who calls, then the main job, then the wire. */
export async function tokenExchangeEndpoint(
  http: FormRequest,
  deps: ExchangeDeps & Readonly<{ failures: FailureLog }>,
): Promise<Answer> {
  const { settings, clock, clientKeys } = deps;
  for (let tried = 0; tried < TRIES; tried++) {
    const registry = tried === 0 ? deps.registry.current() : await deps.registry.refresh();
    const caller = await authenticateClient(http, {
      issuer: settings.issuer,
      registry,
      keys: clientKeys,
      now: clock.now(),
      skew: settings.skew,
    });
    if (!caller.ok) {
      await deps.failures.note({ client: caller.error.knownClient, cause: caller.error.reason, route: '/token' });
      return clientRefused(caller.error);
    }
    const issued = await exchange(http, caller.value, registry, deps);
    if (issued.ok) return answer(issued.value);
    if (!isStale(issued.error)) return refused(issued.error);
  }
  throw new Fault('registry_unsettled', 'the registry kept changing while an exchange was decided');
}

const NO_STORE = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;

/** RFC 8693 section 2.2.1. Never a refresh token. */
function answer({ token, issuedTokenType, tokenType, expiresIn, scope, details }: Issued): Answer {
  const body: JsonObject = {
    access_token: token,
    issued_token_type: issuedTokenType,
    token_type: tokenType,
    expires_in: expiresIn,
    // RFC 6749 section 3.3 has no empty scope: a token that names no tool has none.
    ...(scope === '' ? {} : { scope }),
    ...(details === undefined ? {} : { authorization_details: details }),
  };
  return { status: 200, headers: NO_STORE, body };
}

function refused(refusal: Refusal): Answer {
  const body = toWire(refusal);
  return { status: body.error === 'invalid_client' ? 401 : 400, headers: NO_STORE, body };
}

const isStale = (error: Refusal | { readonly reason: 'stale' }): error is { readonly reason: 'stale' } =>
  'reason' in error && error.reason === 'stale';
