import { z } from 'zod';
import { type Output, print } from './command.js';
import type { Io } from './io.js';

const Effect = z.object({
  considered: z.number(),
  complete: z.boolean(),
  tokens: z.number(),
  undecided: z.number(),
  sessions_ended: z.number(),
  sessions_narrowed: z.number(),
  losses: z.array(
    z.object({
      session: z.string().nullable(),
      agent: z.string(),
      person: z.string().nullable(),
      tool: z.string(),
      because: z.string(),
      tokens: z.number(),
    }),
  ),
  more: z.number(),
});

const Tried = z.looseObject({ effect: Effect.optional() });

const INCOMPLETE = 'there was no time to look at every token that lives: more may end than is said here';

/** What a dry run says that the change would end, a line for each loss; nothing of the answer of a change. */
export function effectLines(answer: unknown): readonly string[] {
  const { effect } = Tried.parse(answer);
  if (effect === undefined) return [];
  const incomplete: string[] = [];
  const { tokens, considered, complete, undecided, sessions_ended: ended, sessions_narrowed: narrowed, more } = effect;
  if (!complete) incomplete.push(INCOMPLETE);
  if (tokens === 0 && ended === 0)
    return considered === 0 || !complete ? incomplete : ['would end no token that lives'];
  const looked = complete ? `${String(considered)} live tokens` : `the first ${String(considered)} live tokens`;
  return [
    `would end ${String(tokens)} of ${looked}; sessions: ${String(ended)} ended, ${String(narrowed)} narrowed`,
    ...effect.losses.map(
      ({ agent, person, session, tool, because, tokens: count }) =>
        `  ${agent} for ${person ?? 'nobody'} in ${session ?? 'no session'}: ${tool}: ${String(count)} (${because})`,
    ),
    ...incomplete,
    ...(more === 0 ? [] : [`  and ${String(more)} more like these`]),
    ...(undecided === 0
      ? []
      : [`  ${String(undecided)} of them ten seconds later: nobody kept what they were decided on`]),
  ];
}

/** One answer; for people with what would end line by line. */
export function printTried(answer: unknown, output: Output, io: Io): void {
  const isWhole = output.json === true;
  print(isWhole ? answer : withoutEffect(Tried.parse(answer)), output, io);
  if (!isWhole) for (const line of effectLines(answer)) io.out(line);
}

/** An answer without it, to be compared with what was. */
export function withoutEffect(answer: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const rest = { ...answer };
  delete rest['effect'];
  return rest;
}
