import { z } from 'zod';
import { err, ok } from '../base/index.js';
import { plainProblem, type ProblemCode, PROBLEMS } from '../http/index.js';
import { NoBody, NoQuery, type Operation, operation } from './operation.js';
import { pageOf } from './shapes.js';

/** What a kind of problem means: where the `type` of an answer leads (RFC 9457 section 3.1.1). */
export const ProblemView = z.strictObject({
  code: z.string(),
  status: z.number().int(),
  title: z.string(),
  when: z.string().describe('When it is answered.'),
  do: z.string().describe('What to do about it.'),
});
type ProblemView = z.infer<typeof ProblemView>;

const viewOf = (code: ProblemCode): ProblemView => ({ code, ...PROBLEMS[code] });
const ALL: readonly ProblemView[] = Object.entries(PROBLEMS).map(([code, known]) => ({ code, ...known }));
const EXAMPLE = viewOf('precondition_failed');

/** Explains every problem to everybody: whoever is refused has perhaps no token. */
export const problemOperations = (): readonly Operation[] => [
  operation({
    id: 'listProblems',
    method: 'GET',
    path: '/admin/v1/problems',
    about: 'Lists every problem that a route with JSON answers, with what it means and what to do.',
    query: NoQuery,
    body: NoBody,
    isOpen: true,
    answers: [
      { status: 200, about: 'All of them.', schema: pageOf(ProblemView), example: { items: [EXAMPLE], next: null } },
    ],
    run: () => Promise.resolve(ok({ status: 200, body: { items: ALL, next: null } })),
  }),
  operation({
    id: 'getProblem',
    method: 'GET',
    path: '/admin/v1/problems/:code',
    params: { code: 'The code of the problem.' },
    about: 'Explains one problem. The type of every problem is the address of its explanation.',
    query: NoQuery,
    body: NoBody,
    isOpen: true,
    answers: [{ status: 200, about: 'What it means.', schema: ProblemView, example: EXAMPLE }],
    problems: ['not_found'],
    run: ({ params: { code = '' } }) => {
      const known = ALL.find((each) => each.code === code);
      const unknown = plainProblem('not_found', `There is no problem ${code}`);
      return Promise.resolve(known === undefined ? err(unknown) : ok({ status: 200, body: known }));
    },
  }),
];
