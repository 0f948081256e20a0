import { type ApprovalState, type Held, POLL_INTERVAL } from '../approval/index.js';
import type { Answer, JsonObject } from '../protocol/index.js';
import { instant } from './binding-token.js';
import { HEADERS } from './headers.js';
import type { Moment } from './moment.js';

/** ARAP, task handle, and its result once it was approved. */
export function taskAnswer(status: 200 | 'made', held: Held, { endpoint }: Pick<Moment, 'endpoint'>): Answer {
  const at = `${endpoint}/${held.id}`;
  const isOpen = held.state === 'asked' || held.state === 'granted';
  const isPending = held.state === 'asked';
  const task: JsonObject = {
    id: held.id,
    status: STATUS[held.state],
    status_endpoint: at,
    expires_at: instant(held.expiresAt),
    ...(isOpen ? { links: { review: pageOf(endpoint, held.id), cancel: `${at}/cancel` } } : {}),
    // Whoever approves on another device says which number they were shown.
    ...(isPending ? { display: { title: `"${held.tool}" waits for an approval`, number: held.about.number } } : {}),
  };
  const body: JsonObject = { task, ...resultOf(held) };
  return {
    status: status === 200 ? 200 : isPending ? 202 : 201,
    headers: {
      ...HEADERS,
      ...(status === 200 ? {} : { Location: at }),
      ...(isPending ? { 'Retry-After': String(POLL_INTERVAL) } : {}),
    },
    body,
    notes: { outcome: isPending ? 'asked' : 'done' },
  };
}

/** ARAP, mapping backend states: what was approved and used remains approved; it is good for nothing more. */
const STATUS = {
  asked: 'pending',
  granted: 'approved',
  used: 'approved',
  refused: 'denied',
  expired: 'expired',
  withdrawn: 'cancelled',
} as const satisfies Record<ApprovalState, string>;

function resultOf({ id, state, answers, expiresAt }: Held): JsonObject {
  if (state !== 'granted' && state !== 'used') return {};
  const approvedAt = Math.max(...answers.map(({ at }) => at));
  // AR-03: it ends with the request, however late somebody said yes.
  const approval = { id, approved_at: instant(approvedAt), approved_until: instant(expiresAt) };
  return { result: { mode: 'reevaluate', approval } };
}

const pageOf = (endpoint: string, id: string): string =>
  `${endpoint.slice(0, -'/access/v1/requests'.length)}/approvals/${id}`;
