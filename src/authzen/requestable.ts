import { type Call, freeze, POLL_INTERVAL, WAIT } from '../approval/index.js';
import type { Result } from '../base/index.js';
import type { JsonObject } from '../protocol/index.js';
import type { AskedCall } from './asked-call.js';
import { instant } from './binding-token.js';
import type { Decided } from './decided.js';
import type { NotGranted } from './granted.js';
import type { Granted, Kept, Requested } from './kept.js';
import type { Moment } from './moment.js';
import type { Evaluation } from './request.js';

type About = Readonly<{
  question: Evaluation;
  /** `undefined` where the caller may ask nobody. */
  call: Call | undefined;
  asked: Pick<AskedCall, 'about' | 'ip'>;
  /** What the caller said was approved. */
  grant: Result<Granted, NotGranted> | undefined;
}>;

/** The answer as ARAP completes it: a no says how a person may lift it, a yes what it spends. */
export function completed(
  decided: Decided,
  { question, call, asked, grant }: About,
  moment: Moment,
): Omit<Kept, 'about'> {
  if (decided.answer.decision) return grant?.ok === true ? permitted(decided, grant.value) : decided;
  const requested = requestedOf(decided, { call, asked }, moment);
  const request = requested && requestOf(decided, { question, requested }, moment);
  if (grant === undefined) return { ...withContext(decided, request), requested };
  if (request === undefined) return withContext(decided, { next_action: 'none' });
  // What holds and does not carry the call was granted under other policies: they ask anew.
  const reason = grant.ok ? 'approval_expired' : grant.error;
  const next = NEXT[reason];
  const context = { reason, ...next, ...(next.next_action === 'request' ? request : {}) };
  return { ...withContext(decided, context), requested };
}

/** ARAP, re-evaluation: what a caller does next. A person's no is a no: nobody is asked again for it. */
const NEXT = {
  grant_pending: { next_action: 'retry', retry_after: POLL_INTERVAL },
  approval_expired: { next_action: 'request' },
  out_of_scope: { next_action: 'request' },
  policy_denied: { next_action: 'none' },
  approval_unverifiable: { next_action: 'none' },
} as const satisfies Record<NotGranted, JsonObject>;

const withContext = (decided: Decided, more: JsonObject = {}): Decided => ({
  ...decided,
  answer: { ...decided.answer, context: { ...decided.answer.context, ...more } },
});

const permitted = (decided: Decided, grant: Granted): Omit<Kept, 'about'> => ({
  ...withContext(decided, approvalOf(grant)),
  ...(grant.isSpent ? { spends: grant } : {}),
});

const approvalOf = ({ held, until }: Granted): JsonObject => ({
  approval: { id: held.id, approved_until: instant(until) },
});

function requestedOf(
  { ask }: Decided,
  { call, asked: { about, ip } }: Pick<About, 'call' | 'asked'>,
  { rules, now }: Moment,
): Requested | undefined {
  const policySet = rules.registry.policies?.hash;
  if (ask?.ask !== 'approval' || call === undefined || policySet === undefined) return undefined;
  const frozen = freeze({ version: 1, call, policySet, demands: ask.demands, expiresAt: now + WAIT });
  const { jkt, task, purpose } = about;
  return frozen.ok ? { ask, frozen: frozen.value, call, jkt, task, purpose, network: ip } : undefined;
}

/** ARAP, requestable denial. */
function requestOf(
  { id }: Decided,
  { question, requested }: Readonly<{ question: Evaluation; requested: Requested }>,
  { bindings, caller, endpoint, now }: Moment,
): JsonObject | undefined {
  const given = bindings.give({ evaluation: id, client: caller.clientId, agents: requested.call.chain }, question, now);
  return given && { access_request: { endpoint, expires_at: given.expiresAt, binding_token: given.token } };
}
