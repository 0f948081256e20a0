import type { Past, PolicySet } from './set/index.js';
import { type Outcome, outcomeOf } from './set/index.js';

/** A token that may still be used, and the decision that it is the receipt of. */
export type LiveToken = Readonly<{
  tokenHash: string;
  decision: string;
  session: string | undefined;
  agent: string;
  person: string | undefined;
}>;

/** Live tokens in the order of their records. `next` is where to read on. */
export type LivePage = Readonly<{ tokens: readonly LiveToken[]; next: string | undefined }>;

export interface LivePermits {
  /** Of what was decided before this version of the registry, and is not revoked. */
  page(before: number, at: Readonly<{ after: string; limit: number }>): Promise<LivePage>;
}

/** A token that this set would not have let be; `tool` is the action's name and `to` what would have come of it. */
export type Loss = Readonly<{ token: LiveToken; tool: string; to: Outcome }>;

export type Reexamined = Readonly<{ lost: readonly Loss[]; undecided: number }>;

/**
 * What a set makes of live tokens, by what was kept of their decisions. A token is for all of its tools or for none: one
 * that is refused is enough. What cannot be decided again is counted, never guessed at: it ends by itself in minutes.
 */
export function reexamine(set: PolicySet, tokens: readonly LiveToken[], past: readonly Past[]): Reexamined {
  const byDecision = new Map<string, Past[]>();
  for (const one of past) byDecision.set(one.decision, [...(byDecision.get(one.decision) ?? []), one]);
  const found = tokens.map((token) => judge(set, token, byDecision.get(token.decision) ?? []));
  return {
    lost: found.filter((one) => typeof one === 'object'),
    undecided: found.filter((one) => one === 'undecided').length,
  };
}

function judge(set: PolicySet, token: LiveToken, past: readonly Past[]): Loss | 'allowed' | 'undecided' {
  let isDecided = past.length > 0;
  for (const { kept } of past) {
    const again = kept === undefined ? undefined : set.redecide(kept);
    if (kept === undefined || again === undefined || 'undecidable' in again) isDecided = false;
    else if (outcomeOf(again) !== 'allow')
      return { token, tool: `${kept.tool.server}#${kept.tool.name}`, to: outcomeOf(again) };
  }
  return isDecided ? 'allowed' : 'undecided';
}
