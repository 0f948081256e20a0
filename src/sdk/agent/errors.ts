import { OAUTH_ERRORS, type OAuthErrorCode, type PolicyAdvice, type SessionState } from '../../protocol/index.js';

/** What the issuer answered, or what went wrong on the way to it. */
export type AgentErrorCode = OAuthErrorCode | WaitCode | LocalCode;

/** How a wait for a person ends without a token: they said no, or nobody said anything in time. */
type WaitCode = (typeof WAIT_CODES)[number];
const WAIT_CODES = ['access_denied', 'expired_token'] as const;

/**
 * `unreachable`: no answer in time. `bad_answer`: an answer that no issuer should give. `unsafe_request`: arguments
 * that two parsers read differently, or a JSON-RPC batch. `wrong_address`: a token would have gone elsewhere.
 * `other_person`: somebody else signed in than the one whose call it is.
 */
type LocalCode = 'unreachable' | 'bad_answer' | 'unsafe_request' | 'wrong_address' | 'other_person';

type About = Readonly<{
  cause?: unknown;
  retryAfter?: number | undefined;
  advice?: PolicyAdvice | undefined;
  session?: SessionState | undefined;
}>;

/** Why there is no token. Switch on `code`. It never holds a token, a key or an argument. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: AgentErrorCode;
  /** Seconds after which trying again makes sense, where the issuer said so. */
  readonly retryAfter: number | undefined;
  /** Of a decision by policy: which policies decided, and what would change the answer. */
  readonly advice: PolicyAdvice | undefined;
  /** Of an agent session that gives nothing now: paused, out of budget, ended or waiting for the person; until when, if known. */
  readonly session: SessionState | undefined;

  constructor(code: AgentErrorCode, message: string, options: About = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfter = options.retryAfter;
    this.advice = options.advice;
    this.session = options.session;
  }
}

/** True for an error code that the issuer can answer with. */
export const isOAuthError = (code: string): code is OAuthErrorCode | WaitCode =>
  [...OAUTH_ERRORS, ...WAIT_CODES].some((known) => known === code);
