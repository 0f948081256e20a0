import type { Answer } from '../protocol/index.js';
import { HEADERS } from './headers.js';

/** ARAP, error responses, with their titles. */
const PROBLEMS = {
  not_requestable: [400, 'Nobody can be asked for this'],
  invalid_denial_binding: [400, 'This is not what was denied'],
  expired_denial: [410, 'The denial is too old'],
  duplicate_request: [409, 'The idempotency key was used for another request'],
  unknown_task: [404, 'There is no such request'],
  invalid_task_state: [409, 'The request has ended'],
} as const;

/** RFC 9457. */
export const problem = (code: keyof typeof PROBLEMS, detail: string): Answer => ({
  status: PROBLEMS[code][0],
  headers: { ...HEADERS, 'Content-Type': 'application/problem+json' },
  body: {
    type: `urn:openid:authzen:access-request:error:${code}`,
    title: PROBLEMS[code][1],
    status: PROBLEMS[code][0],
    detail,
  },
  notes: { outcome: 'refused', reason: code },
});

/** RFC 6585 section 4: so many requests wait for this person, or of this agent, that nobody is asked another one. */
export const tooManyWait = (): Answer => ({
  status: 429,
  headers: { ...HEADERS, 'Content-Type': 'application/problem+json', 'Retry-After': '60' },
  body: {
    type: 'about:blank',
    title: 'Too Many Requests',
    status: 429,
    detail: 'too many requests wait for this person or of this agent; let some be answered or cancel them',
  },
  notes: { outcome: 'refused', reason: 'too_many_approvals' },
});
