import type { JsonObject } from '../../protocol/index.js';
import { type Demand, REQUIREMENTS, type Requirement } from './annotations.js';
import type { EngineError } from './engine.js';
import type { ArgumentFlaw } from './projection.js';

/** What the policies say of one tool, or by {@link combine} of several. `policies`: the ids of those that decided. */
export type Verdict = Allow | Deny | AskHuman | Broken;

export type Allow = Readonly<{ verdict: 'allow'; policies: readonly string[] }>;

/** A clean no: whose word is missing, and the sentences of the policies that said it. */
export type Deny = Readonly<{
  verdict: 'deny';
  reason: 'forbidden' | 'not_permitted' | 'unknown_tool' | 'unreadable_arguments';
  term: 'person' | 'agent' | 'server' | 'request' | 'policy';
  policies: readonly string[];
  messages: readonly string[];
  argument?: ArgumentFlaw;
}>;

/** A no that would be a yes, if all that these policies demand were met. */
export type AskHuman = Readonly<{
  verdict: 'ask';
  /** What to do, in this order. */
  requires: readonly Requirement[];
  /** One for each policy: a grant discharges a policy by its id, and its approvers are its own. */
  demands: readonly Demand[];
  policies: readonly string[];
  reasons: readonly string[];
  /** RFC 9470 section 3, when `requires` has `reauthentication`. */
  acrValues: readonly string[];
  maxAge: number | undefined;
}>;

/** The engine did not answer cleanly: a refusal, and an alarm. It says nothing of the arguments. */
export type Broken = Readonly<{ verdict: 'broken'; errors: readonly EngineError[] }>;

export const deny = (
  reason: Deny['reason'],
  term: Deny['term'],
  more: Partial<Pick<Deny, 'policies' | 'messages' | 'argument'>> = {},
): Deny => ({ verdict: 'deny', reason, term, policies: [], messages: [], ...more });

export function ask(demands: readonly Demand[]): AskHuman {
  const ages = demands.flatMap(({ maxAge }) => maxAge ?? []);
  return {
    verdict: 'ask',
    requires: REQUIREMENTS.filter((requirement) => demands.some(({ requires }) => requires === requirement)),
    demands,
    policies: demands.map(({ policy }) => policy),
    reasons: unique(demands.flatMap(({ reason }) => reason ?? [])),
    acrValues: classesOf(demands),
    maxAge: ages.length === 0 ? undefined : Math.min(...ages),
  };
}

/** Of several tools: any refusal refuses all, else any question asks for all. */
export function combine(verdicts: readonly Verdict[]): Verdict {
  const broken = verdicts.filter((one) => one.verdict === 'broken');
  if (broken.length > 0) return { verdict: 'broken', errors: broken.flatMap(({ errors }) => errors) };
  const refused = verdicts.find((one) => one.verdict === 'deny');
  if (refused !== undefined) return refused;
  const asked = verdicts.filter((one) => one.verdict === 'ask');
  if (asked.length > 0) return ask(distinct(asked.flatMap(({ demands }) => demands)));
  return { verdict: 'allow', policies: unique(verdicts.flatMap((one) => ('policies' in one ? one.policies : []))) };
}

/** What of a verdict a record keeps: which policies decided, whose word was missing, what would change it; no value. */
export function recordOf(verdict: Verdict): JsonObject {
  switch (verdict.verdict) {
    case 'allow':
      return { verdict: 'allow', policies: verdict.policies };
    case 'deny': {
      const { reason, term, policies, argument } = verdict;
      return { verdict: 'deny', reason, term, policies, ...(argument === undefined ? {} : { argument }) };
    }
    case 'ask':
      return { verdict: 'ask', requires: verdict.requires, policies: verdict.policies };
    case 'broken':
      return {
        verdict: 'broken',
        errors: verdict.errors.map(({ kind, policy }) => ({ kind, policy: policy ?? null })),
      };
  }
}

/** RFC 9470 section 3: any one of these would do. What would do for all policies at once, or else for the first. */
function classesOf(demands: readonly Demand[]): readonly string[] {
  const lists = demands.map(({ acrValues }) => acrValues).filter((values) => values.length > 0);
  const [first = []] = lists;
  const shared = first.filter((value) => lists.every((values) => values.includes(value)));
  return shared.length > 0 ? shared : first;
}

const distinct = (demands: readonly Demand[]): readonly Demand[] => [
  ...new Map(demands.map((demand) => [demand.policy, demand])).values(),
];

export const unique = (texts: readonly string[]): readonly string[] => [...new Set(texts)].sort();
