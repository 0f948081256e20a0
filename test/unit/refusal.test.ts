import { describe, expect, it } from '@jest/globals';
import { evidenceOf, reasonOf, type Refusal, toWire } from '../../src/exchange/refusal.js';

const SUBJECT = ['invalid_request', 'subject_token is not acceptable'];
const TARGET = ['invalid_target', 'resource or audience does not name a target that this client may ask for'];
const ENDED = ['transaction_denied', 'the agent session has ended; the person has to authorise again'];
const NEEDS_PROOF = ['invalid_dpop_proof', 'a DPoP proof is required'];
const BAD_PROOF = ['invalid_dpop_proof', 'the DPoP proof is not acceptable'];
const BAD_ACTOR = ['invalid_request', 'actor_token is not acceptable'];
const details = (text: string) => ['invalid_authorization_details', text];
const request = (text: string) => ['invalid_request', text];
const scope = (text: string) => ['invalid_scope', text];
const tool = 'wipe';

describe('RFC 8693 §2.2.2, STANDARDS 10.4: each refusal in the words of OAuth, and nothing more', () => {
  it.each<[Refusal, readonly string[]]>([
    [{ reason: 'parameter_missing', parameter: 'subject_token' }, request('subject_token is missing')],
    [{ reason: 'parameter_repeated', parameter: 'scope' }, request('scope must be sent once')],
    [{ reason: 'parameter_malformed', parameter: 'request_details' }, request('request_details is malformed')],
    [
      { reason: 'parameter_malformed', parameter: 'request_details', hint: 'is odd' },
      request('request_details is odd'),
    ],
    [{ reason: 'unsupported_token_type', parameter: 'actor_token_type' }, request('actor_token_type is not supported')],
    [
      { reason: 'requested_type_does_not_fit', fits: 'urn:x' },
      request('requested_token_type must be urn:x for this target'),
    ],
    [{ reason: 'one_target_required' }, ['invalid_target', 'name exactly one target: one resource, or one audience']],
    [{ reason: 'malformed_target' }, ['invalid_target', 'resource must be an absolute URI without fragment']],
    [{ reason: 'unknown_target', term: 'server' }, TARGET],
    [{ reason: 'target_not_allowed', term: 'agent' }, TARGET],
    [{ reason: 'hand_over_not_allowed', term: 'agent' }, TARGET],
    [{ reason: 'domain_not_allowed', term: 'agent' }, TARGET],
    [{ reason: 'malformed_scope' }, scope('scope must be scope tokens separated by single spaces')],
    [
      { reason: 'scope_too_wide', term: 'agent', scopes: ['x'] },
      scope('scope is wider than what this agent may use here'),
    ],
    [{ reason: 'scope_misses_tool', term: 'request', tool }, scope('scope lacks what the tool wipe needs')],
    [{ reason: 'nothing_granted', term: 'request' }, scope('nothing is left of the request after every ceiling')],
    [{ reason: 'malformed_details', path: '', hint: 'is odd' }, details('authorization_details is odd')],
    [{ reason: 'malformed_details', path: '0.type', hint: 'is odd' }, details('authorization_details.0.type is odd')],
    [{ reason: 'tool_not_granted', term: 'agent', tool }, details('the tool wipe is not granted here')],
    [
      { reason: 'one_call_per_token', term: 'server', tool },
      details('the tool wipe needs a token of its own for each call'),
    ],
    [
      { reason: 'arguments_required', term: 'server', tool },
      details('the tool wipe needs the exact arguments of the call'),
    ],
    [
      { reason: 'arguments_changed', term: 'person', tool },
      details('the arguments of wipe are not those of this transaction'),
    ],
    [{ reason: 'too_many_uses', term: 'server', tool }, details('max_uses of wipe is more than it allows')],
    [{ reason: 'tool_not_reviewed', term: 'tool', tool }, details('nobody has reviewed the tool wipe yet')],
    [{ reason: 'tool_needs_review', term: 'tool', tool }, details('the tool wipe has changed and waits for a review')],
    [
      { reason: 'tool_changed', term: 'tool', tool, seen: 'x' },
      details('the tool wipe is not what was reviewed; list the tools again'),
    ],
    [{ reason: 'too_many_tools', term: 'request' }, details('at most 32 tools fit in one token')],
    [
      { reason: 'tools_not_here', term: 'request' },
      details('authorization_details go with an MCP server as resource only'),
    ],
    [{ reason: 'subject_invalid', cause: 'expired' }, SUBJECT],
    [{ reason: 'not_exchangeable_by_caller' }, SUBJECT],
    [{ reason: 'may_act_names_another' }, SUBJECT],
    [{ reason: 'revoked' }, SUBJECT],
    [{ reason: 'person_disabled' }, SUBJECT],
    [{ reason: 'life_is_over', term: 'person' }, SUBJECT],
    [{ reason: 'actor_not_usable', term: 'agent', actor: 'agt_x' }, SUBJECT],
    [{ reason: 'hand_over_withdrawn', term: 'agent' }, SUBJECT],
    [{ reason: 'issuer_not_allowed' }, ['unauthorized_client', 'this client may not exchange tokens of that issuer']],
    [{ reason: 'actor_invalid', cause: 'expired' }, BAD_ACTOR],
    [{ reason: 'chain_too_long', depth: 6, limit: 5 }, request('the delegation chain is longer than 5')],
    [{ reason: 'actor_loop', actor: 'agt_a' }, request('this actor is already in the delegation chain')],
    [{ reason: 'call_loop', tool }, ['transaction_denied', 'this transaction has called that tool already']],
    [
      { reason: 'context_changed', member: 'task' },
      request('request_details.task differs from that of the transaction'),
    ],
    [{ reason: 'proof_required' }, NEEDS_PROOF],
    [{ reason: 'proof_of_possession_required', term: 'agent' }, NEEDS_PROOF],
    [
      { reason: 'proof_of_another_key' },
      ['invalid_dpop_proof', 'the DPoP proof is by another key than the one subject_token is bound to'],
    ],
    [{ reason: 'dpop_invalid', cause: 'stale' }, BAD_PROOF],
    [{ reason: 'replayed', what: 'dpop' }, BAD_PROOF],
    [{ reason: 'replayed', what: 'actor' }, BAD_ACTOR],
    [{ reason: 'replayed', what: 'assertion' }, ['invalid_client', 'client authentication failed']],
    [{ reason: 'session_ended' }, ENDED],
  ])('%j', (refusal, [error, error_description]) => {
    expect(toWire(refusal)).toEqual({ error, error_description });
  });
});

const BY_POLICY = { decision: 'dec_1', tool, policies: ['no-wipe', 'office'] };
const denied = { ...BY_POLICY, term: 'policy' as const, messages: [] };
const asked = { ...BY_POLICY, messages: [], approvers: [], demands: [], acrValues: [], maxAge: undefined };
const advice = (error: string, error_description: string, more: object) => ({
  error,
  error_description,
  ...BY_POLICY,
  term: 'policy',
  ...more,
});
const UNDECIDED = 'wipe could not be decided; tell an administrator';

describe('STANDARDS 10.4: a decision by policy says who decided, whose word is missing, and what would change it', () => {
  it.each<[Refusal, object]>([
    [
      { reason: 'policy_forbids', ...denied, messages: ['Not on a Sunday.'] },
      advice('transaction_denied', 'a policy forbids wipe here', {
        remedy: 'change_policy',
        reasons: ['Not on a Sunday.'],
      }),
    ],
    [
      { reason: 'policy_does_not_permit', ...denied, term: 'agent' },
      advice('transaction_denied', 'no policy permits wipe for this agent', { remedy: 'change_policy', term: 'agent' }),
    ],
    [
      { reason: 'policy_cannot_read', ...denied, argument: 'arguments.path' },
      advice(
        'invalid_authorization_details',
        'the arguments of wipe are not what its reviewed schema wants: arguments.path',
        { remedy: 'correct_arguments' },
      ),
    ],
    [
      { reason: 'policy_cannot_read', ...denied },
      advice(
        'invalid_authorization_details',
        'the arguments of wipe are not what its reviewed schema wants: arguments',
        { remedy: 'correct_arguments' },
      ),
    ],
    [{ reason: 'policy_broken', ...denied }, advice('transaction_denied', UNDECIDED, { remedy: 'change_policy' })],
    [{ reason: 'policy_missing', ...denied }, advice('transaction_denied', UNDECIDED, { remedy: 'change_policy' })],
    [
      { reason: 'decision_point_refuses', ...denied, point: 'pdp', because: 'decided' },
      advice('transaction_denied', 'a decision point beside Writ refuses wipe', { remedy: 'change_policy' }),
    ],
    [
      { reason: 'decision_point_silent', ...denied, point: 'pdp', because: 'timeout' },
      advice('transaction_denied', 'wipe waits for a decision point that does not answer; try again', {
        remedy: 'try_again',
      }),
    ],
    [
      { ask: 'approval', ...asked, approvers: ['prs_2'], messages: ['Two eyes more.'] },
      advice('transaction_denied', 'a person has to approve this call (decision dec_1)', {
        remedy: 'approval',
        reasons: ['Two eyes more.'],
      }),
    ],
    [
      { ask: 'exact_call', ...asked },
      advice('invalid_authorization_details', 'the tool wipe is decided on its exact arguments; ask again with them', {
        remedy: 'exact_call',
      }),
    ],
    [
      { ask: 'reauthentication', ...asked },
      advice('insufficient_user_authentication', 'the person has to sign in again for this call', {
        remedy: 'reauthentication',
      }),
    ],
    // RFC 9470 §3
    [
      { ask: 'reauthentication', ...asked, acrValues: ['phr', 'phrh'], maxAge: 0 },
      advice('insufficient_user_authentication', 'the person has to sign in again for this call', {
        remedy: 'reauthentication',
        acr_values: 'phr phrh',
        max_age: 0,
      }),
    ],
  ])('%j', (refusal, body) => {
    expect(toWire(refusal)).toStrictEqual(body);
  });
});

describe('what the log keeps of a refusal', () => {
  it.each<[Refusal, string, Record<string, string | number>]>([
    [{ reason: 'proof_required' }, 'proof_required', {}],
    [{ reason: 'chain_too_long', depth: 6, limit: 5 }, 'chain_too_long', { depth: 6, limit: 5 }],
    [{ reason: 'subject_invalid', cause: 'expired' }, 'subject_invalid', { cause: 'expired' }],
    [
      { reason: 'scope_too_wide', term: 'agent', scopes: Array.from({ length: 17 }, (_, n) => `s${n}`) },
      'scope_too_wide',
      { term: 'agent', scopes: 's0 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 s12 s13 s14 s15' },
    ],
    [
      { ask: 'approval', ...asked, policies: Array.from({ length: 33 }, (_, n) => `p${n}`) },
      'approval_required',
      {
        ask: 'approval',
        decision: 'dec_1',
        tool,
        policies: Array.from({ length: 32 }, (_, n) => `p${n}`).join(' '),
      },
    ],
  ])('of %j is its reason and its evidence, bounded', (refusal, reason, evidence) => {
    expect([reasonOf(refusal), evidenceOf(refusal)]).toEqual([reason, evidence]);
  });
});
