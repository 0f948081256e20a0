import { isDeepStrictEqual } from 'node:util';
import type { Terminal } from './terminal.js';

/** One step as it went: what had to come out, and what came out, by the sentence that says it. */
export type StepResult = Readonly<{
  name: string;
  ok: boolean;
  expected: Readonly<Record<string, unknown>>;
  got: Readonly<Record<string, unknown>>;
  error?: string;
  ms: number;
}>;

export type Step = Readonly<{ name: string; tell: (stage: Stage) => Promise<void> }>;

/** Where a step is told. It shows, and holds against each other what had to happen and what did. */
export class Stage {
  readonly terminal: Terminal;
  readonly expected: Record<string, unknown> = {};
  readonly got: Record<string, unknown> = {};

  constructor(terminal: Terminal) {
    this.terminal = terminal;
  }

  /** Goes on when it is as expected; otherwise the step ends here, and the demo with it. */
  readonly expect = (sentence: string, got: unknown, expected: unknown): void => {
    this.expected[sentence] = expected;
    this.got[sentence] = got;
    const isRight = isDeepStrictEqual(got, expected);
    this.terminal.check(sentence, isRight, isRight ? inShort(got) : '');
    if (isRight) return;
    this.terminal.show(`expected ${JSON.stringify(expected)}`, `got      ${JSON.stringify(got)}`);
    throw new Error(`not as expected: ${sentence}`);
  };
}

/** Tells the steps in order and stops at the first that differs. */
export async function tell(steps: readonly Step[], terminal: Terminal): Promise<readonly StepResult[]> {
  const results: StepResult[] = [];
  for (const [i, { name, tell: act }] of steps.entries()) {
    terminal.title(`${String(i + 1)}  ${name}`);
    const [stage, from] = [new Stage(terminal), performance.now()];
    const thrown = await act(stage).then(
      () => undefined,
      (error: unknown) => error,
    );
    const result = { name, ok: thrown === undefined, expected: stage.expected, got: stage.got };
    const ms = Math.round(performance.now() - from);
    results.push(thrown === undefined ? { ...result, ms } : { ...result, error: sentence(thrown), ms });
    if (thrown === undefined) continue;
    terminal.check(`Step ${String(i + 1)} failed. ${sentence(thrown)}`, false);
    break;
  }
  return results;
}

const sentence = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

/** What came out, beside the sentence that it proves. A plain yes and an empty list say nothing more. */
function inShort(got: unknown): string {
  if (typeof got === 'boolean' || (Array.isArray(got) && got.length === 0)) return '';
  if (Array.isArray(got)) return got.flat().join(' · ');
  return typeof got === 'string' ? got : JSON.stringify(got);
}
