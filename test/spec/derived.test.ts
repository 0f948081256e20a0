import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt, SignJWT } from 'jose';
import pg from 'pg';
import { reevaluated } from '../support/invariants.js';
import { type Client, RS1, RS2, startWorld, tool, tools, type World } from '../support/world.js';
import { bearerAssertion, type Form, type Reply, tokenOf, answerOf } from '../support/writ.js';

let world: World;
beforeAll(async () => {
  world = await startWorld();
  await change('agents', 'agt_a2', (agent) => ({ ...agent, hand_over_to: ['agt_a1'], transaction_tokens: true }));
  await change('servers', RS1, (server) => ({
    ...server,
    allow: [{ resource: RS2, scopes: ['repo:read', 'repo:write'], tools: '*' }],
  }));
});
afterAll(async () => {
  await world.close();
  expect(world.faults).toEqual([]);
});

const as = async (path: string, by: Client, form: Form): Promise<Reply> =>
  world.post(path, { ...(await bearerAssertion(world.issuer, by)), ...form });
const isActive = async (token: string, by: Client): Promise<unknown> =>
  ((await as('/introspect', by, { token })).body as { active: boolean }).active;
async function change(
  kind: string,
  id: string,
  edit: (object: Record<string, unknown>) => Record<string, unknown>,
): Promise<void> {
  const path = `/${kind}/${encodeURIComponent(id)}`;
  const answer = await world.admin('PUT', path, edit((await world.admin('GET', path)).body as Record<string, unknown>));
  if (answer.status >= 300) throw new Error(answer.text);
}

const NOT_ACCEPTABLE = [400, { error: 'invalid_request', error_description: 'subject_token is not acceptable' }];
const HAND_OVER: Form = {
  resource: undefined,
  audience: 'agt_a2',
  authorization_details: undefined,
  scope: 'repo:read',
};
const DOMAIN: Form = { resource: undefined, audience: 'trust.example', authorization_details: undefined };
const RECEIVED = 'urn:ietf:params:oauth:token-type:txn_access_token';
const TRANSACTION = 'urn:ietf:params:oauth:token-type:txn_token';

describe('what descends from a token ends with it, however many generations down', () => {
  it('by a hand-over: the token of the sub-agent is inactive, and the hand-over is exchanged no more', async () => {
    const handed = tokenOf(await world.exchange(HAND_OVER));
    const child = tokenOf(await world.exchange({ subject_token: handed }, world.a2));
    await as('/revoke', world.a1, { token: handed });
    expect(await isActive(child, world.rs1)).toBe(false);
    expect(answerOf(await world.exchange({ subject_token: handed }, world.a2))).toEqual(NOT_ACCEPTABLE);
  });

  it('by two exchanges: a grandchild is inactive, and nothing is made from the child', async () => {
    const received = tokenOf(await world.exchange());
    const domain = tokenOf(
      await world.exchange({ ...DOMAIN, subject_token: received, subject_token_type: RECEIVED }, world.rs1),
    );
    const again: Form = { ...DOMAIN, subject_token: domain, subject_token_type: TRANSACTION };
    const grandchild = tokenOf(await world.exchange(again, world.rs2));
    await as('/revoke', world.a1, { token: received });
    expect(await isActive(domain, world.rs1)).toBe(false);
    expect(await isActive(grandchild, world.rs1)).toBe(false);
    expect(answerOf(await world.exchange(again, world.rs2))).toEqual(NOT_ACCEPTABLE);
  });
});

describe('a transaction goes forward only', () => {
  const exact: Form = { authorization_details: tools(tool('delete_repo', { arguments: { repo: 'x' } })) };

  it('CH-03: a call that it has made is not made again by tokens derived from it', async () => {
    const received = tokenOf(await world.exchange(exact));
    const domain = tokenOf(
      await world.exchange({ ...DOMAIN, subject_token: received, subject_token_type: RECEIVED }, world.rs1),
    );
    await change('servers', RS2, (server) => ({
      ...server,
      allow: [{ resource: RS1, scopes: ['repo:write', 'repo:read'], tools: '*' }],
    }));
    const back = await world.exchange({ ...exact, subject_token: domain, subject_token_type: TRANSACTION }, world.rs2);
    expect(answerOf(back)).toEqual([
      400,
      { error: 'transaction_denied', error_description: 'this transaction has called that tool already' },
    ]);
  });

  it('lets the server that it reached go on to another, within its own ceiling, with tools of tier low only', async () => {
    const received = tokenOf(await world.exchange());
    const onward: Form = { subject_token: received, subject_token_type: RECEIVED, resource: RS2 };
    const answer = await world.exchange(
      { ...onward, authorization_details: tools(tool('list_files', {}, RS2)) },
      world.rs1,
    );
    expect(decodeJwt(tokenOf(answer))).toMatchObject({
      aud: RS2,
      client_id: 'srv_one',
      scope: 'repo:read',
      act: { sub: 'srv_one', sub_profile: 'service', act: { sub: 'agt_a1' } },
      tctx: { call_chain: [{ wl: 'agt_a1' }, { wl: RS1, tool: 'read_file' }, { wl: RS2, tool: 'list_files' }] },
    });
    const wide = tokenOf(await world.exchange({ ...DOMAIN, scope: 'repo:read repo:write' }));
    const risky = {
      subject_token: wide,
      subject_token_type: TRANSACTION,
      resource: RS2,
      authorization_details: tools(tool('write_file', {}, RS2)),
    };
    expect(answerOf(await world.exchange(risky, world.rs1))).toEqual([
      400,
      { error: 'invalid_authorization_details', error_description: 'the tool write_file is not granted here' },
    ]);
  });

  it('names the redeemer of a hand-over in act, also in a token for the trust domain', async () => {
    const handed = tokenOf(await world.exchange(HAND_OVER));
    const answer = await world.exchange({ ...DOMAIN, subject_token: handed, scope: 'repo:read' }, world.a2);
    expect(decodeJwt(tokenOf(answer))).toMatchObject({ act: { sub: 'agt_a2', act: { sub: 'agt_a1' } } });
  });

  it('is replaced by members of the trust domain only', async () => {
    const token = tokenOf(await world.exchange({ ...DOMAIN, scope: 'repo:read' }));
    await change('servers', RS2, (server) => ({ ...server, transaction_tokens: false }));
    const form: Form = { ...DOMAIN, subject_token: token, subject_token_type: TRANSACTION };
    expect(answerOf(await world.exchange(form, world.rs2))).toEqual(NOT_ACCEPTABLE);
    await change('servers', RS2, (server) => ({ ...server, transaction_tokens: true }));
    expect((await world.exchange(form, world.rs2)).status).toBe(200);
  });
});

describe('life and standing', () => {
  it('ends with the actor token, when that is the first to end', async () => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: 'agt_a1', sub: 'agt_a1/run', aud: world.issuer, jti: randomUUID(), iat: now, exp: now + 20 };
    const signer = new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: world.a1.key.jwk.kid ?? '' });
    const actor_token = await signer.sign(world.a1.key.privateKey);
    const answer = await world.exchange({ actor_token, actor_token_type: 'urn:ietf:params:oauth:token-type:jwt' });
    expect(decodeJwt(tokenOf(answer)).exp).toBe(now + 20);
  });

  it('ends at introspection with the person, and with the issuer that vouches for the person', async () => {
    const subject_token = await world.personToken('judy');
    const [token, handed] = [
      tokenOf(await world.exchange({ subject_token })),
      tokenOf(await world.exchange({ ...HAND_OVER, subject_token })),
    ];
    expect(await isActive(token, world.rs1)).toBe(true);
    await change('issuers', 'https://company.example', (issuer) => ({ ...issuer, status: 'disabled' }));
    expect(await isActive(token, world.rs1)).toBe(false);
    expect(answerOf(await world.exchange({ subject_token: handed }, world.a2))).toEqual(NOT_ACCEPTABLE);
    await change('issuers', 'https://company.example', (issuer) => ({ ...issuer, status: 'active' }));
    expect(await isActive(token, world.rs1)).toBe(false);
    await world.minutePasses();
    const younger = tokenOf(await world.exchange({ subject_token: await world.personToken('judy') }));
    expect(await isActive(younger, world.rs1)).toBe(true);
    await disablePerson('judy');
    expect(await isActive(younger, world.rs1)).toBe(false);
    // What follows shows tokens of the same issuer: they have to be younger than its cut-off.
    await world.minutePasses();
  });

  it('of a hand-over ends for good when its maker may hand over to that agent no more', async () => {
    const handed = tokenOf(await world.exchange(HAND_OVER));
    await change('agents', 'agt_a1', (agent) => ({ ...agent, hand_over_to: [] }));
    expect(answerOf(await world.exchange({ subject_token: handed }, world.a2))).toEqual(NOT_ACCEPTABLE);
    await reevaluated(world);
    await change('agents', 'agt_a1', (agent) => ({ ...agent, hand_over_to: ['agt_a2'] }));
    expect(answerOf(await world.exchange({ subject_token: handed }, world.a2))).toEqual(NOT_ACCEPTABLE);
    const anew = tokenOf(await world.exchange(HAND_OVER));
    expect((await world.exchange({ subject_token: anew }, world.a2)).status).toBe(200);
  });

  it('of a removed agent is not inherited by whoever gets its client id', async () => {
    const subject_token = await world.personToken('alice');
    const before = decodeJwt<{ writ: { session: string } }>(tokenOf(await world.exchange({ subject_token }))).writ
      .session;
    const agent = (await world.admin('GET', '/agents/agt_a1')).body as Record<string, unknown>;
    const issuer = (await world.admin('GET', `/issuers/${encodeURIComponent('https://company.example')}`))
      .body as Record<string, unknown>;
    const other = (await world.admin('GET', '/agents/agt_a2')).body as Record<string, unknown>;
    await world.admin('PUT', '/agents/agt_a2', { ...other, hand_over_to: [] });
    await world.admin('PUT', `/issuers/${encodeURIComponent('https://company.example')}`, { ...issuer, agents: [] });
    expect((await world.admin('DELETE', '/agents/agt_a1')).status).toBeLessThan(300);
    expect((await world.admin('PUT', '/agents/agt_a1', agent)).status).toBeLessThan(300);
    await world.admin('PUT', `/issuers/${encodeURIComponent('https://company.example')}`, issuer);
    expect((await world.admin('GET', `/sessions/${before}`)).body).toMatchObject({
      status: 'ended',
      ended_by: 'registry',
    });
    expect(answerOf(await world.exchange({ subject_token }))).toEqual(NOT_ACCEPTABLE);
  });
});

async function disablePerson(subject: string): Promise<void> {
  const statement = `UPDATE person SET status = 'disabled' WHERE subject = '${subject}'`;
  if (world.config.databaseUrl === undefined) {
    await world.writ.database.prisma.$executeRawUnsafe(statement);
    return;
  }
  const client = new pg.Client({ connectionString: world.config.databaseUrl });
  await client.connect();
  await client.query(statement);
  await client.end();
}
