import type { Answer, Notes } from '../protocol/index.js';
import type { ClientRefusal } from './caller.js';

/**
 * Failures before authentication: counted, and recorded once per (known client, cause, minute). Written behind the
 * answer, so that its time does not tell whether the client is known (CA-16). Never throws.
 */
export interface FailureLog {
  note(failure: Readonly<{ client: string | undefined; cause: string; route: string }>): void;
}

const NO_STORE = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;

/** RFC 6749 section 5.2: one answer for unknown, wrong and disabled; two methods at once are a malformed request. */
export function clientRefused({ reason, knownClient, usedHeader }: ClientRefusal): Answer {
  const notes: Notes = { outcome: 'unauthenticated', reason, claimed: knownClient };
  if (reason === 'several_methods') {
    return {
      status: 400,
      headers: NO_STORE,
      body: { error: 'invalid_request', error_description: 'use exactly one client authentication method' },
      notes,
    };
  }
  const challenge: Readonly<Record<string, string>> = usedHeader ? { 'WWW-Authenticate': 'Basic realm="writ"' } : {};
  return {
    status: 401,
    headers: { ...NO_STORE, ...challenge },
    body: BODIES[reason] ?? unauthenticated('client authentication failed'),
    notes,
  };
}

const unauthenticated = (error_description: string): Answer['body'] => ({ error: 'invalid_client', error_description });

/** What only the holder of a key that was right is told. */
const BODIES: Readonly<Partial<Record<ClientRefusal['reason'], Answer['body']>>> = {
  key_too_old: unauthenticated(
    'the key of this client is older than keys may be; have an administrator register a new one',
  ),
  key_retired: unauthenticated('the key of this client was rotated out; use the one that took its place'),
};
