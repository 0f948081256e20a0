import { randomBytes } from 'node:crypto';
import { decodeJwt } from 'jose';
import { assertion, type Reply, request, type TestWrit } from './writ.js';
import type { Client } from './world.js';

export type Outcome = Readonly<Record<string, unknown>>;

export const OUTCOMES = '/audit/v1/outcomes';

/** 128 random bits, as a server names a call. */
export const callId = (): string => randomBytes(16).toString('base64url');

/** What a server says of one call with this token; `changes` change one thing, `undefined` takes it away. */
export function outcomeOf(token: string, changes: Outcome = {}): Outcome {
  const {
    jti,
    txn,
    authorization_details: details,
  } = decodeJwt<{
    txn: string;
    authorization_details?: readonly { identifier: string }[];
  }>(token);
  return {
    jti,
    txn,
    tool: details?.[0]?.identifier,
    call: callId(),
    outcome: 'executed',
    result_sha256: 'A'.repeat(43),
    duration_ms: 12,
    at: Math.floor(Date.now() / 1000),
    ...changes,
  };
}

/** POSTs outcomes as this client, whose assertion is the bearer token, or with these headers. */
export async function report(
  at: Pick<TestWrit, 'issuer'> & Readonly<{ base?: string }>,
  outcomes: unknown,
  by: Client | Readonly<Record<string, string>>,
): Promise<Reply> {
  const proof: Record<string, string> =
    'key' in by ? { authorization: `Bearer ${await assertion(at.issuer, by as Client)}` } : { ...by };
  return request(`${at.base ?? at.issuer}${OUTCOMES}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...proof },
    body: typeof outcomes === 'string' ? outcomes : JSON.stringify(Array.isArray(outcomes) ? { outcomes } : outcomes),
  });
}

export type Answered = Readonly<{ call: string; result: string; leaf?: string }>;

/** The answers, one for each. */
export function answersOf({ body, text }: Pick<Reply, 'body' | 'text'>): readonly Answered[] {
  if (typeof body === 'object' && body !== null && 'outcomes' in body) return body.outcomes as Answered[];
  throw new Error(text);
}
