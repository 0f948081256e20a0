import type { Json } from '../../protocol/index.js';
import type { VerifierError } from './errors.js';
import type { StepUp } from './sign-in.js';

/** What the guard says to a client instead of letting the request through. */
export type Answer = Readonly<{ status: number; headers: Readonly<Record<string, string>>; body: string }>;

export type ChallengeOptions = Readonly<{
  scheme: 'Bearer' | 'DPoP';
  /** Address of the RFC 9728 document, which tells the client where to get a token. */
  resourceMetadata: string;
  /** All scopes that the request needs (MCP: authoritative for the client). */
  scopes?: readonly string[];
  /** What the sign-in lacks (RFC 9470 section 3). */
  stepUp?: StepUp | undefined;
}>;

/**
 * `WWW-Authenticate` for a refusal (RFC 6750 section 3, RFC 9449 section 7.1, RFC 9470 section 3, RFC 9728 section 5.1). Without a token
 * there is no `error`: the client did nothing wrong yet.
 */
export function challenge(
  error: VerifierError,
  { scheme, resourceMetadata, scopes = [], stepUp }: ChallengeOptions,
): string {
  const told =
    error.reason === 'missing_token' ? [] : [pair('error', error.code), pair('error_description', error.message)];
  const wanted = scopes.length > 0 ? [pair('scope', scopes.join(' '))] : [];
  const { acrValues = [], maxAge } = stepUp ?? {};
  const signIn = [
    ...(acrValues.length > 0 ? [pair('acr_values', acrValues.join(' '))] : []),
    ...(maxAge === undefined ? [] : [pair('max_age', String(maxAge))]),
  ];
  const algs = scheme === 'DPoP' ? [pair('algs', 'ES256 EdDSA')] : [];
  return `${scheme} ${[...told, ...signIn, ...wanted, pair('resource_metadata', resourceMetadata), ...algs].join(', ')}`;
}

/** The whole HTTP answer for a refusal: 401, 403 or 400 with its challenge, or 503 when we cannot tell. */
export function refuse(error: VerifierError, options: ChallengeOptions): Answer {
  switch (error.code) {
    case 'server_error':
      return unavailable(error);
    case 'invalid_request':
      return json(400, error.toResponseObject(), { 'www-authenticate': challenge(error, options) });
    case 'insufficient_scope':
      return json(403, error.toResponseObject(), { 'www-authenticate': challenge(error, options) });
    case 'invalid_token':
    case 'invalid_dpop_proof':
    case 'insufficient_user_authentication':
      return json(401, error.toResponseObject(), { 'www-authenticate': challenge(error, options) });
  }
}

/** A JSON-RPC error (MCP: -32020 for headers that contradict the body). */
export function rpcError(status: number, code: number, message: string, id: string | number | null = null): Answer {
  return json(status, { jsonrpc: '2.0', id, error: { code, message } });
}

/**
 * A refusal by policy, where the token itself is good (STANDARDS 3.6, C-06): a tool result that says so, which the
 * model can read and act on.
 */
export function toolRefusal(
  call: Readonly<{ id: string | number; modern: boolean }>,
  text: string,
  structuredContent: Record<string, Json>,
): Answer {
  const result = { isError: true, content: [{ type: 'text', text }], structuredContent };
  return json(200, {
    jsonrpc: '2.0',
    id: call.id,
    result: call.modern ? { resultType: 'complete', ...result } : result,
  });
}

function unavailable(error: VerifierError): Answer {
  const broken =
    error.reason === 'body_already_read' ||
    error.reason === 'introspection_not_configured' ||
    error.reason === 'not_admitted';
  if (broken) return json(500, error.toResponseObject());
  return json(503, { error: 'temporarily_unavailable', error_description: error.message }, { 'retry-after': '2' });
}

/** A JSON body that nobody keeps. */
export function json(status: number, body: Json, headers: Record<string, string> = {}): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
    body: JSON.stringify(body),
  };
}

/** RFC 9110 section 5.6.4. What we put in here holds neither quotes nor anything from the request. */
const pair = (name: string, value: string): string => `${name}="${value.replace(/["\\]/g, '')}"`;
