import { z } from 'zod';

const Seen = z.object({ p50: z.number(), p99: z.number() });

/** Microseconds for both principals together, in a set of so many policies over so many tools. */
const DecisionFigure = z.object({
  policies: z.number(),
  tools: z.number(),
  compileMs: z.number(),
  /** Another input each time. */
  varied: Seen,
  /** The questions of the varied inputs, ready made and asked of Cedar itself. */
  bare: Seen,
  /** 64 inputs in turn, with and without remembering. */
  repeating: Seen,
  forgetful: Seen,
});
export type DecisionFigure = z.infer<typeof DecisionFigure>;
export const DecisionFigures = z.array(DecisionFigure);
