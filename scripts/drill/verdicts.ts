import { BOUND_MS, type Ended } from './following.js';

export type Tally = { rounds: number; double_wins: number; no_winner: number };

/** Counts one contest; a number of winners that nobody could find out is no winner. Answers whether it was one. */
export function note(winners: number, tally: Tally): boolean {
  tally.rounds++;
  if (winners > 1) tally.double_wins++;
  else if (winners !== 1) tally.no_winner++;
  return winners === 1;
}

/** What a race that must not pass is to be blamed for. A contest that was never held has shown nothing. */
export const raceFlaws = ({
  double_wins: doubles,
  no_winner: none,
  things,
}: Tally & Readonly<{ things: Readonly<Record<string, Tally>> }>): readonly string[] => [
  ...(doubles > 0 ? [`${doubles} double wins`] : []),
  ...(none > 0 ? [`${none} contests without one winner`] : []),
  ...(Object.keys(things).length === 0 ? ['no contest was held'] : []),
  ...Object.entries(things).flatMap(([name, { rounds }]) => (rounds === 0 ? [`${name} was never held`] : [])),
];

/** A revocation that was not done has no winner, whatever lives; each token that outlives one is a winner too many. */
export const revocationWinners = (isDone: boolean, survivors: number): number => (isDone ? 1 + survivors : 0);

/** Two calls were reserved: as many were refunded as are not used, which is told as text. */
export const refundWinners = (used: unknown): number =>
  typeof used === 'string' && /^\d+$/.test(used) ? 2 - Number(used) : Number.NaN;

/** Why a call counts as one that outlived its revocation, which was answered at `answered`: beyond what a verifier promises that was cut off. */
export function survivalOf({ how, why, ms }: Ended, answered: number): string | undefined {
  const after = Math.round(ms - answered);
  const isOver = (how === 'stopped' || how === 'blind') && after <= BOUND_MS;
  return how === 'refused' || isOver ? undefined : `feed: ${how} ${after} ms after, ${why}`;
}
