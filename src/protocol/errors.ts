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
  'insufficient_user_authentication',
  'unsupported_token_type',
  'temporarily_unavailable',
  'server_error',
] as const;
export type OAuthErrorCode = (typeof OAUTH_ERRORS)[number];

/** The body of an error answer (RFC 6749 section 5.2), and nothing beside it. */
export type OAuthErrorBody = Readonly<{ error: OAuthErrorCode; error_description: string; error_uri?: string }>;
