import { createPrivateKey } from 'node:crypto';
import { SignJWT } from 'jose';
import { z } from 'zod';
import { type Clock, randomText } from '../../base/index.js';
import { JWT_BEARER_ASSERTION, SIGNATURE_ALGORITHMS, TransactionalAccessToken, Typ } from '../../protocol/index.js';
import { VerifierError } from './errors.js';
import { type Fetch, fetchJson } from './http.js';
import type { Issuer } from './issuer.js';

/** A private JWK with the algorithm it signs with. */
export const PrivateJwk = z.looseObject({
  kty: z.enum(['EC', 'OKP', 'RSA']),
  d: z.string().min(1),
  kid: z.string().min(1).exactOptional(),
  alg: z.enum(SIGNATURE_ALGORITHMS).default('ES256'),
});

/** How this MCP server proves to the issuer who it is: with its own key, or a secret where the registry allows one. */
export const IntrospectionClient = z.union([
  z.strictObject({ clientId: z.string().min(1), key: PrivateJwk }),
  z.strictObject({ clientId: z.string().min(1), secret: z.string().min(16) }),
]);
export type IntrospectionClient = z.infer<typeof IntrospectionClient>;

/** RFC 7662 section 2.2. `claims` are those of the token. */
export type Introspection = Readonly<{ active: false }> | Readonly<{ active: true; claims: TransactionalAccessToken }>;

/** `consume` names the tool for which one use is spent, in the same step; without a use left the token is not active. */
export type Introspect = (token: string, options?: Readonly<{ consume?: string }>) => Promise<Introspection>;

export type IntrospectionOptions = Readonly<{
  client: IntrospectionClient | undefined;
  issuerId: string;
  issuer: Issuer;
  fetch: Fetch;
  clock: Clock;
  timeoutMs: number;
}>;

const Answer = z.union([
  TransactionalAccessToken.extend({ active: z.literal(true) }).strip(),
  z.looseObject({ active: z.literal(false) }),
]);

/** RFC 7662 section 2.1. Fails closed: anything but a clear answer in time rejects with `introspection_unavailable`. */
export function createIntrospect(options: IntrospectionOptions): Introspect {
  return async (token, { consume } = {}) => {
    if (options.client === undefined) throw new VerifierError('introspection_not_configured');
    try {
      const body = { token, token_type_hint: 'access_token', ...(consume === undefined ? {} : { consume }) };
      return await ask(await options.issuer.introspectionEndpoint(), body, options.client, options);
    } catch (cause) {
      throw new VerifierError('introspection_unavailable', { cause });
    }
  };
}

async function ask(
  url: string,
  fields: Record<string, string>,
  client: IntrospectionClient,
  options: IntrospectionOptions,
): Promise<Introspection> {
  const { headers, ...proof } = await authenticate(client, options);
  const body = new URLSearchParams({ ...fields, ...proof });
  const { fetch, timeoutMs } = options;
  const answer = Answer.parse(
    await fetchJson(fetch, url, {
      method: 'POST',
      headers: { accept: 'application/json', ...headers },
      body,
      timeoutMs,
    }),
  );
  if (!answer.active) return { active: false };
  const { active, ...claims } = answer;
  return { active, claims };
}

type Credentials = { headers?: Record<string, string>; client_assertion_type?: string; client_assertion?: string };

async function authenticate(
  client: IntrospectionClient,
  { issuerId, clock }: IntrospectionOptions,
): Promise<Credentials> {
  if ('secret' in client) {
    // RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
    const pair = `${encodeURIComponent(client.clientId)}:${encodeURIComponent(client.secret)}`;
    return { headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` } };
  }
  return {
    client_assertion_type: JWT_BEARER_ASSERTION,
    client_assertion: await assertion(client, issuerId, clock.now()),
  };
}

/** RFC 10070: the issuer is the only audience, and the type says what it is. */
function assertion(
  { clientId, key }: Extract<IntrospectionClient, { key: unknown }>,
  issuer: string,
  now: number,
): Promise<string> {
  const { alg, kid, ...jwk } = key;
  return new SignJWT({ iss: clientId, sub: clientId, aud: issuer, jti: randomText(16), iat: now, exp: now + 60 })
    .setProtectedHeader({ alg, typ: Typ.clientAuthentication, ...(kid === undefined ? {} : { kid }) })
    .sign(createPrivateKey({ key: jwk, format: 'jwk' }));
}
