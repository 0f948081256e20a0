import { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import { fieldProblem, plainProblem, type Problem } from '../http/index.js';
import { Text } from '../protocol/index.js';
import { Agent, orphansAmong, personNameOf, stopOrphans } from '../registry/index.js';
import { ADMINISTRATOR, type ChangeDeps, makeChange } from './change.js';
import { type Contents, contentsOf } from './contents.js';
import { NoBody, NoQuery, type Operation, operation } from './operation.js';
import { ChangeEffect } from './foresight.js';
import { NOTHING, plan } from './plan.js';
import { DryRun } from './shapes.js';

const Left = z.strictObject({
  id: z.string(),
  result: z.enum(['disabled', 'already_disabled', 'would_be_disabled']),
  handed_over: z.array(z.string()).describe('The agents for which somebody else answers from now on.'),
  stopped: z.array(z.string()).describe('The agents that nobody answers for any more.'),
  effect: ChangeEffect.optional(),
});
const Back = z.strictObject({ id: z.string(), result: z.enum(['enabled', 'already_enabled']) });
const PERSON = 'prs_7HqXb2c4d6e8f0a1b2c3d4';

/** OWASP NHI1: who leaves takes their agents with them, or hands them over. */
export const leavingOperations = (deps: ChangeDeps): readonly Operation[] => [
  operation({
    id: 'disablePerson',
    method: 'POST',
    path: '/admin/v1/persons/:person/disable',
    params: { person: 'The id of the person.' },
    about:
      'Lets a person act no more: tokens, sign-ins and consents end at once. Their agents are handed over to somebody else, or stop.',
    query: DryRun,
    body: z
      .strictObject({
        hand_over_to: Text.min(1)
          .max(1_024)
          .optional()
          .describe('The person who answers for their agents from now on: prs_… or <issuer>#<subject>.'),
      })
      .optional(),
    bodyExample: { hand_over_to: 'https://login.example.com#b72d44a1' },
    answers: [
      {
        status: 200,
        about: 'They are disabled, now or since earlier.',
        schema: Left,
        example: { id: PERSON, result: 'disabled', handed_over: ['agt_planner'], stopped: [] },
      },
    ],
    problems: ['not_found'],
    run: ({ params: { person = '' }, query, body }) =>
      leave({ person, heir: body?.hand_over_to, dryRun: query.dry_run === 'true' }, deps),
  }),
  operation({
    id: 'enablePerson',
    method: 'POST',
    path: '/admin/v1/persons/:person/enable',
    params: { person: 'The id of the person.' },
    about:
      'Lets a person act again, who signs in and consents anew. Agents that stopped stay so until they are changed.',
    query: NoQuery,
    body: NoBody,
    answers: [{ status: 200, about: 'They are.', schema: Back, example: { id: PERSON, result: 'enabled' } }],
    problems: ['not_found'],
    run: async ({ params: { person = '' } }) => {
      const done = await deps.people.setStatus(person, 'active', ADMINISTRATOR);
      if (done === 'unknown') return err(nobody(person));
      return ok({ status: 200, body: { id: person, result: done === 'done' ? 'enabled' : 'already_enabled' } });
    },
  }),
];

const nobody = (person: string): Problem => plainProblem('not_found', `There is no person ${person}`);

type Leaving = Readonly<{ person: string; heir: string | undefined; dryRun: boolean }>;
type LeftAnswer = Readonly<{ status: 200; body: z.infer<typeof Left> }>;

/** First the agents go over, then the person goes, then what nobody answers for stops. Asked again it goes on where it was cut off. */
async function leave(leaving: Leaving, deps: ChangeDeps): Promise<Result<LeftAnswer, Problem>> {
  const { person, heir, dryRun } = leaving;
  const status = (await deps.people.statuses([person])).get(person);
  if (status === undefined) return err(nobody(person));
  if (heir !== undefined && (await idOf(heir, deps)) === person)
    return err(fieldProblem([{ param: 'hand_over_to', detail: 'is the person who leaves' }]));
  const theirs = ofPerson(contentsOf(await deps.registry.refresh()), person).map(({ client_id: id }) => id);
  const handedOver = heir === undefined ? [] : theirs;
  const changed = heir === undefined || theirs.length === 0 ? undefined : await handOver({ ...leaving, heir }, deps);
  if (changed?.ok === false) return changed;
  if (dryRun) {
    const orphans = heir === undefined ? await wouldStop(person, deps) : [];
    const passed = handedOver.flatMap((id) => changed?.value.after.agent.get(id) ?? []);
    const after = [...passed, ...orphans.map((agent): Agent => ({ ...agent, status: 'disabled' }))];
    const effect = await effectOf(after, status === 'active' ? [person] : [], deps);
    const stopped = orphans.map(({ client_id: id }) => id);
    const body = { id: person, result: 'would_be_disabled', handed_over: handedOver, stopped, effect } as const;
    return ok({ status: 200, body });
  }
  const done = await deps.people.setStatus(person, 'disabled', ADMINISTRATOR);
  const stopped = await deps.inTurn(() =>
    stopOrphans({ registry: deps.registry, writer: deps.writer, people: deps.people }, ADMINISTRATOR),
  );
  const result = done === 'done' ? 'disabled' : 'already_disabled';
  return ok({ status: 200, body: { id: person, result, handed_over: handedOver, stopped: [...stopped] } });
}

/** Of whoever was here before; nobody who was not can be the one who leaves. */
async function idOf(text: string, { people }: ChangeDeps): Promise<string> {
  const name = personNameOf(text);
  return (name?.by === 'subject' ? (await people.find(name.issuer, name.subject))?.id : undefined) ?? text;
}

const ofPerson = ({ agent }: Contents, person: string): readonly Agent[] =>
  [...agent.values()].filter(
    ({ status, owner, sponsor }) => status === 'active' && (owner === person || sponsor === person),
  );

/** Somebody else answers for the agents of a person, and wants those that the person wanted. */
function handOver(
  { person, heir, dryRun }: Leaving & Readonly<{ heir: string }>,
  deps: ChangeDeps,
): ReturnType<typeof makeChange> {
  const passed = (agent: Agent): Agent => ({
    ...agent,
    owner: agent.owner === person ? heir : agent.owner,
    ...(agent.sponsor === person ? { sponsor: heir } : {}),
  });
  return makeChange(
    {
      wish: (before) => ({ ...NOTHING, agent: ofPerson(before, person).map(passed) }),
      refuse: (flaws) =>
        fieldProblem(
          flaws.map(({ kind, id, path, message }) => ({ param: `${kind} ${id}: ${path}`, detail: message })),
        ),
      dryRun,
      isForeseen: false,
    },
    deps,
  );
}

/** Of the agents as they would be, and of the person who may do nothing more. */
function effectOf(after: readonly Agent[], leaving: readonly string[], deps: ChangeDeps): Promise<ChangeEffect> {
  const snapshot = deps.registry.current();
  const { version, policies } = snapshot;
  const before = contentsOf(snapshot);
  return deps.foresight({ before, plan: plan(before, { ...NOTHING, agent: after }), version, policies, leaving });
}

async function wouldStop(person: string, { registry, people }: ChangeDeps): Promise<readonly Agent[]> {
  const statuses: typeof people.statuses = async (ids) => {
    const known = new Map(await people.statuses(ids));
    known.set(person, 'disabled');
    return known;
  };
  return (await orphansAmong(registry.current().agents, { statuses })).map((agent) => Agent.strip().parse(agent));
}
