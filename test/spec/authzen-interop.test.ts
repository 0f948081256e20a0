import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ask, basic } from '../support/authzen.js';
import { answerOf, type Reply, startTestWrit, type TestWrit } from '../support/writ.js';

type Fixture = Readonly<{ request: unknown; expected: unknown }>;
const VECTORS = 'test/vectors/authzen';
const { evaluation, evaluations } = JSON.parse(readFileSync(`${VECTORS}/decisions.json`, 'utf8')) as {
  evaluation: readonly Fixture[];
  evaluations: readonly Fixture[];
};
const TODO = readdirSync(`${VECTORS}/todo`).map((path) => ({
  path,
  text: readFileSync(`${VECTORS}/todo/${path}`, 'utf8'),
}));
const [RICK, MORTY, , BETH] = [...new Set(evaluation.map(({ request }) => subjectOf(request)))];

function subjectOf(request: unknown): string {
  return (request as { subject: { id: string } }).subject.id;
}

let writ: TestWrit;
let gateway: Readonly<Record<string, string>>;
beforeAll(async () => {
  writ = await startTestWrit();
  const server = {
    resource: 'https://todo.example',
    client_id: 'srv_todo',
    name: 'Todo gateway',
    owner: 'interop',
    authentication: { method: 'client_secret_basic' },
    scopes: ['todo'],
    tools: [],
  };
  expect((await writ.admin('POST', '/apply', { servers: [server] })).status).toBe(200);
  const secret = await writ.admin('POST', `/servers/${encodeURIComponent(server.resource)}/secret`);
  gateway = basic('srv_todo', (secret.body as { client_secret: string }).client_secret);
  expect((await activateFiles(TODO)).status).toBe(200);
});
afterAll(async () => {
  await writ.close();
  expect(writ.faults).toEqual([]);
});

type Files = readonly Readonly<{ path: string; text: string }>[];
const stage = (files: Files): Promise<Reply> => writ.admin('POST', '/policies', { files });

async function activateFiles(files: Files): Promise<Reply> {
  const { body, text, status } = await stage(files);
  if (status !== 201) throw new Error(text);
  return writ.admin('POST', `/policies/${encodeURIComponent((body as { hash: string }).hash)}/activate`);
}

const changed = (path: string, change: (text: string) => string): Files =>
  TODO.map((file) => (file.path === path ? { path, text: change(file.text) } : file));

const update = (subject: unknown, properties: unknown, more: object = {}): Promise<Reply> =>
  ask(
    writ,
    'evaluation',
    {
      subject: { type: 'user', id: subject },
      action: { name: 'can_update_todo' },
      resource: { type: 'todo', id: '1', properties },
      ...more,
    },
    gateway,
  );

describe('the AuthZEN interop scenario "todo"', () => {
  it('has 43 fixtures', () => {
    expect(evaluation.length + evaluations.length).toBe(43);
  });

  it.each(evaluation.map(({ request, expected }, at) => [at + 1, request, expected] as const))(
    'evaluation %i',
    async (_at, request, expected) => {
      expect(answerOf(await ask(writ, 'evaluation', request, gateway))).toEqual([200, { decision: expected }]);
    },
  );

  it.each(evaluations.map(({ request, expected }, at) => [at + 1, request, expected] as const))(
    'evaluations %i',
    async (_at, request, expected) => {
      expect(answerOf(await ask(writ, 'evaluations', request, gateway))).toEqual([200, { evaluations: expected }]);
    },
  );
});

const evaluated = { evaluation_id: expect.stringMatching(/^dec_/), evaluated_at: expect.stringMatching(/Z$/) };
const refused = (reason: string, sentence: string, more: object = {}): unknown[] => [
  200,
  {
    decision: false,
    context: {
      ...evaluated,
      reason,
      reasons: [sentence],
      tool: '1',
      term: 'request',
      policies: [],
      remedy: 'change_policy',
      ...more,
    },
  },
];

const UNKNOWN = 'No policy set knows these entities, or this action between their types.';

describe('entities of an application', () => {
  it('have the roles that the set gives them, whatever the request claims', async () => {
    const subject = { type: 'user', id: BETH, properties: { roles: ['evil_genius'], email: 'x@example.com' } };
    expect(answerOf(await update(BETH, { ownerID: 'x@example.com' }, { subject }))).toEqual([200, { decision: false }]);
  });

  it('are nobody where the set describes the type and not them', async () => {
    const subject = { type: 'user', id: 'mallory', properties: { roles: ['evil_genius'], email: 'm@example.com' } };
    const answer = await update('mallory', { ownerID: 'm@example.com' }, { subject });
    expect(answerOf(answer)).toEqual(refused('unknown_entity', UNKNOWN));
    expect(writ.faults).toEqual([]);
  });

  it('may carry properties and context that the schema does not know', async () => {
    const answer = await update(
      MORTY,
      { ownerID: 'morty@the-citadel.com', colour: 'red' },
      { context: { time: 'now' } },
    );
    expect(answerOf(answer)).toEqual([200, { decision: true }]);
  });

  it.each([
    ['of another type', { ownerID: 7 }],
    ['that pretends to be an entity', { ownerID: { __entity: { type: 'user', id: 'x' } } }],
    ['that is no exact number', { ownerID: 0.5 }],
  ])('are refused with a property %s', async (_how, properties) => {
    expect(answerOf(await update(RICK, properties))).toEqual(
      refused('policy_cannot_read', 'The question is not what the schema wants.', { remedy: 'correct_arguments' }),
    );
  });

  it.each([
    ['an action', { action: { name: 'can_fly' } }],
    ['a subject type', { subject: { type: 'robot', id: 'x' } }],
    ['a resource type', { resource: { type: 'user', id: '1' } }],
    ['a type that is no name', { resource: { type: 'to do', id: '1' } }],
    ['an action of Object', { action: { name: 'toString' } }],
  ])('are unknown with %s that no schema has', async (_what, change) => {
    expect(answerOf(await update(RICK, {}, change))).toEqual(refused('unknown_entity', UNKNOWN));
  });

  it('are in the log by a digest and never by name', async () => {
    await update(RICK, { ownerID: 'CANARY@example.com' });
    const { text } = await writ.admin('GET', '/log?kind=decision&limit=200');
    expect(text).toContain('question_sha256');
    expect(text).not.toContain('CANARY');
    expect(text).not.toContain(RICK);
  });

  it('are told which policy forbids, in its own words', async () => {
    const frozen = `\n@id("todo-frozen") @reason("Todos are frozen.") forbid (principal, action == Action::"can_update_todo", resource);\n`;
    expect((await activateFiles(changed('todo.cedar', (text) => text + frozen))).status).toBe(200);
    expect(answerOf(await update(RICK, {}))).toEqual(
      refused('policy_forbids', 'Todos are frozen.', { term: 'policy', policies: ['todo-frozen'] }),
    );
    expect((await writ.admin('POST', '/policies/rollback')).status).toBe(200);
    expect(answerOf(await update(RICK, {}))).toEqual([200, { decision: true }]);
  });

  it('are refused with an alarm where a policy errs on them, and on nothing that is missing', async () => {
    const errs = `\n@id("todo-errs") forbid (principal is user, action == Action::"can_update_todo", resource)
when { if resource.ownerID == "CANARY" then 9007199254740991 * 9007199254740991 > 0 else false };\n`;
    const guard = (text: string): string =>
      text + errs.replace('resource.ownerID ==', 'resource has ownerID && resource.ownerID ==');
    expect((await activateFiles(changed('todo.cedar', guard))).status).toBe(200);
    expect(answerOf(await update(RICK, {}))).toEqual([200, { decision: true }]);
    expect(answerOf(await update(RICK, { ownerID: 'CANARY' }))).toEqual(
      refused('policy_broken', 'The call could not be decided; tell an administrator.', { term: 'policy' }),
    );
    expect(writ.faults.splice(0)).toMatchObject([{ code: 'policy_broken' }]);
    expect((await writ.admin('POST', '/policies/rollback')).status).toBe(200);
  });

  it.each([
    ['a schema that does not parse', 'todo.cedarschema:', changed('todo.cedarschema', (text) => `${text} entity`)],
    [
      'a schema that nests too deep',
      'todo.cedarschema:1:1',
      changed('todo.cedarschema', () => `type A = ${'Set<'.repeat(5_000)}Long${'>'.repeat(5_000)};`),
    ],
    [
      'a policy that names what the schema has not',
      'todo.cedar:',
      changed('todo.cedar', (text) => text.replace('principal.roles', 'principal.role')),
    ],
    [
      'a policy that asks a human',
      'todo.cedar:',
      changed('todo.cedar', () => '@id("a") @requires("approval") forbid (principal, action, resource);'),
    ],
    [
      'an entity of another shape',
      'todo.entities.json:1:1',
      changed('todo.entities.json', (text) => text.replace('"email"', '"mail"')),
    ],
    ['entities that are no JSON', 'todo.entities.json:1:1', changed('todo.entities.json', () => '[')],
    ['a policy file without its schema', 'todo.cedar:', TODO.filter(({ path }) => path === 'todo.cedar')],
  ])('refuses a set whole with %s, and says where', async (_what, place, files) => {
    const answer = await stage(files);
    expect([answer.status, (answer.body as { code: string }).code]).toEqual([400, 'invalid_field']);
    expect((answer.body as { param: string }).param).toContain(place);
    expect(answerOf(await update(RICK, {}))).toEqual([200, { decision: true }]);
  });
});
