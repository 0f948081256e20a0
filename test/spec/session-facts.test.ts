import { beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { activate } from '../support/policies.js';
import { ownWorld, RS1, tool, tools } from '../support/world.js';
import { type Form, type Reply, tokenOf } from '../support/writ.js';

const POLICIES = `
@id("all") permit (principal, action, resource);

@id("young-sessions") @reason("After an hour a session only reads on.")
forbid (principal, action == Action::"${RS1}#list_files", resource)
when { context.session has age && context.session.age > 3600 };

@id("purpose") forbid (principal, action == Action::"${RS1}#write_file", resource)
unless { context.session has purpose && context.session.purpose == "publish-report" };

@id("first-a-read") forbid (principal, action == Action::"${RS1}#write_file", resource)
when { context.session has state && context.session.state == "new" };

@id("strong-throughout") forbid (principal, action == Action::"${RS1}#delete_repo", resource)
unless { context.session has acr && context.session.acr == "phr" };

@id("not-below") forbid (principal is Agent, action == Action::"${RS1}#read_file", resource)
when { context.session has depth && context.session.depth > 0 };

@id("keys-only") forbid (principal, action == Action::"${RS1}#list_files", resource)
unless { context.chain has authentication && context.chain.authentication == "private_key_jwt" };`;

const world = await ownWorld();
const { agentSession } = world.writ.database.prisma;
beforeAll(() => activate(world, POLICIES));

const sessionOf = (answer: Reply): string => decodeJwt<{ writ: { session: string } }>(tokenOf(answer)).writ.session;
const asking = (name: string, subject_token: string, more: Form = {}): Promise<Reply> =>
  world.exchange({ subject_token, authorization_details: tools(tool(name, { arguments: {} })), ...more });
const forbidden = (name: string, policy: string): object => ({
  error: 'transaction_denied',
  error_description: `a policy forbids ${name} here`,
  policies: [policy],
});

describe('policies see of the agent session', () => {
  it('how long ago it was opened, which is nothing for the exchange that opens it', async () => {
    const subject_token = await world.personToken('alice');
    const opened = await asking('list_files', subject_token);
    expect(opened.status).toBe(200);
    const openedAt = new Date(Date.now() - 3_700_000);
    await agentSession.update({ where: { id: sessionOf(opened) }, data: { openedAt } });
    expect((await asking('list_files', subject_token)).body).toMatchObject({
      ...forbidden('list_files', 'young-sessions'),
      reasons: ['After an hour a session only reads on.'],
    });
    expect(sessionOf(await asking('read_file', subject_token))).toBe(sessionOf(opened));
  });

  it('that another one has begun as soon as the one before is over', async () => {
    const subject_token = await world.personToken('erin');
    const before = sessionOf(await asking('read_file', subject_token));
    await agentSession.update({ where: { id: before }, data: { openedAt: new Date(Date.now() - 3_700_000) } });
    expect((await asking('list_files', subject_token)).body).toMatchObject(forbidden('list_files', 'young-sessions'));
    await agentSession.update({ where: { id: before }, data: { idleUntil: new Date(Date.now() - 1_000) } });
    const after = sessionOf(await asking('read_file', subject_token));
    expect(after).not.toBe(before);
    expect(sessionOf(await asking('list_files', subject_token))).toBe(after);
  });

  it('what it was opened for, and whether this exchange would open it', async () => {
    const subject_token = await world.personToken('bob');
    const request_details = JSON.stringify({ purpose: 'publish-report' });
    expect((await asking('write_file', subject_token, { request_details })).body).toMatchObject(
      forbidden('write_file', 'first-a-read'),
    );
    expect((await asking('read_file', subject_token, { request_details })).status).toBe(200);
    expect((await asking('write_file', subject_token)).status).toBe(200);
    const other = await world.personToken('bob', { sid: 'another' });
    expect((await asking('read_file', other)).status).toBe(200);
    expect((await asking('write_file', other, { request_details })).body).toMatchObject(
      forbidden('write_file', 'purpose'),
    );
  });

  it('the weakest link of how the person was authenticated, whatever stronger token comes later', async () => {
    const by = (acr: string, sid = 'carol-1'): Promise<string> => world.personToken('carol', { acr, sid });
    expect((await asking('delete_repo', await by('phr'))).status).toBe(200);
    expect((await asking('delete_repo', await by('phr'))).status).toBe(200);
    expect((await asking('list_files', await by('pwd'))).status).toBe(200);
    expect((await asking('delete_repo', await by('phr'))).body).toMatchObject(
      forbidden('delete_repo', 'strong-throughout'),
    );
    expect((await asking('delete_repo', await by('phr', 'carol-2'))).status).toBe(200);
  });

  it('how many sessions it is below', async () => {
    const subject_token = await world.personToken('dave');
    const wide = { resource: undefined, audience: 'agt_a2', authorization_details: undefined, scope: 'repo:read' };
    const handed = tokenOf(await world.exchange({ subject_token, ...wide }));
    const below = (name: string): Promise<Reply> =>
      world.exchange({ subject_token: handed, authorization_details: tools(tool(name)) }, world.a2);
    expect((await below('list_files')).status).toBe(200);
    expect((await below('read_file')).body).toMatchObject(forbidden('read_file', 'not-below'));
    expect((await asking('read_file', subject_token)).status).toBe(200);
  });
});
