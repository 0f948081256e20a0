import { z } from 'zod';
import { parseObject } from '../protocol/index.js';

/** What one evaluation came to. `obligation`: yes, if only we did something that we do not know how to do. */
export type Verdict = 'yes' | 'no' | 'obligation';

const Decision = z.object({
  decision: z.boolean(),
  context: z.object({ obligations: z.unknown().optional(), access_request: z.unknown().optional() }).nullish(),
});
const Decisions = z.object({ evaluations: z.array(Decision) });

/** The answer to an AuthZEN evaluation; `undefined` for anything but a boolean decision (AZ-01). */
export function readEvaluation(text: string): readonly [Verdict] | undefined {
  const read = Decision.safeParse(valueOf(text));
  return read.success ? [verdictOf(read.data)] : undefined;
}

/** The answers to AuthZEN evaluations; `undefined` unless there is a boolean decision for each of `count`. */
export function readEvaluations(text: string, count: number): readonly Verdict[] | undefined {
  const read = Decisions.safeParse(valueOf(text));
  if (!read.success || read.data.evaluations.length !== count) return undefined;
  return read.data.evaluations.map(verdictOf);
}

function valueOf(text: string): unknown {
  const parsed = parseObject(text);
  return parsed.ok ? parsed.value : undefined;
}

/** OB-01: what cannot be understood and done is no. A yes that says how to ask for access is none either (AZ-03). */
function verdictOf({ decision, context }: z.infer<typeof Decision>): Verdict {
  if (!decision) return 'no';
  const { obligations, access_request: request } = context ?? {};
  const isFree = obligations === undefined || (Array.isArray(obligations) && obligations.length === 0);
  return isFree && request === undefined ? 'yes' : 'obligation';
}
