import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { thumbprint } from '../../src/protocol/index.js';
import { aboutCall, ask, basic, personOf } from '../support/authzen.js';
import { activate } from '../support/policies.js';
import { pinOf, reviewedTool } from '../support/tools.js';
import { ACCESS_TOKEN, COMPANY, RS1, RS2, startWorld, type World } from '../support/world.js';
import { answerOf, assertion, makeKey, type Reply, request } from '../support/writ.js';

const BANK = 'https://bank.example/mcp';
const POLICIES = `
@id("people") permit (principal is Person, action, resource) unless { action == Action::"${RS1}#wipe" };
@id("agents") permit (principal is Agent, action, resource) unless { action == Action::"${RS1}#delete_repo" };

@id("exact-payments") @requires("exact_call") @reason("Payments are decided on their exact arguments.")
forbid (principal, action in Action::"pay", resource) unless { context has arguments };

@id("small-payments-only") @reason("An agent pays 500 at most.")
forbid (principal, action == Action::"${BANK}#pay", resource)
when { context has arguments && context.arguments.amount.greaterThan(decimal("500.0")) };

@id("payments-ask") @requires("approval") @approvers("finance") @reason("Someone in finance approves each payment.")
forbid (principal, action in Action::"pay", resource);

@id("messages-fresh-login") @requires("reauthentication") @acr_values("urn:example:phr") @max_age("300")
forbid (principal, action in Action::"send", resource)
unless { context.authn has acr && context.authn.acr == "urn:example:phr" };
`;

let world: World;
let alice: string;
let bank: Readonly<Record<string, string>>;
let policy: string;
beforeAll(async () => {
  world = await startWorld();
  const { body: agent } = await world.admin('GET', `/agents/${world.a1.id}`);
  const server = {
    resource: BANK,
    client_id: 'srv_bank',
    name: 'Bank',
    owner: 'finance',
    authentication: { method: 'client_secret_basic' },
    scopes: ['bank:pay', 'bank:send'],
    tools: [
      reviewedTool('pay', {
        scopes: ['bank:pay'],
        tier: 'medium',
        action: 'pay',
        inputSchema: {
          type: 'object',
          properties: { amount: { type: 'number' }, to: { type: 'string' } },
          required: ['amount', 'to'],
          additionalProperties: false,
        },
      }),
      reviewedTool('message', { scopes: ['bank:send'], tier: 'low', action: 'send' }),
      { name: 'draft', scopes: ['bank:send'], tier: 'low' },
    ],
  };
  const allow = [
    { resource: RS1, scopes: ['repo:read', 'repo:write', 'repo:admin'], tools: '*' },
    { resource: BANK, scopes: ['bank:pay', 'bank:send'], tools: '*' },
  ];
  const applied = await world.admin('POST', '/apply', {
    servers: [server],
    agents: [{ ...(agent as object), allow }],
  });
  if (applied.status !== 200) throw new Error(applied.text);
  alice = await personOf(world, 'alice');
  const secret = await world.admin('POST', `/servers/${encodeURIComponent(BANK)}/secret`);
  bank = basic('srv_bank', (secret.body as { client_secret: string }).client_secret);
  policy = await activate(world, POLICIES);
});
afterAll(async () => {
  await world.close();
  expect(world.faults).toEqual([]);
});

const evaluated = {
  evaluation_id: expect.stringMatching(/^dec_[\w-]{22}$/),
  evaluated_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/),
};
const denied = (reason: string, sentence: string, more: object = {}): unknown => ({
  decision: false,
  context: {
    ...evaluated,
    reason,
    reasons: [sentence],
    tool: 'read_file',
    term: 'request',
    policies: [],
    remedy: 'change_policy',
    ...more,
  },
});
const permitted = { decision: true, context: { ...evaluated, policies: ['agents', 'people'] } };
const invalid = (error_description: string): unknown[] => [400, { error: 'invalid_request', error_description }];
const one = (question: unknown, by: Parameters<typeof ask>[3] = world.a1): Promise<Reply> =>
  ask(world, 'evaluation', question, by);
const pay = (args?: object, more: object = {}): unknown =>
  aboutCall(alice, 'pay', { server: BANK, ...(args === undefined ? {} : { arguments: args }), ...more });
const records = async (): Promise<{ facts: Record<string, unknown>; outcome: Record<string, unknown> }[]> => {
  let [items, after]: [{ facts: Record<string, unknown>; outcome: Record<string, unknown> }[], string | null] = [
    [],
    '',
  ];
  while (after !== null) {
    const { body } = await world.admin('GET', `/log?kind=decision&limit=200${after === '' ? '' : `&after=${after}`}`);
    const page = body as { items: typeof items; next: string | null };
    [items, after] = [[...items, ...page.items], page.next];
  }
  return items;
};

describe('AuthZEN 1.0 metadata', () => {
  it('names the decision point and what it serves, and nothing that it does not', async () => {
    const reply = await request(`${world.issuer}/.well-known/authzen-configuration`, {});
    expect(answerOf(reply)).toEqual([
      200,
      {
        policy_decision_point: world.issuer,
        access_evaluation_endpoint: `${world.issuer}/access/v1/evaluation`,
        access_evaluations_endpoint: `${world.issuer}/access/v1/evaluations`,
        access_request_endpoint: `${world.issuer}/access/v1/requests`,
        capabilities: ['urn:openid:authzen:capability:access-request'],
        supported_obligations: ['step-up'],
      },
    ]);
    expect(reply.headers.get('content-type')).toBe('application/json; charset=utf-8');
  });
});

describe('a question about a tool call', () => {
  it('is a yes where an exchange for it would be one, and the record was there before the answer', async () => {
    const answer = await one(aboutCall(alice, 'read_file', { txn: 'a transaction', args_sha256: pinOf('x') }));
    expect(answerOf(answer)).toEqual([200, permitted]);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const { evaluation_id: decision } = (answer.body as { context: { evaluation_id: string } }).context;
    const record = (await records()).find(({ facts }) => facts['decision'] === decision);
    expect(record?.outcome).toEqual({ decision: 'permit', reason: 'ok', session: null, sequence: null, seen: 0 });
    expect(record?.facts).toEqual({
      request: expect.stringMatching(/^req_/),
      trace: null,
      client: { id: 'agt_a1', kind: 'agent', method: 'private_key_jwt', key: 'agt_a1-key' },
      what: 'call',
      person: alice,
      agents: ['agt_a1'],
      server: RS1,
      tool: 'read_file',
      arguments_sha256: pinOf('x'),
      input: expect.stringMatching(/^[\w-]{43}$/),
      txn: expect.stringMatching(/^[\w-]{43}$/),
      decision,
      policy,
      policies: ['agents', 'people'],
      registry: expect.any(Number),
    });
  });

  it('leaves nothing of whom it was asked about and nobody knows, of whom a digest would tell (AU-13)', async () => {
    const stranger = 'carol@company.example';
    const answer = await one(aboutCall(stranger, 'read_file', {}));
    const { evaluation_id: decision } = (answer.body as { context: { evaluation_id: string } }).context;
    const record = (await records()).find(({ facts }) => facts['decision'] === decision);
    expect(record?.facts).toMatchObject({ what: 'call', person: null, tool: 'read_file' });
    const text = JSON.stringify(record);
    for (const told of [stranger, createHash('sha256').update(stranger).digest('base64url')])
      expect(text).not.toContain(told);
  });

  it.each([
    ['the server that is asked about, by its key', () => world.rs1],
    ['the agent that acts', () => world.a1],
  ])('is answered to %s', async (_who, by) => {
    expect(answerOf(await one(aboutCall(alice, 'read_file'), by()))).toEqual([200, permitted]);
  });

  it('may leave open what the caller itself is: a server its URI, an agent its name', async () => {
    const { subject, action, resource } = aboutCall(alice, 'read_file') as Record<string, Record<string, unknown>>;
    const context = { agent: 'agt_a1' };
    const bare = { ...resource, properties: {} };
    expect(
      answerOf(await one({ subject: { ...subject, properties: {} }, action, resource: bare, context }, world.rs1)),
    ).toEqual([200, permitted]);
    expect(answerOf(await one({ subject: { ...subject, properties: {} }, action, resource }))).toEqual([
      200,
      permitted,
    ]);
  });

  it('reads the act claim of a token, the current actor first', async () => {
    const act = { sub: 'agt_a1', iss: world.issuer, act: { sub: 'agt_a2', iss: world.issuer } };
    expect(answerOf(await one(aboutCall(alice, 'read_file', { act })))).toEqual([200, permitted]);
    const gone = { sub: 'agt_a1', act: { sub: 'agt_ax' } };
    expect(answerOf(await one(aboutCall(alice, 'read_file', { act: gone })))).toEqual([
      200,
      denied('actor_not_usable', 'This agent is disabled or has expired.', { term: 'agent' }),
    ]);
  });

  it('ignores members that it does not know, at every level', async () => {
    const question = aboutCall(alice, 'read_file') as Record<string, object>;
    const more = Object.fromEntries(Object.entries(question).map(([name, value]) => [name, { ...value, unknown: 1 }]));
    expect(answerOf(await one({ ...more, unknown: [], evaluations: 7 }))).toEqual([200, permitted]);
  });

  it.each([
    ['a person', { person: 'prs_nobody' }, 'unknown_person', 'There is no active person of this id.', 'person'],
    ['a tool', { tool: 'nothing' }, 'tool_not_granted', 'The tool is not granted to this server.', 'server'],
    [
      'a server',
      { server: 'https://no.example' },
      'unknown_target',
      'There is no active server of this URI.',
      'server',
    ],
    [
      'an agent',
      { act: 'agt_none', by: 'rs1' },
      'target_not_allowed',
      'This agent is not registered for this server.',
      'agent',
    ],
    [
      'a disabled agent',
      { act: 'agt_ax', by: 'rs1' },
      'actor_not_usable',
      'This agent is disabled or has expired.',
      'agent',
    ],
    [
      'a server that the agent has no ceiling for',
      { server: RS2 },
      'target_not_allowed',
      'This agent is not registered for this server.',
      'agent',
    ],
    [
      'a draft of a tool',
      { server: BANK, tool: 'draft' },
      'tool_not_reviewed',
      'Nobody has reviewed the tool yet.',
      'tool',
    ],
    [
      'another definition of the tool',
      { definition: pinOf('other') },
      'tool_changed',
      'The tool is not what was reviewed.',
      'tool',
    ],
    [
      'a scope that the person did not give',
      { scope: 'repo:write' },
      'scope_too_wide',
      'The tool needs a scope that this person does not have here.',
      'person',
    ],
  ])('is a no for %s, with its reason and whose word is missing', async (_what, change, reason, sentence, term) => {
    const { person = alice, tool = 'read_file', definition, scope, by, ...more } = change as Record<string, string>;
    const question = aboutCall(person, tool, more) as Record<string, { properties: object }>;
    const asked = {
      ...question,
      subject: { ...question['subject'], properties: { ...question['subject']?.properties, scope } },
      resource: {
        ...question['resource'],
        properties: { ...question['resource']?.properties, definition_sha256: definition },
      },
    };
    expect(answerOf(await one(asked, by === 'rs1' ? world.rs1 : world.a1))).toEqual([
      200,
      denied(reason, sentence, { tool, term }),
    ]);
  });

  it.each([
    ['another action', { action: { name: 'tools/list' } }],
    ['another kind of subject', { subject: { type: 'workload', id: 'x', properties: { act: 'agt_a1' } } }],
  ])('is a no for %s', async (_what, change) => {
    expect(answerOf(await one({ ...aboutCall(alice, 'read_file'), ...change }))).toEqual([
      200,
      denied('unknown_action', 'Of a tool only tools/call is decided, for a subject of type identity or person.'),
    ]);
  });

  it.each([
    ['an agent about another agent’s call', { act: 'agt_a2' }, () => world.a1],
    ['a server about another server’s tool', { server: RS1 }, () => world.rs2],
  ])('is none of the business of %s', async (_who, more, by) => {
    expect(answerOf(await one(aboutCall(alice, 'read_file', more), by()))).toEqual([
      200,
      denied('not_yours_to_ask', 'A server asks about its own tools, and a client about its own calls.'),
    ]);
  });

  it.each([
    ['wipe', 'person'],
    ['delete_repo', 'agent'],
  ])('is a no where no policy permits %s for the %s', async (tool, term) => {
    expect(answerOf(await one(aboutCall(alice, tool, { arguments: {} })))).toEqual([
      200,
      denied('policy_does_not_permit', `No policy permits this call for this ${term}.`, { tool, term }),
    ]);
  });

  it('is a no with the sentences and ids of the policies that forbid it, by Basic too', async () => {
    expect(answerOf(await one(pay({ amount: 500.01, to: 'DE12' }), bank))).toEqual([
      200,
      denied('policy_forbids', 'An agent pays 500 at most.', {
        tool: 'pay',
        term: 'policy',
        policies: ['payments-ask', 'small-payments-only'],
      }),
    ]);
  });

  it('names the argument that is not of the reviewed schema, never its value', async () => {
    expect(answerOf(await one(pay({ amount: 'CANARY', to: 'DE12' }), bank))).toEqual([
      200,
      denied('policy_cannot_read', 'The arguments are not what the reviewed schema wants: arguments.amount.', {
        tool: 'pay',
        remedy: 'correct_arguments',
      }),
    ]);
    expect(JSON.stringify(await records())).not.toContain('CANARY');
  });

  it('asks for the exact call without an access request: nobody can grant it', async () => {
    const reasons = ['Payments are decided on their exact arguments.', 'Someone in finance approves each payment.'];
    expect(answerOf(await one(pay(), bank))).toEqual([
      200,
      denied('exact_call_required', '', {
        reasons,
        tool: 'pay',
        term: 'policy',
        policies: ['exact-payments', 'payments-ask'],
        remedy: 'exact_call',
      }),
    ]);
  });

  it('ARAP: is a no that can be requested where a human may approve, and the record is an ask', async () => {
    const answer = await one(pay({ amount: 500, to: 'DE12' }), bank);
    expect(answerOf(answer)).toEqual([
      200,
      denied('approval_required', 'Someone in finance approves each payment.', {
        tool: 'pay',
        term: 'policy',
        policies: ['payments-ask'],
        remedy: 'approval',
        access_request: {
          endpoint: `${world.issuer}/access/v1/requests`,
          expires_at: expect.stringMatching(/Z$/),
          binding_token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]{43}$/),
        },
      }),
    ]);
    const { context } = answer.body as {
      context: { evaluated_at: string; evaluation_id: string; access_request: { expires_at: string } };
    };
    expect(Date.parse(context.access_request.expires_at) - Date.parse(context.evaluated_at)).toBe(300_000);
    const record = (await records()).find(({ facts }) => facts['decision'] === context.evaluation_id);
    expect(record?.outcome).toMatchObject({ decision: 'ask', reason: 'approval_required' });
  });

  it('obliges to a step-up where the person has to sign in again, and is a yes with it', async () => {
    const message = (more: object) => one(aboutCall(alice, 'message', { server: BANK, ...more }), bank);
    const answer = await message({});
    expect(answerOf(answer)).toEqual([
      200,
      denied('reauthentication_required', 'The person has to sign in again for this call.', {
        tool: 'message',
        term: 'policy',
        policies: ['messages-fresh-login'],
        remedy: 'reauthentication',
        acr_values: 'urn:example:phr',
        max_age: 300,
        obligations: [
          {
            id: expect.stringMatching(/^dec_/),
            type: 'step-up',
            properties: { acr_value: 'urn:example:phr', max_age: 300 },
          },
        ],
      }),
    ]);
    const now = Math.floor(Date.now() / 1000);
    expect(answerOf(await message({ acr: 'urn:example:phr', auth_time: now }))).toEqual([200, permitted]);
  });
});

describe('AuthZEN 1.0 evaluations', () => {
  const rows = (...names: string[]) =>
    names.map((id) => ({ resource: { type: 'tool', id, properties: { server: RS1 } } }));
  const many = (evaluations: unknown, options?: unknown, more: object = {}) =>
    ask(world, 'evaluations', { ...aboutCall(alice, 'read_file'), evaluations, options, ...more }, world.a1);
  const decisions = ({ body }: Reply): unknown[] =>
    (body as { evaluations: { decision: boolean }[] }).evaluations.map(({ decision }) => decision);

  it.each([
    [undefined, [true, false, true, false]],
    ['execute_all', [true, false, true, false]],
    ['deny_on_first_deny', [true, false]],
    ['permit_on_first_permit', [true]],
  ])('answers in order, by %s', async (evaluations_semantic, wanted) => {
    const names = ['read_file', 'wipe', 'list_files', 'nothing'];
    const before = (await records()).length;
    const answer = await many(rows(...names), evaluations_semantic && { evaluations_semantic, another: 'option' });
    expect([answer.status, decisions(answer)]).toEqual([200, wanted]);
    expect((await records()).length - before).toBe(wanted.length);
  });

  it('goes on after a no until the first yes', async () => {
    const answer = await many(rows('wipe', 'nothing', 'read_file', 'list_files'), {
      evaluations_semantic: 'permit_on_first_permit',
    });
    expect(decisions(answer)).toEqual([false, false, true]);
  });

  it('takes from the top what an evaluation leaves out, and replaces a member whole', async () => {
    const answer = await many([
      {},
      { action: { name: 'tools/list' } },
      { subject: { type: 'identity', id: 'prs_nobody' } },
      { resource: { type: 'tool', id: 'read_file' }, subject: { type: 'identity', id: alice } },
    ]);
    expect(answerOf(answer)).toEqual(invalid('evaluations.3.resource.properties.server is missing'));
    const again = await many([{}, { action: { name: 'tools/list' } }, { subject: { type: 'identity', id: 'prs_no' } }]);
    expect(decisions(again)).toEqual([true, false, false]);
  });

  it.each([
    ['absent', undefined],
    ['empty', []],
  ])('is a single evaluation where the list is %s', async (_how, evaluations) => {
    expect(answerOf(await many(evaluations))).toEqual([200, permitted]);
  });

  it('takes 64 questions and not one more', async () => {
    expect(decisions(await many(Array.from({ length: 64 }, () => ({}))))).toHaveLength(64);
    expect(answerOf(await many(Array.from({ length: 65 }, () => ({}))))).toEqual(
      invalid('evaluations must have at most 64 entries'),
    );
  });

  it.each([
    ['evaluations must be a list', { evaluations: {} }],
    ['evaluations.1 must be a JSON object', { evaluations: [{}, 'x'] }],
    ['evaluations.0.action must be a JSON object', { evaluations: [{ action: 'x' }] }],
    ['evaluations.1.resource.id is missing', { evaluations: [{}, { resource: { type: 'tool' } }] }],
    ['options must be a JSON object', { options: 'x' }],
    [
      'options.evaluations_semantic must be one of execute_all, deny_on_first_deny, permit_on_first_permit',
      { options: { evaluations_semantic: 'any' } },
    ],
  ])('refuses the whole request: %s', async (sentence, change) => {
    expect(answerOf(await many([{}], undefined, change))).toEqual(invalid(sentence));
  });
});

describe('a malformed question names the field', () => {
  const long = 'x'.repeat(513);
  const text = (most: number): string => `must be text of 1 to ${String(most)} characters`;
  it.each([
    ['subject is missing', { subject: undefined }],
    ['subject must be a JSON object', { subject: [] }],
    ['subject must be a JSON object', { subject: null }],
    ['subject.type is missing', { subject: { id: 'x' } }],
    [`subject.type ${text(256)}`, { subject: { type: 7, id: 'x' } }],
    ['subject.id is missing', { subject: { type: 'identity' } }],
    [`subject.id ${text(512)}`, { subject: { type: 'identity', id: '' } }],
    [`subject.id ${text(512)}`, { subject: { type: 'identity', id: long } }],
    ['subject.properties must be a JSON object', { subject: { type: 'identity', id: 'x', properties: 'x' } }],
    ['action is missing', { action: undefined }],
    ['action.name is missing', { action: {} }],
    [`action.name ${text(256)}`, { action: { name: '' } }],
    ['resource is missing', { resource: undefined }],
    ['resource.type is missing', { resource: { id: 'x' } }],
    ['resource.id is missing', { resource: { type: 'tool' } }],
    [`resource.id ${text(512)}`, { resource: { type: 'tool', id: {} } }],
    ['context must be a JSON object', { context: [] }],
    ['resource.properties.server is missing', { resource: { type: 'tool', id: 'read_file' } }],
    [
      "resource.properties.server must be an MCP server's resource URI",
      { resource: { type: 'tool', id: 'read_file', properties: { server: 'x' } } },
    ],
    ['context.agent must be a client id', { context: { agent: 'no client id' } }],
    ['context.agent must be the actor of subject.properties.act', { context: { agent: 'agt_a2' } }],
    ['context.arguments must be a JSON object', { context: { arguments: [] } }],
    ['context.args_sha256 must be a base64url SHA-256', { context: { args_sha256: 'x' } }],
    [
      'context.args_sha256 must be the hash of context.arguments',
      { context: { arguments: {}, args_sha256: pinOf('x') } },
    ],
    ['context.arguments must have an RFC 8785 form', { context: { arguments: { n: 2 ** 60 } } }],
    ['context.ip must be an IP address', { context: { ip: 'here' } }],
    ['context.auth_time must be a time in seconds since 1970', { context: { auth_time: -1 } }],
    [
      'subject.properties.act must be a client id, or an object with sub, nested at most 8 times',
      { subject: { type: 'identity', id: 'x', properties: { act: { client: 'x' } } } },
    ],
    [
      'subject.properties.scope must be scope tokens separated by single spaces',
      { subject: { type: 'identity', id: 'x', properties: { scope: 'a  b' } } },
    ],
  ])('%s', async (sentence, change) => {
    const before = (await records()).length;
    expect(answerOf(await one({ ...aboutCall(alice, 'read_file'), ...change }))).toEqual(invalid(sentence));
    expect((await records()).length).toBe(before);
  });

  it('a server that names no agent is told so', async () => {
    const question = { ...aboutCall(alice, 'read_file'), subject: { type: 'identity', id: alice } };
    expect(answerOf(await one(question, world.rs1))).toEqual(invalid('subject.properties.act is missing'));
  });

  it.each([
    ['the body is not well-formed JSON: no key twice, no reserved key, at most 32 levels', '{"subject":'],
    ['the body is not well-formed JSON: no key twice, no reserved key, at most 32 levels', '{"a":1,"a":2}'],
    ['the body must be a JSON object', '[]'],
    ['the body is not JSON in UTF-8', undefined],
  ])('%s: %j', async (sentence, body) => {
    const reply =
      body === undefined
        ? await request(`${world.issuer}/access/v1/evaluation`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: Uint8Array.of(0x7b, 0xff, 0x7d),
          })
        : await one(body);
    expect(answerOf(reply)).toEqual(invalid(sentence));
  });

  it('a body of more than 64 KiB is refused, whoever sends it', async () => {
    expect(answerOf(await one({ context: { x: 'x'.repeat(70_000) } }, {}))).toEqual([
      413,
      { error: 'invalid_request', error_description: 'the body may have at most 65536 bytes' },
    ]);
  });

  it('wants JSON, in the body', async () => {
    const url = `${world.issuer}/access/v1/evaluation`;
    const init = { method: 'POST', body: '{}' };
    expect(answerOf(await request(url, { ...init, headers: { 'content-type': 'text/plain' } }))).toEqual(
      invalid('Content-Type must be application/json'),
    );
    expect(answerOf(await request(`${url}?a=b`, { ...init, headers: { 'content-type': 'application/json' } }))).toEqual(
      invalid('parameters belong in the body, not in the URL'),
    );
  });
});

describe('who may ask', () => {
  const unauthenticated = [401, { error: 'invalid_client', error_description: 'client authentication failed' }];

  it.each([
    ['nothing', () => ({})],
    ['a wrong secret', () => basic('srv_bank', 'wrong-secret-wrong-secret')],
    ['a bearer token that is no assertion', () => ({ authorization: 'Bearer abc' })],
    [
      'the assertion of a disabled agent',
      async () => ({ authorization: `Bearer ${await assertion(world.issuer, world.ax)}` }),
    ],
    [
      'an assertion that is signed by somebody else',
      async () => ({ authorization: `Bearer ${await assertion(world.issuer, { id: 'agt_a1', key: makeKey() })}` }),
    ],
    [
      'an assertion for another audience',
      async () => ({
        authorization: `Bearer ${await assertion(world.issuer, world.a1, { claims: { aud: 'https://x.example' } })}`,
      }),
    ],
    ['a person’s token', async () => ({ authorization: `Bearer ${await world.personToken('alice')}` })],
  ])('is refused with %s, in one answer for all', async (_what, headers) => {
    const answer = await one(aboutCall(alice, 'read_file'), await Promise.resolve(headers()));
    expect(answerOf(answer)).toEqual(unauthenticated);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="writ", Basic realm="writ"');
  });

  it('uses an assertion once, also where the first question was malformed', async () => {
    for (const question of [aboutCall(alice, 'read_file'), {}]) {
      const headers = { authorization: `Bearer ${await assertion(world.issuer, world.a1)}` };
      const first = await one(question, headers);
      expect(first.status).toBe('subject' in question ? 200 : 400);
      expect(answerOf(await one(aboutCall(alice, 'read_file'), headers))).toEqual(unauthenticated);
    }
  });

  it('is refused with the key of an agent that was revoked, and nothing is kept of it', async () => {
    const key = thumbprint(world.a1.key.jwk);
    const reason = { reason: 'INC-1' };
    expect((await world.admin('POST', '/revocations', { agent_key: `agt_a1#${key}`, ...reason })).status).toBe(201);
    const decisions = (): Promise<number> => world.writ.database.prisma.logLeaf.count({ where: { kind: 'decision' } });
    const before = await decisions();
    expect(answerOf(await one(aboutCall(alice, 'read_file')))).toEqual(unauthenticated);
    expect(await decisions()).toBe(before);
    expect((await one(aboutCall(alice, 'read_file'), world.rs1)).status).toBe(200);
    await world.writ.database.prisma.revocation.deleteMany({ where: { target: `agent-key:${key}` } });
    expect((await one(aboutCall(alice, 'read_file'))).status).toBe(200);
  });

  it('does not take the form’s client authentication out of the body', async () => {
    const body = {
      ...aboutCall(alice, 'read_file'),
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await assertion(world.issuer, world.a1),
    };
    expect(answerOf(await one(body, {}))).toEqual(unauthenticated);
  });

  it('leaves the bearer token without meaning at the token endpoint', async () => {
    const form = await world.form({ client_assertion: undefined, client_assertion_type: undefined });
    const headers = { authorization: `Bearer ${await assertion(world.issuer, world.a1)}` };
    expect(answerOf(await world.post('/token', form, headers))).toEqual(unauthenticated);
    expect(form['subject_token_type']).toBe(ACCESS_TOKEN);
  });
});

describe('the answer', () => {
  it.each(['bfe9eb29-ab87-4ca3-be83-a1d5d8305716', 'x', 'not what our log would take: /?='])(
    'echoes the X-Request-ID %j, whatever the answer is',
    async (id) => {
      for (const [question, status] of [
        [aboutCall(alice, 'read_file'), 200],
        [{}, 400],
      ] as const) {
        const proof = { authorization: `Bearer ${await assertion(world.issuer, world.a1)}` };
        const answer = await one(question, { ...proof, 'x-request-id': id });
        expect([answer.status, answer.headers.get('x-request-id')]).toEqual([status, id]);
      }
      const answer = await one({}, { 'x-request-id': id });
      expect([answer.status, answer.headers.get('x-request-id')]).toEqual([401, id]);
    },
  );

  it('follows the registry at once: an agent that was disabled a moment ago is refused', async () => {
    const { body } = await world.admin('GET', '/agents/agt_a2');
    const a2 = body as Record<string, unknown>;
    const allow = [{ resource: RS1, scopes: ['repo:read'], tools: ['read_file'] }];
    const set = async (status: string): Promise<void> => {
      const applied = await world.admin('POST', '/apply', { agents: [{ ...a2, allow, status }] });
      if (applied.status !== 200) throw new Error(applied.text);
    };
    const question = aboutCall(alice, 'read_file', { act: 'agt_a2' });
    await set('active');
    expect(answerOf(await one(question, world.rs1))).toEqual([200, permitted]);
    await set('disabled');
    expect(answerOf(await one(question, world.rs1))).toEqual([
      200,
      denied('actor_not_usable', 'This agent is disabled or has expired.', { term: 'agent' }),
    ]);
  });

  it('is a no for everybody of an issuer that is trusted no more', async () => {
    const { body } = await world.admin('GET', `/issuers/${encodeURIComponent(COMPANY)}`);
    const set = (status: string) => world.admin('POST', '/apply', { issuers: [{ ...(body as object), status }] });
    expect((await set('disabled')).status).toBe(200);
    expect(answerOf(await one(aboutCall(alice, 'read_file')))).toEqual([
      200,
      denied('unknown_person', 'There is no active person of this id.', { term: 'person' }),
    ]);
    expect((await set('active')).status).toBe(200);
    expect(answerOf(await one(aboutCall(alice, 'read_file')))).toEqual([200, permitted]);
  });
});
