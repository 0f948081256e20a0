import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { run } from '../../src/cli/index.js';
import { openDecisionInputs } from '../../src/storage/index.js';
import { activate } from '../support/policies.js';
import { CANARY, marked } from '../support/invariants.js';
import { reviewedTool } from '../support/tools.js';
import { RS1, startWorld, tool, tools, type World } from '../support/world.js';
import { ADMIN_TOKEN, request } from '../support/writ.js';

const BANK = 'https://bank.example/mcp';
const PAY = `${BANK}#pay`;
const KEY = Buffer.from(Array.from({ length: 32 }, (_, n) => n * 7)).toString('base64');
const pay = {
  ...reviewedTool('pay', {
    ...{ scopes: ['bank:pay'], tier: 'medium', action: 'pay' },
    inputSchema: {
      type: 'object',
      properties: { amount: { type: 'integer' }, to: { type: 'string' }, pin: { type: 'string' } },
      required: ['amount', 'to', 'pin'],
    },
  }),
  sensitive: ['pin'],
};
const bank = {
  resource: BANK,
  client_id: 'srv_bank',
  name: 'Bank',
  owner: 'finance',
  authentication: { method: 'client_secret_basic' },
  scopes: ['bank:pay'],
  tools: [pay],
};

const PEOPLE = '@id("people") permit (principal is Person, action, resource);\n';
const AGENTS = '@id("agents") permit (principal is Agent, action, resource);\n';
const limit = (most: number): string => `@id("limit")
forbid (principal, action == Action::"${PAY}", resource)
unless { context has arguments && context.arguments.amount <= ${String(most)} };\n`;
const ACTIVE = `${PEOPLE}${AGENTS}${limit(500)}@id("pin")
forbid (principal, action == Action::"${PAY}", resource)
unless { context has arguments && context.arguments.pin != "0000" };\n`;

let world: World;
let person: string;
const decided: Record<string, string> = {};
beforeAll(async () => {
  world = await startWorld({ env: { WRIT_KEY_ENCRYPTION_KEY: KEY } });
  const { body: agent } = await world.admin('GET', `/agents/${world.a1.id}`);
  const allow = [
    { resource: RS1, scopes: ['repo:read'], tools: '*' },
    { resource: BANK, scopes: ['bank:pay'], tools: '*' },
  ];
  const applied = await world.admin('POST', '/apply', {
    servers: [bank],
    agents: [{ ...(agent as Record<string, unknown>), allow }],
  });
  if (applied.status !== 200) throw new Error(applied.text);
  await activate(world, ACTIVE);
  for (const [name, resource, args] of [
    ['read_file', RS1, undefined],
    ['pay', BANK, { amount: 100, to: marked(), pin: marked() }],
    ['pay', BANK, { amount: 400, to: marked(), pin: marked() }],
    ['pay', BANK, { amount: 600, to: marked(), pin: marked() }],
  ] as const) {
    const subject_token = await world.personToken('alice', { scope: 'bank:pay repo:read' });
    const wanted = tool(name, args === undefined ? {} : { arguments: args }, resource);
    await world.exchange({ resource, subject_token, authorization_details: tools(wanted) });
    const record = await lastRecord();
    decided[args === undefined ? 'read' : String(args.amount)] = String(record?.['decision']);
    person = String(record?.['person']);
  }
  await world.writ.flush();
});

afterAll(async () => {
  await world.close();
  expect(world.faults).toEqual([]);
});

const lastRecord = async () => {
  const { body } = await world.admin('GET', '/log?kind=exchange&limit=200');
  return (body as { items: { facts: Record<string, unknown> }[] }).items.at(-1)?.facts;
};
const replay = (text: string, more: object = {}) =>
  world.admin('POST', '/policies/replay', { files: [{ path: 'candidate.cedar', text }], ...more });
const ofPay = (from: string, to: string, ...examples: string[]) => ({
  ...{ from, to, agent: world.a1.id, person, tool: PAY, count: examples.length, examples },
});

/** The command, which reads one candidate whatever the file. */
async function writ(...args: string[]): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  const code = await run(args, {
    env: { WRIT_ISSUER: world.issuer, WRIT_ADMIN_TOKEN: ADMIN_TOKEN },
    readFile: (path) => (path.endsWith('.cedar') ? `${PEOPLE}${AGENTS}${limit(1)}` : undefined),
    makePrivateFile: () => false,
    readStdin: () => Promise.resolve(''),
    out: (line) => lines.push(...line.split('\n')),
    err: (line) => lines.push(line),
  });
  return { code, lines };
}

describe('a candidate set is tried on what was decided', () => {
  it('and changes nothing when it decides alike', async () => {
    const answer = await replay(`${PEOPLE}${AGENTS}${limit(599)}`);
    expect([answer.status, answer.body]).toEqual([
      200,
      { considered: 4, unchanged: 4, undecidable: 0, undecidable_because: {}, changes: [], next: null },
    ]);
  });

  it('and answers what would change, by agent, person and tool, with decision ids that are in the log', async () => {
    const asking = `@id("ask") @requires("approval") forbid (principal, action in Action::"pay", resource);\n`;
    const { body } = await replay(`${PEOPLE}${AGENTS}${limit(150)}${asking}`);
    expect(body).toEqual({
      ...{ considered: 4, unchanged: 2, undecidable: 0, undecidable_because: {}, next: null },
      changes: [ofPay('allow', 'approval', decided['100'] ?? ''), ofPay('allow', 'deny', decided['400'] ?? '')],
    });
  });

  it('counts what is alike in one row', async () => {
    const { body } = await replay(`${PEOPLE}${AGENTS}${limit(1)}`);
    expect(body).toMatchObject({
      unchanged: 2,
      changes: [ofPay('allow', 'deny', decided['100'] ?? '', decided['400'] ?? '')],
    });
  });

  it.each([
    ['that no policy named', 'to'],
    ['that is sensitive', 'pin'],
  ])('and never guesses at an argument %s', async (_which, name) => {
    const looking = `@id("looks") forbid (principal, action == Action::"${PAY}", resource)
      unless { context has arguments && context.arguments.${name} != "x" };\n`;
    const { body } = await replay(PEOPLE + AGENTS + looking);
    expect(body).toEqual({
      ...{ considered: 4, unchanged: 1, undecidable: 3, undecidable_because: { not_kept: 3 }, changes: [], next: null },
    });
  });

  it('looks back no further than it is asked to', async () => {
    const { body } = await replay(PEOPLE + AGENTS, { after: '9999999999.9999999999.1' });
    expect(body).toMatchObject({ considered: 0, next: null });
  });

  it('is refused whole for a flaw, with file, line and column', async () => {
    const { status, body } = await replay('permit (principal, action resource);');
    expect([status, body]).toMatchObject([
      400,
      { code: 'invalid_field', param: expect.stringMatching(/^files candidate\.cedar:1:\d+/) },
    ]);
  });

  it('is printed as a table by the command', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'writ-replay-'));
    writeFileSync(join(directory, 'candidate.cedar'), `${PEOPLE}${AGENTS}${limit(1)}`);
    const { code, lines } = await writ('policy', 'replay', '--since', '7d', directory);
    rmSync(directory, { recursive: true });
    expect([code, ...lines.map((line) => line.split(/ {2,}/))]).toEqual([
      0,
      ['FROM', 'TO', 'AGENT', 'PERSON', 'TOOL', 'COUNT', 'EXAMPLES'],
      ['allow', 'deny', world.a1.id, person, PAY, '2', `${decided['100'] ?? ''} ${decided['400'] ?? ''}`],
      [''],
      ['considered: 4, unchanged: 2, changed: 2'],
      ['undecidable: 0'],
    ]);
  });
});

describe('of arguments', () => {
  it('the kept inputs hold what a policy names, and neither what none names nor what is sensitive', async () => {
    const store = openDecisionInputs(world.writ.database, {
      clock: { now: () => Math.floor(Date.now() / 1000) },
      encryptionKeys: [Buffer.from(KEY, 'base64')],
      days: 7,
      watch: () => undefined,
      report: () => undefined,
    });
    const { past } = await store.page(0, { limit: 10 });
    expect(past.map(({ kept }) => kept?.arguments)).toEqual([
      undefined,
      { seen: { amount: 100 }, covered: { amount: true } },
      { seen: { amount: 400 }, covered: { amount: true } },
      { seen: { amount: 600 }, covered: { amount: true } },
    ]);
    expect(JSON.stringify(past)).not.toContain(CANARY);
  });
});

describe('a long past', () => {
  it('decides over all of them in calls of 5,000, as the command does by itself', async () => {
    const copied = await world.writ.database.prisma.$executeRawUnsafe(
      `INSERT INTO decision_input (decision, at, agent, person, server, tool, outcome, policy, sealed, expires_at)
       SELECT decision, at, agent, person, server, tool, outcome, policy, sealed, expires_at
       FROM decision_input, generate_series(1, 1500)`,
    );
    expect(copied).toBe(6_000);
    const first = await replay(PEOPLE + AGENTS + limit(1));
    const { next, ...part } = first.body as { next: string; considered: number };
    expect([part.considered, next]).toEqual([5_000, expect.stringMatching(/^\d+\.\d+\.\d+$/)]);
    const second = await replay(PEOPLE + AGENTS + limit(1), { after: next });
    expect(second.body).toMatchObject({ considered: 1_004, next: null });
    const directory = mkdtempSync(join(tmpdir(), 'writ-replay-'));
    writeFileSync(join(directory, 'candidate.cedar'), '');
    const { code, lines } = await writ('policy', 'replay', directory);
    rmSync(directory, { recursive: true });
    expect([code, ...lines.slice(-2)]).toEqual([
      0,
      'considered: 6004, unchanged: 3002, changed: 3002',
      'undecidable: 0',
    ]);
    await world.writ.database.prisma.$executeRawUnsafe(
      'DELETE FROM decision_input WHERE id NOT IN (SELECT min(id) FROM decision_input GROUP BY decision)',
    );
  }, 60_000);
});

describe('what the commit refuses', () => {
  it('is no decision of the policies, and nothing is kept of it', async () => {
    const form = await world.form();
    const { client_assertion, client_assertion_type } = form;
    const elsewhere = { client_assertion, client_assertion_type, token: 'unknown' };
    expect((await world.post('/revoke', elsewhere)).status).toBe(200);
    expect((await world.post('/token', form)).status).toBe(401);
    await world.writ.flush();
    const kept = await world.writ.database.prisma.$queryRawUnsafe('SELECT DISTINCT decision FROM decision_input');
    expect(kept).toHaveLength(4);
  });
});

describe('operators', () => {
  it('see how many inputs were kept and dropped', async () => {
    const { text } = await request(`${world.issuer}/metrics`, {});
    expect(text).toContain('# TYPE writ_decision_inputs_total counter\n');
    expect(text).toMatch(/^writ_decision_inputs_total\{outcome="kept"\} 4$/m);
  });
});

describe('when the past is gone', () => {
  it('a tool that was reviewed with another schema, or removed, is undecidable', async () => {
    const changed = reviewedTool('pay', { scopes: ['bank:pay'], tier: 'medium', action: 'pay' });
    await activate(world, PEOPLE + AGENTS);
    await world.admin('POST', '/apply', { servers: [{ ...bank, tools: [changed] }] });
    expect((await replay(PEOPLE + AGENTS)).body).toMatchObject({
      ...{ considered: 4, unchanged: 1, undecidable: 3, undecidable_because: { tool_changed: 3 }, changes: [] },
    });
    await world.admin('POST', '/apply', { servers: [{ ...bank, tools: [] }] });
    expect((await replay(PEOPLE + AGENTS)).body).toMatchObject({
      ...{ considered: 4, undecidable: 3, undecidable_because: { tool_gone: 3 } },
    });
  });

  it('by erasing it for a person, nothing of them is considered any more', async () => {
    expect(await writ('policy', 'erase-inputs', person)).toEqual({ code: 0, lines: ['{"erased":4}'] });
    const again = await world.admin('DELETE', `/policies/inputs?person=${person}`);
    expect([again.status, again.body]).toEqual([200, { erased: 0 }]);
    expect((await replay(PEOPLE + AGENTS)).body).toMatchObject({ considered: 0 });
    expect((await world.admin('DELETE', '/policies/inputs')).status).toBe(400);
  });
});
