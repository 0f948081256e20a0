import { z } from 'zod';
import type { Clock, Seconds } from '../../base/index.js';
import {
  clientAssertion,
  type ClientKey,
  importClientKey,
  Instant,
  type Json,
  JWT_BEARER_ASSERTION,
  PrivateJwk,
  TransactionalAccessToken,
} from '../../protocol/index.js';
import { VerifierError } from './errors.js';
import { type Fetch, fetchJson } from './http.js';
import type { Issuer } from './issuer.js';

/** How this MCP server proves to the issuer who it is: with its own key, or a secret where the registry allows one. */
export const IntrospectionClient = z.union([
  z.strictObject({ clientId: z.string().min(1), key: PrivateJwk.transform(toClientKey) }),
  z.strictObject({ clientId: z.string().min(1), secret: z.string().min(16) }),
]);
export type IntrospectionClient = z.input<typeof IntrospectionClient>;
export type Client = z.output<typeof IntrospectionClient>;

/** RFC 7662 section 2.2. `claims` are those of the token. */
export type Introspection = Readonly<{ active: false }> | Readonly<{ active: true; claims: TransactionalAccessToken }>;

/** `consume` names the tool for which one use is spent, in the same step; without a use left the token is not active. */
export type Introspect = (token: string, options?: Readonly<{ consume?: string }>) => Promise<Introspection>;

export type IntrospectionOptions = Readonly<{
  client: Client | undefined;
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

/**
 * Asks whether a call of this tool that began with this token may still run, and until when; `undefined` is no. Rejects
 * with `introspection_unavailable` when there is no clear answer.
 */
export type Renew = (token: Readonly<{ token: string; tokenId: string }>, tool: string) => Promise<Seconds | undefined>;

const Running = z.looseObject({ active: z.boolean(), jti: z.string().optional(), run_until: Instant.optional() });

/** See {@link Renew}; `undefined` where there is nobody to ask as. */
export function createRenew(options: IntrospectionOptions): Renew | undefined {
  const { client, issuer } = options;
  if (client === undefined) return undefined;
  return async ({ token, tokenId }, tool) => {
    try {
      const answer = Running.parse(
        await send(await issuer.introspectionEndpoint(), { token, running: tool }, client, options),
      );
      if (answer.run_until === undefined && answer.active) throw new Error('says nothing of calls that run');
      // The answer must be about this token: a cache on the way could give that of another.
      return answer.jti === tokenId ? answer.run_until : undefined;
    } catch (cause) {
      throw new VerifierError('introspection_unavailable', { cause });
    }
  };
}

async function ask(
  url: string,
  fields: Record<string, string>,
  client: Client,
  options: IntrospectionOptions,
): Promise<Introspection> {
  const answer = Answer.parse(await send(url, fields, client, options));
  if (!answer.active) return { active: false };
  const { active, ...claims } = answer;
  return { active, claims };
}

function send(
  url: string,
  fields: Record<string, string>,
  client: Client,
  { fetch, timeoutMs, ...options }: IntrospectionOptions,
): Promise<Json> {
  const { headers, ...proof } = authenticate(client, options);
  const body = new URLSearchParams({ ...fields, ...proof });
  return fetchJson(fetch, url, {
    method: 'POST',
    headers: { accept: 'application/json', ...headers },
    body,
    timeoutMs,
  });
}

type Credentials = { headers?: Record<string, string>; client_assertion_type?: string; client_assertion?: string };

export function authenticate(
  client: Client,
  { issuerId, clock }: Pick<IntrospectionOptions, 'issuerId' | 'clock'>,
): Credentials {
  if ('secret' in client) {
    // RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
    const pair = `${encodeURIComponent(client.clientId)}:${encodeURIComponent(client.secret)}`;
    return { headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` } };
  }
  return {
    client_assertion_type: JWT_BEARER_ASSERTION,
    client_assertion: clientAssertion(client.key, { clientId: client.clientId, issuer: issuerId, now: clock.now() }),
  };
}

/** {@link authenticate} for a request whose body is JSON: there an assertion is the bearer token. */
export function bearerOf(
  client: Client,
  options: Pick<IntrospectionOptions, 'issuerId' | 'clock'>,
): Readonly<Record<string, string>> {
  const { headers, client_assertion: assertion = '' } = authenticate(client, options);
  return headers ?? { authorization: `Bearer ${assertion}` };
}

function toClientKey(jwk: PrivateJwk, context: z.RefinementCtx): ClientKey {
  const key = importClientKey(jwk);
  if (key.ok) return key.value;
  context.addIssue(`is no usable key: ${key.error}`);
  return z.NEVER;
}
