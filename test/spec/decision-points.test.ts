import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { Cerbos } from '../../scripts/cerbos.js';
import { agreeable, type Behaviour, json, startPoint, type TestPoint, text } from '../support/decision-point.js';
import { reviewedTool } from '../support/tools.js';
import { RS1, RS2, startWorld, tool, tools, type World } from '../support/world.js';
import { freePort, type Reply, request } from '../support/writ.js';

type Recorded = Readonly<{ facts: Record<string, unknown>; outcome: Record<string, unknown> }>;

async function lastRecord(world: World): Promise<Recorded> {
  const { body } = await world.admin('GET', '/log?kind=exchange&limit=200');
  const last = (body as { items: Recorded[] }).items.at(-1);
  if (last === undefined) throw new Error('no record');
  return last;
}

const silent = (name: string) => ({
  error: 'transaction_denied',
  error_description: `${name} waits for a decision point that does not answer; try again`,
  decision: expect.stringMatching(/^dec_/),
  tool: name,
  policies: [],
  term: 'policy',
  remedy: 'try_again',
});
const refuses = (name: string) => ({
  ...silent(name),
  error_description: `a decision point beside Writ refuses ${name}`,
  remedy: 'change_policy',
});
const outcome = ({ status, body }: Reply): unknown => [status, (body as { error?: string }).error];

describe('decision points beside Writ', () => {
  let world: World;
  let everywhere: TestPoint;
  let here: TestPoint;
  beforeAll(async () => {
    everywhere = await startPoint();
    here = await startPoint();
    const file = JSON.stringify({
      decisionPoints: [
        { id: 'everywhere', discover: everywhere.address, servers: '*', credentialFile: 'pdp-token' },
        { id: 'here', url: `${here.address}/access/v1/evaluation`, servers: [RS1] },
      ],
    });
    world = await startWorld({ file, files: { 'pdp-token': 'the-token-of-writ\n' } });
    const { body } = await world.admin('GET', `/agents/${world.a1.id}`);
    const allow = [RS1, RS2].map((resource) => ({ resource, scopes: ['repo:read', 'repo:write'], tools: '*' }));
    const keep = reviewedTool('keep', {
      scopes: ['repo:write'],
      tier: 'high',
      action: 'write',
      inputSchema: {
        type: 'object',
        properties: { path: { type: 'string' }, secret: { type: 'string' } },
        additionalProperties: false,
      },
    });
    const servers = (await world.admin('GET', '/servers')).body as { items: { resource: string; tools: unknown[] }[] };
    const one = servers.items.find(({ resource }) => resource === RS1);
    const applied = await world.admin('POST', '/apply', {
      agents: [{ ...(body as object), allow }],
      servers: [{ ...one, tools: [...(one?.tools ?? []), { ...keep, data: 'confidential', sensitive: ['secret'] }] }],
    });
    if (applied.status !== 200) throw new Error(applied.text);
  });
  afterEach(() => {
    for (const point of [everywhere, here]) {
      point.behave(agreeable);
      point.received.length = 0;
    }
  });
  afterAll(async () => {
    await world.close();
    await Promise.all([everywhere.close(), here.close()]);
  });

  it('are all asked, and when each says yes the token is issued and the record has their words', async () => {
    const answer = await world.exchange();
    expect(answer.status).toBe(200);
    expect((await lastRecord(world)).facts['opinions']).toEqual([
      { point: 'everywhere', says: 'yes', because: 'decided', answer: expect.stringMatching(/^[\w-]{43}$/) },
      { point: 'here', says: 'yes', because: 'decided', answer: expect.stringMatching(/^[\w-]{43}$/) },
    ]);
  });

  it('are asked in the shape of COAZ-MCP, with a credential, and never for an argument that is sensitive', async () => {
    const details = tools(tool('keep', { arguments: { path: 'a/b', secret: 'do-not-tell' } }));
    const answer = await world.exchange({ authorization_details: details });
    expect(answer.status).toBe(200);
    const [one] = everywhere.received;
    const { facts } = await lastRecord(world);
    expect(one?.headers).toMatchObject({ authorization: 'Bearer the-token-of-writ', 'x-request-id': facts['request'] });
    expect(here.received[0]?.headers.authorization).toBeUndefined();
    const asked = (facts['tools'] as { arguments_sha256: string }[])[0];
    expect([one?.path, one?.body]).toEqual([
      '/access/v1/evaluation',
      {
        subject: {
          type: 'identity',
          id: facts['person'],
          properties: { act: { sub: world.a1.id, iss: world.issuer, sub_profile: 'ai_agent' }, attributes: {} },
        },
        action: { name: 'tools/call' },
        resource: {
          type: 'tool',
          id: 'keep',
          properties: {
            server: RS1,
            action: 'write',
            data: 'confidential',
            tier: 'high',
            arguments: { path: 'a/b' },
          },
        },
        context: {
          agent: world.a1.id,
          client_id: world.a1.id,
          args_sha256: asked?.arguments_sha256,
          arguments: { path: 'a/b' },
          supported_obligations: [],
        },
      },
    ]);
  });

  it('name a person whom nobody has met by issuer and subject, which no id of ours can be', async () => {
    const subject_token = await world.personToken('a stranger');
    expect((await world.exchange({ subject_token })).status).toBe(200);
    const { subject } = everywhere.received[0]?.body as { subject: { id: string } };
    expect(subject.id).toBe('https://company.example#a stranger');
  });

  it('are asked once for several tools where they offer that, else once for each', async () => {
    const details = tools(tool('read_file'), tool('list_files'));
    expect((await world.exchange({ authorization_details: details })).status).toBe(200);
    expect(everywhere.received.map(({ path }) => path)).toEqual(['/access/v1/evaluations']);
    const { evaluations, options } = everywhere.received[0]?.body as Record<string, { resource: { id: string } }[]>;
    expect([evaluations?.map(({ resource }) => resource.id), options]).toEqual([
      ['read_file', 'list_files'],
      { evaluations_semantic: 'execute_all' },
    ]);
    const ids = here.received.map(({ body }) => (body as { resource: { id: string } }).resource.id);
    expect(ids.sort()).toEqual(['list_files', 'read_file']);
  });

  it('are not asked about a server that they are not configured for', async () => {
    here.behave(json({ decision: false }));
    const answer = await world.exchange({ resource: RS2, authorization_details: tools(tool('read_file', {}, RS2)) });
    expect([answer.status, here.received, everywhere.received.length]).toEqual([200, [], 1]);
    expect((await lastRecord(world)).facts['opinions']).toEqual([expect.objectContaining({ point: 'everywhere' })]);
  });

  it('are not asked where the registry refuses anyway, or no tool is named', async () => {
    expect(outcome(await world.exchange({ authorization_details: tools(tool('unheard_of')) }))).toEqual([
      400,
      'invalid_authorization_details',
    ]);
    expect((await world.exchange({ authorization_details: undefined })).status).toBe(200);
    expect([everywhere.received, here.received]).toEqual([[], []]);
  });

  it('refuse all when one of them refuses one tool, whatever the others say', async () => {
    here.behave((received, response) => {
      const { resource } = received.body as { resource: { id: string } };
      json({ decision: resource.id !== 'list_files' })(received, response);
    });
    const details = tools(tool('read_file'), tool('list_files'));
    const answer = await world.exchange({ authorization_details: details });
    expect([answer.status, answer.body]).toEqual([400, refuses('list_files')]);
    const { facts, outcome: ended } = await lastRecord(world);
    expect(ended).toMatchObject({ decision: 'refuse', reason: 'decision_point_refuses' });
    expect(facts).toMatchObject({
      evidence: { point: 'here', because: 'decided', tool: 'list_files', term: 'policy' },
      opinions: [
        { point: 'everywhere', says: 'yes' },
        { point: 'here', says: 'no', because: 'decided', tool: 'list_files' },
      ],
    });
  });

  it.each<[string, Behaviour, string]>([
    ['no answer', () => undefined, 'timeout'],
    [
      'half an answer and then nothing',
      (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).write('{"decision":'),
      'timeout',
    ],
    ['status 500', json({ decision: true }, 500), 'wrong_status'],
    ['status 201', json({ decision: true }, 201), 'wrong_status'],
    ['a redirect to a yes', json({ decision: true }, 307, { location: '/elsewhere' }), 'wrong_status'],
    ['HTML', text('<html>{"decision":true}</html>', 'text/html'), 'malformed'],
    ['JSON that says it is HTML', text('{"decision":true}', 'text/html'), 'malformed'],
    ['JSON that is cut off', text('{"decision":true'), 'malformed'],
    ['an empty body', text(''), 'malformed'],
    ['an unknown decision', json({ decision: 'maybe' }), 'malformed'],
    ['true as text', json({ decision: 'true' }), 'malformed'],
    ['true as a number', json({ decision: 1 }), 'malformed'],
    ['true in a list', json([{ decision: true }]), 'malformed'],
    ['null', json({ decision: null }), 'malformed'],
    ['no decision', json({ context: {} }), 'malformed'],
    ['the decision twice', text('{"decision":false,"decision":true}'), 'malformed'],
    ['a context that is none', json({ decision: true, context: 'ok' }), 'malformed'],
    ['one megabyte', text(`{"decision":true,"context":{"x":"${'x'.repeat(1_048_576)}"}}`), 'too_large'],
    [
      'less than it announced',
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
        response.write('{"decision":true}', () => response.socket?.destroy());
      },
      'malformed',
    ],
    ['a closed connection', (_, response) => response.socket?.destroy(), 'unreachable'],
    ['what is not HTTP', (_, response) => response.socket?.end('{"decision":true}\r\n\r\n'), 'malformed'],
  ])('TL-07 that answer with %s are silent, and silence is no', async (_, behaviour, because) => {
    here.behave(behaviour);
    const answer = await world.exchange();
    expect([answer.status, answer.body]).toEqual([400, silent('read_file')]);
    const { facts, outcome: ended } = await lastRecord(world);
    expect(ended).toMatchObject({ decision: 'refuse', reason: 'decision_point_silent' });
    expect(facts['evidence']).toMatchObject({ point: 'here', because });
    here.behave(agreeable);
    expect((await world.exchange()).status).toBe(200);
  });

  it.each([
    ['fewer decisions than questions', [{ decision: true }]],
    ['more decisions than questions', [{ decision: true }, { decision: true }, { decision: true }]],
    ['one decision that is none', [{ decision: true }, { decision: 'yes' }]],
  ])('TL-07 that answer several questions with %s are silent', async (_, evaluations) => {
    everywhere.behave(json({ evaluations }));
    const details = tools(tool('read_file'), tool('list_files'));
    const answer = await world.exchange({ authorization_details: details });
    expect([answer.status, answer.body]).toEqual([400, silent('read_file')]);
    expect((await lastRecord(world)).facts['evidence']).toMatchObject({ point: 'everywhere', because: 'malformed' });
    everywhere.behave(agreeable);
    expect((await world.exchange({ authorization_details: details })).status).toBe(200);
  });

  it.each([
    ['an obligation', { obligations: [{ id: 'o', type: 'notification', properties: { to: 'x' } }] }],
    ['obligations that are no list', { obligations: { type: 'custom' } }],
    ['obligations that are null', { obligations: null }],
    ['a way to ask for access', { access_request: { expires_at: '2099-01-01T00:00:00Z' } }],
  ])('TL-07 OB-01 whose yes has %s have said no', async (_, context) => {
    here.behave(json({ decision: true, context }));
    const answer = await world.exchange();
    expect([answer.status, answer.body]).toEqual([400, refuses('read_file')]);
    expect((await lastRecord(world)).facts['evidence']).toMatchObject({ point: 'here', because: 'obligation' });
  });

  it('are asked again when a kept connection turns out to have ended', async () => {
    expect((await world.exchange()).status).toBe(200);
    here.behave((_, response) => {
      here.behave(agreeable);
      response.socket?.destroy();
    });
    expect((await world.exchange()).status).toBe(200);
    expect(here.received.length).toBe(3);
  });

  it('may say yes with an empty list of obligations and with what we do not know', async () => {
    here.behave(json({ decision: true, context: { obligations: [], reason_admin: { en: 'fine' } }, extra: 1 }));
    expect((await world.exchange()).status).toBe(200);
  });

  it('that are silent three times are not asked any more, operators are told once, and a probe finds them again', async () => {
    const before = world.faults.length;
    here.behave(json({}, 500));
    for (let n = 0; n < 3; n++) await world.exchange();
    const asked = here.received.length;
    const answer = await world.exchange();
    expect([answer.status, answer.body]).toEqual([400, silent('read_file')]);
    expect(here.received.length).toBe(asked);
    expect((await lastRecord(world)).facts['evidence']).toMatchObject({ point: 'here', because: 'circuit_open' });
    expect(world.faults.slice(before)).toEqual([
      expect.objectContaining({
        code: 'decision_point_unavailable',
        message: 'the decision point here is silent: wrong_status',
      }),
    ]);
    const open = (await request(`${world.issuer}/metrics`, {})).text;
    expect(open).toContain('writ_decision_point_open{point="here"} 1');
    here.behave(agreeable);
    while ((await world.exchange()).status !== 200) await pause(20);
    const closed = (await request(`${world.issuer}/metrics`, {})).text;
    expect(closed).toContain('writ_decision_point_open{point="here"} 0');
    expect(closed).toMatch(/writ_decision_point_duration_seconds_count\{point="here",outcome="circuit_open"\} \d+/);
    expect(world.faults.length).toBe(before + 1);
  });
});

describe('a decision point that is not what it says', () => {
  it.each<[string, (address: string) => object]>([
    ['another identifier', () => ({ policy_decision_point: 'https://other.example' })],
    ['an endpoint at another origin', () => ({ access_evaluation_endpoint: 'https://other.example/evaluation' })],
    ['no endpoint', () => ({ access_evaluation_endpoint: undefined })],
  ])('by metadata with %s is never asked', async (_, wrong) => {
    const point = await startPoint(wrong);
    const file = JSON.stringify({ decisionPoints: [{ id: 'pdp', discover: point.address, servers: '*' }] });
    const world = await startWorld({ file });
    try {
      const answer = await world.exchange();
      expect([answer.status, answer.body, point.received]).toEqual([400, silent('read_file'), []]);
      expect((await lastRecord(world)).facts['evidence']).toMatchObject({ because: 'not_discovered' });
    } finally {
      await world.close();
      await point.close();
    }
  });
});

/** The settings and the policy of Cerbos, as src/authzen/README.md has them. */
const README = [...readFileSync('src/authzen/README.md', 'utf8').matchAll(/```yaml\n(.*?)```/gs)].map(
  ([, block = '']) => block,
);

describe('Cerbos as a decision point, found by its metadata', () => {
  let world: World;
  let cerbos: Cerbos;
  const folder = mkdtempSync(join(tmpdir(), 'writ-cerbos-'));
  beforeAll(async () => {
    const ports = [await freePort(), await freePort()] as const;
    const [settings = '', policy = ''] = README;
    cerbos = new Cerbos({ folder, ports, policy: parse(policy) as object });
    await cerbos.start();
    world = await startWorld({ file: settings.replace('http://127.0.0.1:3592', cerbos.address) });
    // A Cerbos that has just started may take longer over its first question than the deadline of it.
    while ((await world.exchange()).status !== 200) await pause(100);
  }, 60_000);
  afterAll(async () => {
    await world.close();
    await cerbos.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  it('permits by its own policy over tool, tier and agent', async () => {
    expect((await world.exchange()).status).toBe(200);
    expect((await lastRecord(world)).facts['opinions']).toEqual([
      { point: 'cerbos', says: 'yes', because: 'decided', answer: expect.stringMatching(/^[\w-]{43}$/) },
    ]);
  });

  it.each([
    ['a tier', ['write_file'], 'write_file'],
    ['one of several tools', ['read_file', 'list_files'], 'list_files'],
  ])('refuses %s that its policy does not permit', async (_, names, refused) => {
    const answer = await world.exchange({ authorization_details: tools(...names.map((name) => tool(name))) });
    expect([answer.status, answer.body]).toEqual([400, refuses(refused)]);
  });

  it('refuses arguments that its policy does not permit', async () => {
    const reading = (path: string) =>
      world.exchange({ authorization_details: tools(tool('read_file', { arguments: { path } })) });
    expect((await reading('report.md')).status).toBe(200);
    const answer = await reading('/etc/passwd');
    expect([answer.status, answer.body]).toEqual([400, refuses('read_file')]);
  });

  it('refuses what policies of ours permit while it is gone, and permits again when it is back', async () => {
    await cerbos.kill();
    const answer = await world.exchange();
    expect([answer.status, answer.body]).toEqual([400, silent('read_file')]);
    await cerbos.start();
    while ((await world.exchange()).status !== 200) await pause(20);
  });
});
