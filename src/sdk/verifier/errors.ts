/**
 * What a client is told (RFC 6750 section 3.1, RFC 9449 section 7.1, RFC 9470 section 3). `server_error` is an outage or a wrong
 * configuration on our side: the token may be good.
 */
export type VerifierErrorCode =
  | 'invalid_token'
  | 'insufficient_scope'
  | 'insufficient_user_authentication'
  | 'invalid_request'
  | 'invalid_dpop_proof'
  | 'server_error';

/** Why exactly, for logs. It never reaches the client, or it would be an oracle. */
export type Reason = keyof typeof CODES;

const CODES = {
  missing_token: 'invalid_token',
  malformed_authorization: 'invalid_token',
  token_in_query: 'invalid_request',
  malformed_token: 'invalid_token',
  wrong_type: 'invalid_token',
  unknown_key: 'invalid_token',
  bad_signature: 'invalid_token',
  wrong_issuer: 'invalid_token',
  wrong_audience: 'invalid_token',
  bad_claims: 'invalid_token',
  expired: 'invalid_token',
  issued_in_the_future: 'invalid_token',
  lives_too_long: 'invalid_token',
  bad_actors: 'invalid_token',
  binding_required: 'invalid_token',
  binding_mismatch: 'invalid_token',
  bad_proof: 'invalid_dpop_proof',
  proof_replayed: 'invalid_dpop_proof',
  guard_required: 'invalid_token',
  used_up: 'invalid_token',
  inactive: 'invalid_token',
  revoked: 'invalid_token',
  issued_before_start: 'invalid_token',
  tool_not_granted: 'insufficient_scope',
  scope_missing: 'insufficient_scope',
  sign_in_not_enough: 'insufficient_user_authentication',
  not_admitted: 'server_error',
  issuer_unavailable: 'server_error',
  feed_stale: 'server_error',
  introspection_unavailable: 'server_error',
  introspection_not_configured: 'server_error',
  decision_unavailable: 'server_error',
  replay_store_unavailable: 'server_error',
  body_already_read: 'server_error',
} as const satisfies Record<string, VerifierErrorCode>;

/** One sentence for each code: whoever probes learns the class and nothing else. */
const MESSAGES: Readonly<Record<VerifierErrorCode, string>> = {
  invalid_token: 'The access token is missing, invalid, expired or not for this server.',
  insufficient_scope: 'The access token does not cover this tool.',
  insufficient_user_authentication: 'The person has to sign in again for this call.',
  invalid_request: 'The access token belongs in the Authorization header.',
  invalid_dpop_proof: 'The DPoP proof is invalid.',
  server_error: 'The access token cannot be checked right now.',
};

/** The code that stands for this reason towards a client. */
export const codeOf = (reason: Reason): VerifierErrorCode => CODES[reason];

/**
 * A token that was refused, or could not be checked (`server_error`). Switch on `code`; log `reason`. The official MCP
 * SDK (v2) takes it for one of its own OAuth errors and answers 401, 403 or 500 by `code`.
 */
export class VerifierError extends Error {
  override readonly name = 'VerifierError';
  readonly code: VerifierErrorCode;
  readonly reason: Reason;

  constructor(reason: Reason, options?: { cause?: unknown }) {
    super(MESSAGES[codeOf(reason)], options);
    this.code = codeOf(reason);
    this.reason = reason;
    // The v2 SDK recognises its errors across copies of itself by this registered symbol, not by prototype.
    Object.defineProperty(this, Symbol.for('mcp.sdk.errorBrands'), { value: new Set(['mcp.OAuthError']) });
  }

  /** The OAuth error body (RFC 6749 section 5.2). */
  toResponseObject(): { error: VerifierErrorCode; error_description: string } {
    return { error: this.code, error_description: this.message };
  }
}

/**
 * The error classes of the v1 MCP SDK (`@modelcontextprotocol/sdk/server/auth/errors.js`), which compares prototypes:
 * pass them, or its `requireBearerAuth` answers 500 where 401 is meant.
 */
export type ErrorClasses = Readonly<{
  InvalidTokenError: new (message: string) => Error;
  ServerError?: new (message: string) => Error;
}>;

/** The same refusal in the classes that the framework knows. */
export function inClassesOf(classes: ErrorClasses | undefined, error: VerifierError): Error {
  if (classes === undefined) return error;
  const Chosen = error.code === 'server_error' ? classes.ServerError : classes.InvalidTokenError;
  if (Chosen === undefined) return error;
  const foreign = new Chosen(error.message);
  foreign.cause = error;
  return foreign;
}
