import type { SessionState } from './session-state.js';

/** Every OAuth error code that a client of Writ can meet (RFC 6749 section 5.2, RFC 8693, 8707, 9396, 9449, Txn-AT). */
export const OAUTH_ERRORS = [
  'invalid_request',
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'unsupported_grant_type',
  'invalid_scope',
  'invalid_target',
  'invalid_authorization_details',
  'invalid_dpop_proof',
  'invalid_token',
  'insufficient_scope',
  'transaction_denied',
  'invalid_txn_handle',
  'insufficient_user_authentication',
  'unsupported_token_type',
  'authorization_pending',
  'slow_down',
  'access_denied',
  'expired_token',
  'temporarily_unavailable',
  'server_error',
] as const;
export type OAuthErrorCode = (typeof OAUTH_ERRORS)[number];

/** The body of an error answer (RFC 6749 section 5.2); a decision by policy or a session says more, and nothing else is beside it. */
export type OAuthErrorBody = Readonly<{
  error: OAuthErrorCode;
  error_description: string;
  error_uri?: string;
  session_state?: SessionState;
}> &
  Partial<Deferral> &
  Partial<PolicyAdvice>;

/** Deferred Token Response (draft -01): the token may be polled for. `interaction_uri` is where people answer. */
export type Deferral = Readonly<{
  deferral_code: string;
  /** Seconds. */
  expires_in: number;
  interval: number;
  interaction_uri: string;
  /** Two digits that the agent's host shows to the person. */
  number: string;
}>;

/** A decision by policy, for the agent's program: which policies decided, whose word is missing, what would change it. */
export type PolicyAdvice = Readonly<{
  decision: string;
  tool: string;
  term: 'person' | 'agent' | 'server' | 'request' | 'policy';
  /** Ids of the policies that decided; none when no policy spoke for the call. */
  policies: readonly string[];
  /** What the authors of those policies tell the caller. */
  reasons?: readonly string[];
  /**
   * `approval`: a person has to approve the call. `reauthentication`: the person has to sign in again (RFC 9470).
   * `exact_call`: ask again with the exact arguments. `correct_arguments`: they are not of the reviewed schema.
   * `change_policy`: only an administrator can change the answer. `try_again`: who has to decide too does not answer.
   */
  remedy: 'approval' | 'reauthentication' | 'exact_call' | 'correct_arguments' | 'change_policy' | 'try_again';
  acr_values?: string;
  max_age?: number;
}>;
