import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose';
import { activate } from '../support/policies.js';
import { ownWorld, RS1, tool, tools } from '../support/world.js';
import { bearerAssertion, type Reply, request, tokenOf } from '../support/writ.js';

const EVERYTHING =
  '@id("people") permit (principal is Person, action, resource);\n@id("agents") permit (principal is Agent, action, resource);\n';
const NO_READS = `${EVERYTHING}@id("no-reads") forbid (principal, action == Action::"https://mcp1.example#read_file", resource);\n`;
const INACTIVE = { active: false };

const world = await ownWorld();
await activate(world, EVERYTHING);

type Claims = JWTPayload &
  Readonly<{
    sub: string;
    txn: string;
    exp: number;
    iat: number;
    jti: string;
    writ: Readonly<{ session: string; decision: string; policy: string }>;
  }>;
type Begun = Readonly<{ token: string; claims: Claims }>;

/** A token whose call goes on after its end, which has come. */
async function longCall(person: string, life = 8): Promise<Begun> {
  const exp = Math.floor(Date.now() / 1_000) + life;
  const token = tokenOf(
    await world.exchange({
      subject_token: await world.personToken(person, { exp }),
      authorization_details: tools(tool('read_file')),
    }),
  );
  const claims = decodeJwt<Claims>(token);
  while (Date.now() <= claims.exp * 1_000) await pause(50);
  return { token, claims };
}
const renew = async ({ token }: Begun): Promise<Reply> =>
  world.post('/introspect', { ...(await bearerAssertion(world.issuer, world.rs1)), token, running: 'read_file' });
const runsOn = async (call: Begun): Promise<boolean> => {
  const { body } = await renew(call);
  return typeof (body as { run_until?: number }).run_until === 'number';
};

type Entry = Readonly<{ facts: Record<string, unknown>; outcome: Record<string, unknown> }>;
async function renewals({ claims }: Begun): Promise<readonly Entry[]> {
  const { body } = await world.admin('GET', `/log?txn=${claims.txn}&kind=introspection`);
  return (body as { items: readonly Entry[] }).items;
}
const reasons = async (call: Begun): Promise<readonly unknown[]> =>
  (await renewals(call)).map(({ outcome }) => [outcome['decision'], outcome['reason']]);

describe('a call that runs on', () => {
  it('does so after the key that signed its token was rotated away and is published no more', async () => {
    const call = await longCall('alice');
    const { kid } = decodeProtectedHeader(call.token);
    const published = async (): Promise<unknown> =>
      ((await request(`${world.issuer}/jwks`, {})).body as { keys: { kid: string }[] }).keys.map((key) => key.kid);
    await world.admin('POST', '/keys/rotate', { reason: 'test', activate_after_seconds: 0 });
    await world.writ.database.prisma.$executeRawUnsafe(
      `UPDATE signing_key SET published_until = clock_timestamp() WHERE kid = '${String(kid)}' AND state = 'retired'`,
    );
    for (const end = Date.now() + 20_000; Date.now() < end && String(await published()).includes(String(kid));)
      await pause(50);
    expect(await published()).not.toContain(kid);
    expect(await runsOn(call)).toBe(true);
    const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token: call.token };
    expect((await world.post('/introspect', form)).body).toEqual(INACTIVE);
    await world.admin('POST', `/sessions/${call.claims.writ.session}/end`, { reason: 'test' });
    expect((await renew(call)).body).toEqual(INACTIVE);
  }, 60_000);

  it('is recorded in its session each time, with the decision that let it begin, and so is a refusal once that has ended', async () => {
    const call = await longCall('alice');
    expect(await runsOn(call)).toBe(true);
    const { session, decision } = call.claims.writ;
    await world.admin('POST', `/sessions/${session}/end`, { reason: 'test' });
    expect((await renew(call)).body).toEqual(INACTIVE);
    const facts = {
      what: 'renewal',
      request: expect.stringMatching(/^req_/),
      trace: null,
      client: 'srv_one',
      token: createHash('sha256').update(call.claims.jti).digest('base64url'),
      tool: 'read_file',
      until: expect.any(Number),
      decision,
      policy: call.claims.writ.policy,
      registry: expect.any(Number),
    };
    const outcome = { session, sequence: null, seen: 0 };
    expect((await renewals(call)).map((entry) => [entry.facts, entry.outcome])).toEqual([
      [facts, { decision: 'done', reason: 'renewed', ...outcome }],
      [facts, { decision: 'refuse', reason: 'not_live', ...outcome }],
    ]);
  }, 60_000);

  it('uses its session, never beyond the end of that, and is none of it once that may have its summary', async () => {
    const call = await longCall('bob', 14);
    const { prisma } = world.writ.database;
    const { session: id } = call.claims.writ;
    const before = new Date(Date.now() - 600_000);
    await prisma.agentSession.update({ where: { id }, data: { lastUsedAt: before } });
    expect(await runsOn(call)).toBe(true);
    expect((await prisma.agentSession.findUniqueOrThrow({ where: { id } })).lastUsedAt.getTime()).toBeGreaterThan(
      before.getTime(),
    );
    const soon = new Date(Math.floor(Date.now() / 1_000) * 1_000 + 9_500);
    await prisma.agentSession.update({ where: { id }, data: { expiresAt: soon } });
    expect((await renew(call)).body).toEqual({
      active: false,
      jti: call.claims.jti,
      run_until: Math.floor(soon.getTime() / 1_000),
    });
    await world.admin('POST', `/sessions/${id}/end`, { reason: 'test' });
    await prisma.agentSession.update({ where: { id }, data: { endedAt: before } });
    expect((await renew(call)).body).toEqual(INACTIVE);
    expect((await renewals(call)).map(({ outcome }) => outcome['session'])).toEqual([id, id, null]);
  }, 60_000);

  it('is decided by the policy set of now', async () => {
    const call = await longCall('carol');
    await activate(world, NO_READS);
    expect((await renew(call)).body).toEqual(INACTIVE);
    await activate(world, EVERYTHING);
    expect(await runsOn(call)).toBe(true);
    expect(await reasons(call)).toEqual([
      ['refuse', 'policy_forbids'],
      ['done', 'renewed'],
    ]);
  }, 60_000);

  it('is decided by the time of now', async () => {
    const call = await longCall('dan');
    const until = call.claims.exp + 1;
    const text = `${EVERYTHING}@id("in-time") forbid (principal, action, resource) when { context.time.now > datetime("${new Date(until * 1_000).toISOString().slice(0, 19)}Z") };\n`;
    await activate(world, text);
    while (Date.now() <= (until + 1) * 1_000) await pause(50);
    expect((await renew(call)).body).toEqual(INACTIVE);
    expect(await reasons(call)).toEqual([['refuse', 'policy_forbids']]);
    await activate(world, EVERYTHING);
  }, 60_000);

  it('is decided by the registry of now', async () => {
    const call = await longCall('erin');
    const path = `/agents/${world.a1.id}`;
    const { body } = await world.admin('GET', path);
    const { allow, ...rest } = body as { allow: readonly { tools: readonly string[] }[] };
    const write = (tools_: readonly string[]): Promise<Reply> =>
      world.admin('PUT', path, { ...rest, allow: allow.map((one) => ({ ...one, tools: tools_ })) });
    expect((await write(['list_files'])).status).toBe(200);
    expect((await renew(call)).body).toEqual(INACTIVE);
    expect((await write(allow[0]?.tools ?? [])).status).toBe(200);
    expect(await runsOn(call)).toBe(true);
    expect(await reasons(call)).toEqual([
      ['refuse', 'tool_not_granted'],
      ['done', 'renewed'],
    ]);
  }, 60_000);

  it('is refused when nothing is left of what the decision looked at', async () => {
    const call = await longCall('frank');
    await world.admin('DELETE', `/policies/inputs?person=${call.claims.sub}`);
    expect((await renew(call)).body).toEqual(INACTIVE);
    expect(await reasons(call)).toEqual([['refuse', 'undecidable']]);
  }, 60_000);

  it('is answered by an outage, never by yes, when it cannot be decided or recorded', async () => {
    const call = await longCall('grace');
    const { prisma } = world.writ.database;
    await prisma.$executeRawUnsafe('ALTER TABLE decision_input RENAME TO away');
    const undecided = await renew(call);
    await prisma.$executeRawUnsafe('ALTER TABLE away RENAME TO decision_input');
    await prisma.$executeRawUnsafe(
      `CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$`,
    );
    await prisma.$executeRawUnsafe('CREATE TRIGGER t BEFORE INSERT ON log_leaf FOR EACH ROW EXECUTE FUNCTION fail()');
    const unrecorded = await renew(call);
    await prisma.$executeRawUnsafe('DROP TRIGGER t ON log_leaf');
    expect([undecided.status >= 500, unrecorded.status]).toEqual([true, 503]);
    expect(world.faults.splice(0).length).toBeGreaterThanOrEqual(2);
    expect(await renewals(call)).toEqual([]);
    expect(await runsOn(call)).toBe(true);
  }, 60_000);

  it('keeps what it reserved of budgets for as long as it may run', async () => {
    const call = await longCall('heidi');
    const { prisma } = world.writ.database;
    const tokenHash = createHash('sha256').update(call.claims.jti).digest('base64url');
    const hold = {
      ...{ tokenHash, tool: 'read_file', account: 'a', sessionId: call.claims.writ.session, useKey: 'u', server: RS1 },
      ...{ toldBy: null, perUse: 1, uses: 1, expiresAt: new Date(call.claims.exp * 1_000) },
    };
    await prisma.budgetHold.createMany({ data: [hold, { ...hold, tool: 'list_files' }] });
    const { body } = await renew(call);
    const holds = await prisma.budgetHold.findMany({ where: { tokenHash }, orderBy: { tool: 'asc' } });
    const until = (body as { run_until: number }).run_until;
    expect(until).toBeGreaterThan(call.claims.exp);
    expect(holds.map(({ expiresAt }) => expiresAt.getTime() / 1_000)).toEqual([call.claims.exp, until]);
    await prisma.budgetHold.deleteMany({ where: { tokenHash } });
  }, 60_000);
});
