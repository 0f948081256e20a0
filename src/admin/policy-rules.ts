import { compilePolicySet, type PolicyFlaw, policyTools } from '../policy/index.js';
import type { PolicyFiles } from '../registry/index.js';
import { at, type Flaw } from './flaw.js';
import type { Plan } from './plan.js';

/**
 * The active policies have to fit the tools after the change too: one that names a tool or an argument that is gone would
 * stop deciding, and with it everything would be refused.
 */
export function policyFlaws({ after, changes }: Plan, policies: PolicyFiles | undefined): readonly Flaw[] {
  const touched = changes.find(({ kind, change }) => kind === 'server' && change !== 'unchanged');
  if (policies === undefined || touched === undefined) return [];
  const set = compilePolicySet(policies.files, policyTools(after.server.values()));
  if (set.ok) return [];
  const flaw = at('server', touched.id);
  return set.error.map((each) => flaw('tools', `the active policy ${placeOf(each)} would not fit: ${each.problem}`));
}

/** A flaw where an author finds it: file, line and column, and the policy when it is known. */
export const placeOf = ({ path, line, column, policy }: PolicyFlaw): string =>
  `${path}:${line}:${column}${policy === undefined ? '' : ` (${policy})`}`;
