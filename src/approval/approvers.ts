import type { Seconds } from '../base/index.js';
import type { Demand } from './binding.js';

/** A person at Writ's own pages. DT-03: made from an interactive session there, and never from an agent's token. */
export type Approver = Readonly<{ person: string; groups: readonly string[]; verifiedAt: Seconds }>;

/** Seconds after which a person who grants has to sign in again. */
export const FRESH = 300;
/** Seconds that the clock of another replica may be ahead. */
const AHEAD = 30;

/** Four eyes: a group answers for others, and nobody for themself; where no group is named it is the person's own word. */
export function mayAnswer({ person, groups }: Omit<Approver, 'verifiedAt'>, demand: Demand, asking: string): boolean {
  if (demand.approvers.length === 0) return person === asking;
  return person !== asking && demand.approvers.some((group) => groups.includes(group));
}

/** Whether it was the person, just now (ATTACKS AP-16). */
export const isFresh = ({ verifiedAt }: Approver, now: Seconds): boolean =>
  now - verifiedAt <= FRESH && verifiedAt - now <= AHEAD;
