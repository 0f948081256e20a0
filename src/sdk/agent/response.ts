import { z } from 'zod';
import type { Seconds } from '../../base/index.js';
import { type PolicyAdvice, SessionState } from '../../protocol/index.js';
import { AgentError, isOAuthError } from './errors.js';
import type { JsonAnswer } from './http.js';

/** What was granted, which may be less than what was asked for. */
export type TokenSet = Readonly<{
  accessToken: string;
  issuedTokenType: string;
  /** `N_A` is no access token: it goes into its own header or to another exchange. */
  tokenType: 'Bearer' | 'DPoP' | 'N_A';
  expiresAt: Seconds;
  scope: readonly string[];
  details: readonly GrantedTool[];
  /** Joins the next exchange to this transaction. Given where `requestedTokenType` named transactional access tokens. */
  transactionHandle?: string;
}>;

/** One tool that the token permits. */
export type GrantedTool = Readonly<{
  tool: string;
  resource: string;
  argumentsSha256: string | undefined;
  maxUses: number | undefined;
}>;

const Detail = z
  .object({
    identifier: z.string(),
    locations: z.tuple([z.string()]),
    arguments_sha256: z.string().optional(),
    max_uses: z.number().optional(),
  })
  .transform((detail) => ({
    tool: detail.identifier,
    resource: detail.locations[0],
    argumentsSha256: detail.arguments_sha256,
    maxUses: detail.max_uses,
  }));

const Granted = z.object({
  access_token: z.string().min(1).max(16_384),
  issued_token_type: z.string().min(1),
  token_type: z
    .string()
    .toLowerCase()
    .pipe(z.enum(['bearer', 'dpop', 'n_a'])),
  expires_in: z.number().int().positive(),
  scope: z.string().default(''),
  authorization_details: z.array(Detail).default([]),
  txn_handle: z.string().min(1).max(4_096).optional(),
});

const Refused = z.object({ error: z.string().max(128), error_description: z.string().optional() });

const WithState = z.object({ session_state: SessionState });

/** Texts of the issuer's administrators, for the agent's program. An answer that says less is no advice. */
const Advice = z.object({
  decision: z.string().max(128),
  tool: z.string().max(128),
  term: z.enum(['person', 'agent', 'server', 'request', 'policy']),
  policies: z.array(z.string().max(128)).max(1_024),
  reasons: z.array(z.string().max(1_024)).max(64).exactOptional(),
  remedy: z.enum(['approval', 'reauthentication', 'exact_call', 'correct_arguments', 'change_policy', 'try_again']),
  acr_values: z.string().max(2_048).exactOptional(),
  max_age: z.number().int().nonnegative().exactOptional(),
}) satisfies z.ZodType<PolicyAdvice>;

const NAMES = { bearer: 'Bearer', dpop: 'DPoP', n_a: 'N_A' } as const;

/** RFC 8693 section 2.2. `now` is the time before the request, so that a token is never thought younger than it is. */
export function readTokenSet(
  { status, headers, body }: JsonAnswer,
  { now, dpop }: { now: Seconds; dpop: boolean },
): TokenSet {
  if (status !== 200) throw refusal({ status, headers, body });
  const granted = Granted.safeParse(body);
  if (!granted.success) throw new AgentError('bad_answer', 'the token response is malformed');
  const { data } = granted;
  // Bound was asked for; an unbound token would be worth stealing.
  if (dpop && data.token_type === 'bearer')
    throw new AgentError('bad_answer', 'the token is not bound to the DPoP key');
  return Object.freeze({
    accessToken: data.access_token,
    issuedTokenType: data.issued_token_type,
    tokenType: NAMES[data.token_type],
    expiresAt: now + data.expires_in,
    scope: Object.freeze(data.scope.split(' ').filter((scope) => scope !== '')),
    details: Object.freeze(data.authorization_details),
    ...(data.txn_handle === undefined ? {} : { transactionHandle: data.txn_handle }),
  });
}

/** RFC 6749 section 5.2. A code outside the closed list is not passed on as if it were known. */
export function refusal({ status, headers, body }: JsonAnswer): AgentError {
  const refused = Refused.safeParse(body);
  const retryAfter = retryAfterOf(headers);
  if (refused.success && isOAuthError(refused.data.error)) {
    return new AgentError(refused.data.error, printable(refused.data.error_description ?? refused.data.error), {
      retryAfter,
      advice: Advice.safeParse(body).data,
      session: WithState.safeParse(body).data?.session_state,
    });
  }
  if (status === 429 || status === 503)
    return new AgentError('temporarily_unavailable', 'the issuer is busy', { retryAfter });
  return new AgentError('bad_answer', `the issuer answered ${status} without a known error`, { retryAfter });
}

/** RFC 9110 section 10.2.3, in seconds; dates are not used by issuers. */
export function retryAfterOf(headers: Headers): number | undefined {
  const value = headers.get('retry-after');
  return value !== null && /^\d{1,6}$/.test(value) ? Number(value) : undefined;
}

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, ' ').slice(0, 300);
