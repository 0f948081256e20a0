import type { DelegationRefusal } from '../delegation/index.js';
import type { Ask, PolicyRefusal } from '../policy/index.js';
import type { DpopFlaw, OAuthErrorBody, SessionState } from '../protocol/index.js';
import type { ActorFlaw } from './actor.js';
import { adviceOf } from './advice.js';
import type { HandleRefusal } from './handle.js';
import type { SubjectFlaw } from './own-subject.js';
import type { Breach, BudgetFlaw, SessionStanding } from '../session/index.js';
import type { RequestRefusal } from './request.js';

/** What the commit itself may refuse: what was true when it was decided is no longer. */
export type CommitRefusal =
  | Readonly<{ reason: 'replayed'; what: 'assertion' | 'dpop' | 'actor' | 'approval' }>
  | Readonly<{ reason: 'revoked' | 'person_disabled' | 'session_of_another_key' | 'transaction_over' }>
  | Readonly<{ reason: 'session_paused' | 'session_ended'; standing?: SessionStanding }>
  | BudgetExhausted;

/** What a person approved is not what would be done now, or nobody can be asked. */
export type ApprovalFlaw = Readonly<{
  reason: 'approved_another_call' | 'approval_not_asked' | 'approval_refused' | 'too_many_approvals';
  cause?: string;
}>;

/** A budget has not enough left; `session` is the one that there is. */
export type BudgetExhausted = Readonly<{ reason: 'budget_exhausted'; session: string | undefined }> & Breach;

/** Every no of the main job, with its evidence for the log. */
export type Refusal =
  | RequestRefusal
  | DelegationRefusal
  | PolicyRefusal
  | ActorFlaw
  | CommitRefusal
  | BudgetFlaw
  | Ask
  | ApprovalFlaw
  | Readonly<{ reason: 'subject_invalid'; cause: SubjectFlaw }>
  | Readonly<{ reason: 'issuer_not_allowed' }>
  | HandleRefusal
  | Readonly<{ reason: 'dpop_invalid'; cause: DpopFlaw | 'several_proofs' }>
  | Readonly<{ reason: 'requested_type_does_not_fit'; fits: string }>;

/** The log's word for a refusal. */
export const reasonOf = (refusal: Refusal): string => ('ask' in refusal ? `${refusal.ask}_required` : refusal.reason);

/** The evidence that the log keeps of a refusal: never a value that came from a token. */
export function evidenceOf(refusal: Refusal): Readonly<Record<string, string | number>> {
  const evidence: Record<string, string | number> = {};
  for (const [name, value] of Object.entries(refusal)) {
    if (name !== 'reason' && (typeof value === 'string' || typeof value === 'number')) evidence[name] = value;
  }
  if ('scopes' in refusal) evidence['scopes'] = refusal.scopes.slice(0, 16).join(' ');
  if ('policies' in refusal) evidence['policies'] = refusal.policies.slice(0, 32).join(' ');
  return evidence;
}

type Wire = OAuthErrorBody;
const wire = (error: Wire['error'], error_description: string): Wire => ({ error, error_description });

// One sentence for unknown, expired, revoked and somebody else's: which it was is told to the log alone.
const SUBJECT = wire('invalid_request', 'subject_token is not acceptable');
/** STANDARDS 5.10: unknown, another client's and redeemed are one answer. */
export const CODE = wire('invalid_grant', 'deferral_code is not acceptable');
const TARGET = wire('invalid_target', 'resource or audience does not name a target that this client may ask for');

/** The border between our words and OAuth's: rich inside, mute outside. RFC 8693 section 2.2.2, STANDARDS 10.4. */
export function toWire(refusal: Refusal): Wire {
  if ('ask' in refusal) return { ...asking(refusal), ...adviceOf(refusal) };
  switch (refusal.reason) {
    case 'parameter_missing':
      return wire('invalid_request', `${refusal.parameter} is missing`);
    case 'parameter_repeated':
      return wire('invalid_request', `${refusal.parameter} must be sent once`);
    case 'parameter_malformed':
      return wire('invalid_request', `${refusal.parameter} ${refusal.hint ?? 'is malformed'}`);
    case 'unsupported_token_type':
      return wire('invalid_request', `${refusal.parameter} is not supported`);
    case 'requested_type_does_not_fit':
      return wire('invalid_request', `requested_token_type must be ${refusal.fits} for this target`);
    case 'one_target_required':
      return wire('invalid_target', 'name exactly one target: one resource, or one audience');
    case 'malformed_target':
      return wire('invalid_target', 'resource must be an absolute URI without fragment');
    case 'unknown_target':
    case 'target_not_allowed':
    case 'hand_over_not_allowed':
    case 'domain_not_allowed':
      return TARGET;
    case 'malformed_scope':
      return wire('invalid_scope', 'scope must be scope tokens separated by single spaces');
    case 'scope_too_wide':
      return wire('invalid_scope', `scope is wider than what this ${refusal.term} may use here`);
    case 'scope_misses_tool':
      return wire('invalid_scope', `scope lacks what the tool ${refusal.tool} needs`);
    case 'nothing_granted':
      return wire('invalid_scope', 'nothing is left of the request after every ceiling');
    case 'malformed_details':
      return wire(
        'invalid_authorization_details',
        `authorization_details${refusal.path === '' ? '' : `.${refusal.path}`} ${refusal.hint}`,
      );
    case 'tool_not_granted':
      return wire('invalid_authorization_details', `the tool ${refusal.tool} is not granted here`);
    case 'tool_not_reviewed':
      return wire('invalid_authorization_details', `nobody has reviewed the tool ${refusal.tool} yet`);
    case 'tool_needs_review':
      return wire('invalid_authorization_details', `the tool ${refusal.tool} has changed and waits for a review`);
    case 'tool_changed':
      return wire(
        'invalid_authorization_details',
        `the tool ${refusal.tool} is not what was reviewed; list the tools again`,
      );
    case 'policy_forbids':
      return { ...wire('transaction_denied', `a policy forbids ${refusal.tool} here`), ...adviceOf(refusal) };
    case 'policy_does_not_permit':
      return {
        ...wire('transaction_denied', `no policy permits ${refusal.tool} for this ${refusal.term}`),
        ...adviceOf(refusal),
      };
    case 'policy_cannot_read':
      return {
        ...wire(
          'invalid_authorization_details',
          `the arguments of ${refusal.tool} are not what its reviewed schema wants: ${refusal.argument ?? 'arguments'}`,
        ),
        ...adviceOf(refusal),
      };
    case 'policy_broken':
    case 'policy_missing':
      return {
        ...wire('transaction_denied', `${refusal.tool} could not be decided; tell an administrator`),
        ...adviceOf(refusal),
      };
    case 'decision_point_refuses':
      return {
        ...wire('transaction_denied', `a decision point beside Writ refuses ${refusal.tool}`),
        ...adviceOf(refusal),
      };
    case 'decision_point_silent':
      return {
        ...wire('transaction_denied', `${refusal.tool} waits for a decision point that does not answer; try again`),
        ...adviceOf(refusal),
      };
    case 'one_call_per_token':
      return wire('invalid_authorization_details', `the tool ${refusal.tool} needs a token of its own for each call`);
    case 'arguments_required':
      return wire('invalid_authorization_details', `the tool ${refusal.tool} needs the exact arguments of the call`);
    case 'arguments_changed':
      return wire(
        'invalid_authorization_details',
        `the arguments of ${refusal.tool} are not those of this transaction`,
      );
    case 'too_many_uses':
      return wire('invalid_authorization_details', `max_uses of ${refusal.tool} is more than it allows`);
    case 'too_many_tools':
      return wire('invalid_authorization_details', 'at most 32 tools fit in one token');
    case 'tools_not_here':
      return wire('invalid_authorization_details', 'authorization_details go with an MCP server as resource only');
    case 'subject_invalid':
    case 'not_exchangeable_by_caller':
    case 'may_act_names_another':
    case 'revoked':
    case 'person_disabled':
    case 'life_is_over':
    case 'actor_not_usable':
    case 'hand_over_withdrawn':
      return SUBJECT;
    case 'issuer_not_allowed':
      return wire('unauthorized_client', 'this client may not exchange tokens of that issuer');
    case 'actor_invalid':
      return wire('invalid_request', 'actor_token is not acceptable');
    case 'chain_too_long':
      return wire('invalid_request', `the delegation chain is longer than ${refusal.limit}`);
    case 'actor_loop':
      return wire('invalid_request', 'this actor is already in the delegation chain');
    case 'call_loop':
      return wire('transaction_denied', 'this transaction has called that tool already');
    case 'context_changed':
      return wire('invalid_request', `request_details.${refusal.member} differs from that of the transaction`);
    case 'proof_required':
    case 'proof_of_possession_required':
      return wire('invalid_dpop_proof', 'a DPoP proof is required');
    case 'proof_of_another_key':
      return wire('invalid_dpop_proof', 'the DPoP proof is by another key than the one subject_token is bound to');
    case 'dpop_invalid':
      return wire('invalid_dpop_proof', 'the DPoP proof is not acceptable');
    case 'amount_required':
      return wire(
        'invalid_authorization_details',
        `the tool ${refusal.tool} needs its exact arguments, with what it spends as an exact decimal`,
      );
    case 'currency_without_budget':
      return wire('transaction_denied', `the tool ${refusal.tool} spends in a currency that has no budget here`);
    case 'budget_exhausted':
      return exhausted(refusal);
    case 'approved_another_call':
      return wire('access_denied', 'what was approved is not what would be done now; ask again');
    case 'approval_not_asked':
      return wire('transaction_denied', 'a person has to approve this call, and cannot be asked for it like this');
    case 'approval_refused':
      return wire('access_denied', 'a person refused this very call a moment ago; do not ask again');
    case 'too_many_approvals':
      return wire('transaction_denied', 'too many calls wait for an approval already; wait for those');
    case 'replayed':
      return replayed(refusal.what);
    case 'handle_invalid':
    case 'transaction_over':
      return wire('invalid_txn_handle', 'txn_handle is not acceptable; leave it out to begin another transaction');
    case 'session_of_another_key':
      return wire('invalid_dpop_proof', 'the agent session is bound to another key');
    case 'session_paused':
      return {
        ...wire('transaction_denied', 'the agent session is paused; try again when it is resumed'),
        ...stateOf('paused', refusal.standing),
      };
    case 'session_ended':
      return {
        ...wire('transaction_denied', 'the agent session has ended; the person has to authorise again'),
        ...stateOf(isOverByTime(refusal.standing) ? 'needs_reauth' : 'ended', refusal.standing),
      };
  }
}

/** For the agent's program: why its session gives nothing, and until when. */
function stateOf(status: SessionState['status'], standing: SessionStanding | undefined): Pick<Wire, 'session_state'> {
  if (standing === undefined) return {};
  const { session, reason, resumesAt } = standing;
  return { session_state: { status, session, reason, ...(resumesAt === undefined ? {} : { resets_at: resumesAt }) } };
}

const isOverByTime = (standing: SessionStanding | undefined): boolean =>
  standing?.reason === 'expired' || standing?.reason === 'idle';

function asking({ ask, decision, tool }: Ask): Wire {
  switch (ask) {
    case 'approval':
      return wire('transaction_denied', `a person has to approve this call (decision ${decision})`);
    case 'reauthentication':
      return wire('insufficient_user_authentication', 'the person has to sign in again for this call');
    case 'exact_call':
      return wire(
        'invalid_authorization_details',
        `the tool ${tool} is decided on its exact arguments; ask again with them`,
      );
  }
}

/** `session_state` is for the agent's program: what is used up, and when to come again. */
function exhausted({ session, budget, onBreach, resetsAt }: BudgetExhausted): Wire {
  const { unit, scope, limit, used, currency } = budget;
  const size = [limit, currency, unit.replaceAll('_', ' ')].filter((word) => word !== undefined).join(' ');
  const state: SessionState = {
    status: onBreach === 'pause' && session !== undefined ? 'paused' : 'budget_exhausted',
    ...(session === undefined ? {} : { session }),
    reason: 'budget_exhausted',
    ...(resetsAt === undefined ? {} : { resets_at: resetsAt }),
    budget,
  };
  return {
    ...wire(
      'transaction_denied',
      `the budget of ${size} per ${scope} has not enough left: ${used} are spent or reserved`,
    ),
    session_state: state,
  };
}

function replayed(what: 'assertion' | 'dpop' | 'actor' | 'approval'): Wire {
  switch (what) {
    case 'assertion':
      return wire('invalid_client', 'client authentication failed');
    case 'dpop':
      return wire('invalid_dpop_proof', 'the DPoP proof is not acceptable');
    case 'actor':
      return wire('invalid_request', 'actor_token is not acceptable');
    case 'approval':
      return CODE;
  }
}
