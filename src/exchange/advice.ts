import type { Ask, PointRefusal, PolicyDenial } from '../policy/index.js';
import type { PolicyAdvice } from '../protocol/index.js';

/** What an answer says of a decision by policy beside its code: who decided, whose word is missing, what would change it. */
export function adviceOf(refusal: PolicyDenial | PointRefusal | Ask): PolicyAdvice {
  const { decision, tool, policies, messages } = refusal;
  const said = { decision, tool, policies, ...(messages.length === 0 ? {} : { reasons: messages }) };
  if (!('ask' in refusal)) return { ...said, term: refusal.term, remedy: remedyOf(refusal) };
  const { acrValues, maxAge } = refusal;
  return {
    ...said,
    term: 'policy',
    remedy: refusal.ask,
    // RFC 9470 section 3.
    ...(acrValues.length === 0 ? {} : { acr_values: acrValues.join(' ') }),
    ...(maxAge === undefined ? {} : { max_age: maxAge }),
  };
}

function remedyOf({ reason }: PolicyDenial | PointRefusal): PolicyAdvice['remedy'] {
  switch (reason) {
    case 'policy_cannot_read':
      return 'correct_arguments';
    case 'policy_forbids':
    case 'policy_does_not_permit':
    case 'policy_broken':
    case 'policy_missing':
    case 'decision_point_refuses':
      return 'change_policy';
    case 'decision_point_silent':
      return 'try_again';
  }
}
