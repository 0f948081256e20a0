import { newId, type Seconds } from '../base/index.js';
import type { Ask, DecidedCall, EntityVerdict, Opinion, PolicyRefusal } from '../policy/index.js';
import type { Json, JsonObject, PolicyAdvice } from '../protocol/index.js';
import { instant } from './binding-token.js';
import { type OwnRefusal, sentenceOf } from './words.js';

/** One answer (AuthZEN 1.0, decision), and what the log keeps of it. */
export type Decided = Readonly<{
  answer: Readonly<{ decision: boolean; context?: JsonObject }>;
  outcome: Readonly<{ decision: 'permit' | 'refuse' | 'ask'; reason: string }>;
  id: string;
  policies: readonly string[];
  /** What decision points beside our policies said; `undefined` where none is configured. */
  opinions?: readonly Opinion[] | undefined;
  /** The digest of what the policy set was asked; `undefined` when it was not. */
  input?: string | undefined;
  /** What people could grant. */
  ask?: Ask | undefined;
}>;

export function decidedCall({ verdict, ...asides }: DecidedCall, tool: string, now: Seconds): Decided {
  if (!verdict.ok) {
    const no = 'ask' in verdict.error ? asked(verdict.error, now) : refused(verdict.error, tool, now);
    return { ...no, ...asides };
  }
  const { decision: id, policies } = verdict.value;
  const context = { ...evaluated(id, now), policies: [...policies] };
  return {
    answer: { decision: true, context },
    outcome: { decision: 'permit', reason: 'ok' },
    id,
    policies,
    ...asides,
  };
}

/** Of a plain yes and a plain no there is nothing to tell: no policy said anything that the question did not. */
export function decidedEntities(verdict: EntityVerdict | undefined, id: string, now: Seconds): Decided {
  const no = (reason: 'policy_cannot_read' | 'policy_broken' | 'policy_forbids', told = verdict): Decided =>
    refused(
      {
        reason,
        term: reason === 'policy_cannot_read' ? 'request' : 'policy',
        tool: id,
        decision: newId('dec'),
        policies: told?.policies ?? [],
        messages: told?.messages ?? [],
      },
      id,
      now,
    );
  switch (verdict?.verdict) {
    case undefined:
    case 'unknown':
    case 'undescribed':
      return refused({ reason: 'unknown_entity', term: 'request' }, id, now);
    case 'unreadable':
      return no('policy_cannot_read');
    case 'broken':
      return no('policy_broken');
    case 'allow':
      return plain('permit', 'ok', verdict.policies);
    case 'deny':
      return verdict.policies.length > 0 ? no('policy_forbids') : plain('refuse', 'policy_does_not_permit', []);
  }
}

const plain = (decision: 'permit' | 'refuse', reason: string, policies: readonly string[]): Decided => ({
  answer: { decision: decision === 'permit' },
  outcome: { decision, reason },
  id: newId('dec'),
  policies,
});

/** A no with its reasons, in the words that the exchange gives an agent. */
export function refused(refusal: PolicyRefusal | OwnRefusal, tool: string, now: Seconds): Decided {
  const id = 'decision' in refusal ? refusal.decision : newId('dec');
  const policies = 'policies' in refusal ? refusal.policies : [];
  const messages = 'messages' in refusal ? refusal.messages : [];
  const { reason, term } = refusal;
  const context = {
    ...evaluated(id, now),
    reason,
    reasons: messages.length > 0 ? [...messages] : [sentenceOf(refusal)],
    tool,
    term,
    policies: [...policies],
    remedy: remedyOf(reason),
  };
  return { answer: { decision: false, context }, outcome: { decision: 'refuse', reason }, id, policies };
}

/** AZ-03: a question for somebody is a no with what would make it a yes beside it; never a yes with a note. */
function asked(demand: Ask, now: Seconds): Decided {
  const { ask, decision: id, tool, policies, messages, acrValues, maxAge } = demand;
  const reason = `${ask}_required`;
  const context: JsonObject = {
    ...evaluated(id, now),
    reason,
    reasons: messages.length > 0 ? [...messages] : [SENTENCES[ask]],
    tool,
    term: 'policy',
    policies: [...policies],
    remedy: ask,
    // RFC 9470 section 3.
    ...(acrValues.length === 0 ? {} : { acr_values: acrValues.join(' ') }),
    ...(maxAge === undefined ? {} : { max_age: maxAge }),
    ...(ask === 'reauthentication' ? { obligations: [stepUp(id, acrValues, maxAge)] } : {}),
  };
  return { answer: { decision: false, context }, outcome: { decision: 'ask', reason }, id, policies, ask: demand };
}

const SENTENCES = {
  approval: 'A person has to approve this call.',
  reauthentication: 'The person has to sign in again for this call.',
  exact_call: 'The tool is decided on its exact arguments.',
} as const;

/** STANDARDS 6.4. Any one of the classes would do, and an obligation has room for one: the first. */
function stepUp(id: string, [acr]: readonly string[], maxAge: number | undefined): JsonObject {
  const properties: Record<string, Json> = {};
  if (acr !== undefined) properties['acr_value'] = acr;
  if (maxAge !== undefined) properties['max_age'] = maxAge;
  return { id, type: 'step-up', properties };
}

function remedyOf(reason: PolicyRefusal['reason'] | OwnRefusal['reason']): PolicyAdvice['remedy'] {
  if (reason === 'arguments_required') return 'exact_call';
  if (reason === 'decision_point_silent') return 'try_again';
  return reason === 'policy_cannot_read' ? 'correct_arguments' : 'change_policy';
}

/** ARAP section on requestable denials: every answer can be referred to. */
const evaluated = (id: string, now: Seconds): Readonly<{ evaluation_id: string; evaluated_at: string }> => ({
  evaluation_id: id,
  evaluated_at: instant(now),
});
