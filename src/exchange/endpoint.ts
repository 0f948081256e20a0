import { POLL_INTERVAL } from '../approval/index.js';
import type { Seconds } from '../base/index.js';
import { asClient, type AsClientDeps } from '../client/index.js';
import type { Answer, FormRequest, Notes, OAuthErrorBody } from '../protocol/index.js';
import type { ExchangeDeps } from './deps.js';
import type { Deferred } from './deferral.js';
import { exchange, type Exchanged } from './exchange.js';
import { reasonOf, type Refusal, toWire } from './refusal.js';

export type TokenExchangeDeps = ExchangeDeps & AsClientDeps;

/** POST /token for the token-exchange grant: who calls, then the main job, then the wire. */
export function tokenExchangeEndpoint(http: FormRequest, deps: TokenExchangeDeps): Promise<Answer> {
  return asClient(http, '/token', deps, async (caller, registry, now) => {
    const issued = await exchange(http, { caller, registry }, deps);
    if (issued.ok) return answer(issued.value);
    if ('deferred' in issued.error) return deferred(issued.error, deps.settings.issuer, deps.clock.now());
    return isStale(issued.error) ? 'stale' : refused(issued.error, now);
  });
}

export const NO_STORE = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;

/** RFC 8693 section 2.2.1. Never a refresh token. */
export function answer({ token, issuedTokenType, tokenType, expiresIn, scope, details, handle }: Exchanged): Answer {
  const body = {
    access_token: token,
    issued_token_type: issuedTokenType,
    token_type: tokenType,
    expires_in: expiresIn,
    // RFC 6749 section 3.3 has no empty scope: a token that names no tool has none.
    scope: scope === '' ? undefined : scope,
    authorization_details: details,
    txn_handle: handle,
  };
  return { status: 200, headers: NO_STORE, body, notes: { outcome: 'permitted' } };
}

/** STANDARDS 5.10: a 400, since there is no token yet. */
function deferred({ deferred: { approval, code, expiresAt, number } }: Deferred, issuer: string, now: Seconds): Answer {
  const body: OAuthErrorBody = {
    error: 'authorization_pending',
    error_description: 'a person has to approve this call; poll with deferral_code',
    deferral_code: code,
    expires_in: expiresAt - now,
    interval: POLL_INTERVAL,
    interaction_uri: `${issuer}/approvals/${approval}`,
    number,
  };
  return { status: 400, headers: NO_STORE, body, notes: { outcome: 'asked', reason: 'approval_required' } };
}

export function refused(refusal: Refusal, now: Seconds): Answer {
  const body = toWire(refusal);
  const resetsAt = body.session_state?.resets_at;
  const headers =
    resetsAt === undefined ? NO_STORE : { ...NO_STORE, 'Retry-After': String(Math.max(1, resetsAt - now)) };
  const notes: Notes = { outcome: 'ask' in refusal ? 'asked' : 'refused', reason: reasonOf(refusal) };
  return { status: body.error === 'invalid_client' ? 401 : 400, headers, body, notes };
}

export const isStale = (error: Refusal | { readonly reason: 'stale' }): error is { readonly reason: 'stale' } =>
  'reason' in error && error.reason === 'stale';
