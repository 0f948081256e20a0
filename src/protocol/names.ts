/** Grant types of the token endpoint that Writ itself answers (RFC 8693 section 2.1). */
/** Deferred Token Response (draft -01). */
export const DEFERRED_GRANT = 'urn:ietf:params:oauth:grant-type:deferred';
export const DEFERRAL_CODE_TYPE = 'urn:ietf:params:oauth:token-type:deferral-code';
/** Tells a deferral code from every other thing that may be revoked. */
export const DEFERRAL_CODE = /^dfr_[\w-]{43}$/;
export const TOKEN_EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** RFC 8693 section 3, the transaction token draft section 5, and the Txn-AT draft. */
export const TokenType = {
  accessToken: 'urn:ietf:params:oauth:token-type:access_token',
  idToken: 'urn:ietf:params:oauth:token-type:id_token',
  jwt: 'urn:ietf:params:oauth:token-type:jwt',
  refreshToken: 'urn:ietf:params:oauth:token-type:refresh_token',
  txnToken: 'urn:ietf:params:oauth:token-type:txn_token',
  txnAccessToken: 'urn:ietf:params:oauth:token-type:txn_access_token',
} as const;
export type TokenType = (typeof TokenType)[keyof typeof TokenType];

/** JOSE `typ` of each shape; a shape is never accepted in place of another. */
export const Typ = {
  accessToken: 'at+jwt',
  transactionalAccessToken: 'txnat+jwt',
  transactionToken: 'txntoken+jwt',
  clientAuthentication: 'client-authentication+jwt',
  dpop: 'dpop+jwt',
  keyRotation: 'key-rotation+jwt',
  newKey: 'new-key+jwt',
} as const;
export type Typ = (typeof Typ)[keyof typeof Typ];

/** RFC 7523 section 2.2. */
export const JWT_BEARER_ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** Below the issuer: where an agent puts a new key in the place of its old one. */
export const KEY_ROTATION_PATH = '/agents/v1/keys';

/** RFC 9396 `type` of our authorization details. */
export const MCP_TOOL_CALL = 'mcp_tool_call';

/** Signature algorithms that Writ accepts anywhere. Symmetric ones and `none` do not exist here. */
export const SIGNATURE_ALGORITHMS = ['ES256', 'EdDSA', 'RS256', 'PS256'] as const;
export type SignatureAlgorithm = (typeof SIGNATURE_ALGORITHMS)[number];
