import type { DecisionInputs, Judged } from '../policy/index.js';
import type { Known } from './record.js';

/** A decision that is recorded. */
type Decided = Readonly<{ judged: readonly Judged[]; known: Known; decision: string; person: string | undefined }>;

/** What is kept can be erased by person: of somebody who has no id, nothing is kept. */
export function keepInputs(
  { judged, known, decision, person }: Decided,
  { inputs }: Readonly<{ inputs: DecisionInputs }>,
): void {
  if (judged.length > 0 && person !== undefined) inputs.keep({ decision, person, at: known.now, judged });
}
