import type { Seconds } from '../base/index.js';
import { beyondCeilings, judge, type LivePermits, type LiveToken, type Loss, lossOf, type RulesOfNow } from './live.js';
import type { KeptInputs } from './ports.js';
import type { Past } from './set/index.js';

/** What a change takes: what it cuts off whole, and the rules by which the rest is decided again, where it is. */
export type Narrowing = Readonly<{ cutOff: readonly string[]; rules: RulesOfNow | undefined }>;

/** `derived`: a token that it was made from ends. */
export const ENDED_BECAUSE = ['cut_off', 'ceiling', 'policy', 'undecided', 'derived'] as const;
export type Ended = Loss & Readonly<{ because: (typeof ENDED_BECAUSE)[number] }>;

/** `isWhole`: nothing that lives was left out. */
export type Foreseen = Readonly<{
  considered: number;
  isWhole: boolean;
  ended: readonly Ended[];
  /** Where to go on. */
  next: string | undefined;
}>;

/** Where live tokens come from, when their decisions were made at the earliest, and how others get their turn. */
export type Outlook = Readonly<{
  live: Pick<LivePermits, 'page' | 'among'>;
  inputs: Pick<KeptInputs, 'of'>;
  since: Seconds;
  /** So many records are read at most. */
  most: number;
  /** False once nobody waits for more. */
  hasTime: () => boolean;
  turn: () => Promise<unknown>;
}>;

const BEGINNING = '0';
const PAGE = 200;
/** So many are looked at before requests have their turn. */
const AT_ONCE = 16;

/**
 * Which of the tokens that live now a change would end: those that it cuts off, those that the rules would let be no more,
 * those that nobody can decide again, and whatever was made from one of them. What is made meanwhile is not in it.
 */
export async function foresee({ cutOff, rules }: Narrowing, outlook: Outlook, from = BEGINNING): Promise<Foreseen> {
  const looking = { ending: new Set<string>(), looked: new Set<string>(), cutOff: new Set(cutOff), rules };
  const ended: Ended[] = [];
  let [considered, read] = [0, 0];
  for (let after = from; ;) {
    if (read >= outlook.most || !outlook.hasTime()) return { considered, isWhole: false, ended, next: after };
    const page = await outlook.live.page(Number.MAX_SAFE_INTEGER, { after, limit: PAGE });
    // INVARIANT: a token's record comes after those of the tokens that it was made from.
    if (from !== BEGINNING) await lookAt(await parentsOf(page.tokens, looking, outlook), looking, outlook);
    const part = await lookAt(page.tokens, looking, outlook);
    // What was begun is looked at by whoever goes on, and only where there is nothing else it is better than nothing.
    if (!part.isWhole && read > 0) return { considered, isWhole: false, ended, next: after };
    read += page.read;
    considered += part.considered;
    ended.push(...part.ended);
    if (!part.isWhole || page.next === undefined) return { considered, isWhole: part.isWhole, ended, next: undefined };
    after = page.next;
  }
}

type Looking = Ending & Readonly<{ ending: Set<string>; looked: Set<string> }>;

async function lookAt(
  tokens: readonly LiveToken[],
  looking: Looking,
  outlook: Outlook,
): Promise<Omit<Foreseen, 'next'>> {
  const past = looking.rules === undefined ? new Map<string, Past[]>() : await pastOf(tokens, outlook);
  const ended: Ended[] = [];
  for (const [index, token] of tokens.entries()) {
    if (index % AT_ONCE === 0) {
      await outlook.turn();
      if (!outlook.hasTime()) return { considered: index, isWhole: false, ended };
    }
    looking.looked.add(token.tokenHash);
    const end = endOf(token, past.get(token.decision) ?? [], looking);
    if (end === undefined) continue;
    ended.push(end);
    looking.ending.add(`token:${token.tokenHash}`);
  }
  return { considered: tokens.length, isWhole: true, ended };
}

/** Of whoever goes on from a place: what lives before that place, and these were made from. */
function parentsOf(
  tokens: readonly LiveToken[],
  { looked }: Looking,
  { live }: Outlook,
): Promise<readonly LiveToken[]> {
  const here = new Set(tokens.map(({ tokenHash }) => tokenHash));
  const named = tokens.flatMap(({ lineage }) => lineage.filter((target) => target.startsWith('token:')));
  const hashes = new Set(named.map((target) => target.slice('token:'.length)));
  return live.among([...hashes].filter((hash) => !here.has(hash) && !looked.has(hash)));
}

async function pastOf(tokens: readonly LiveToken[], { inputs, since }: Outlook): Promise<Map<string, Past[]>> {
  const byDecision = new Map<string, Past[]>();
  if (tokens.length === 0) return byDecision;
  const decisions = tokens.map(({ decision }) => decision);
  for (const one of await inputs.of(decisions, since))
    byDecision.set(one.decision, [...(byDecision.get(one.decision) ?? []), one]);
  return byDecision;
}

type Ending = Readonly<{ ending: ReadonlySet<string>; cutOff: ReadonlySet<string>; rules: RulesOfNow | undefined }>;

function endOf(token: LiveToken, past: readonly Past[], { ending, cutOff, rules }: Ending): Ended | undefined {
  const isOf = (targets: ReadonlySet<string>): boolean => token.lineage.some((target) => targets.has(target));
  if (isOf(cutOff)) return { ...lossOf(token), because: 'cut_off' };
  if (isOf(ending)) return { ...lossOf(token), because: 'derived' };
  if (rules === undefined) return undefined;
  const beyond = beyondCeilings(rules, token);
  if (beyond !== undefined) return { ...beyond, because: 'ceiling' };
  const judged = judge(rules, token, past);
  if (judged === 'undecided') return { ...lossOf(token), because: 'undecided' };
  return judged === 'allowed' ? undefined : { ...judged, because: 'policy' };
}
