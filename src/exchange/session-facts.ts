import type { Seconds } from '../base/index.js';
import type { Delegation } from '../delegation/index.js';
import type { SessionFacts } from '../policy/index.js';
import type { SessionSeen } from '../session/index.js';

/**
 * The session that this exchange continues or would open, as policies see it. Classes of authentication have no order, so
 * the weakest link of a chain is known only where all of it says the same.
 */
export function sessionFacts(
  { opened, above }: SessionSeen,
  { subject: { acr }, context: { purpose } }: Pick<Delegation, 'subject' | 'context'>,
  now: Seconds,
): SessionFacts {
  const links = opened === undefined ? above : [opened.acr, ...above];
  return {
    state: opened === undefined ? 'new' : 'active',
    age: opened === undefined ? 0 : Math.max(0, now - opened.at),
    depth: above.length,
    purpose: opened === undefined ? purpose : opened.purpose,
    acr: links.every((link) => link === acr) ? acr : undefined,
  };
}
