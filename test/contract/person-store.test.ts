import { expect, it } from '@jest/globals';
import { systemClock } from '../../src/base/index.js';
import { openPeople, openPersons, readAcquaintance } from '../../src/storage/index.js';
import { describeDatabases } from '../support/databases.js';

const ISSUER = 'https://idp.example';

describeDatabases('people', (database) => {
  const people = () => openPersons(database(), systemClock);

  it('makes a person at the first visit and finds the same one afterwards', async () => {
    const made = await people().ensure(ISSUER, 'alice', { name: 'Alice', email: 'alice@corp.example' });
    expect(made).toEqual({
      id: expect.stringMatching(/^prs_[\w-]{22}$/),
      issuer: ISSUER,
      subject: 'alice',
      status: 'active',
      attributes: { name: 'Alice', email: 'alice@corp.example' },
      groups: [],
    });
    expect(await people().ensure(ISSUER, 'alice', { name: 'Alice' })).toEqual(made);
    expect(await people().byId(made.id)).toEqual(made);
    expect(await people().byIssuerSubject(ISSUER, 'alice')).toEqual(made);
  });

  it('keeps the newest groups, and those that are there where nobody says any', async () => {
    const groupsAfter = async (groups?: readonly string[]): Promise<readonly string[]> =>
      (await people().ensure(ISSUER, 'gina', { name: 'Gina' }, groups)).groups;
    expect(await groupsAfter(['finance', 'owners'])).toEqual(['finance', 'owners']);
    expect(await groupsAfter()).toEqual(['finance', 'owners']);
    expect(await groupsAfter(['owners'])).toEqual(['owners']);
    expect(await groupsAfter([])).toEqual([]);
  });

  it('keeps the newest attributes and the same id', async () => {
    const { id } = await people().ensure(ISSUER, 'bob', { name: 'Bob', email: 'bob@corp.example' });
    const renamed = {
      id,
      issuer: ISSUER,
      subject: 'bob',
      status: 'active',
      attributes: { name: 'Robert', email: 'bob@corp.example' },
      groups: [],
    };
    expect(await people().ensure(ISSUER, 'bob', { name: 'Robert' })).toEqual(renamed);
    expect(await people().byId(id)).toEqual(renamed);
  });

  it('tells the exchange what is known of a person, some seconds old at most, and nothing of one that is not there', async () => {
    const { id } = await people().ensure(ISSUER, 'dora', { name: 'Dora' });
    let now = 1_795_305_600;
    const seen = openPeople(people(), { now: () => now }, readAcquaintance(database()));
    const attributes = async (of: string): Promise<unknown> => (await seen.known(of, undefined)).attributes;
    expect(await attributes(id)).toEqual({ name: 'Dora' });
    await people().ensure(ISSUER, 'dora', { name: 'Dorothea' });
    expect(await attributes(id)).toEqual({ name: 'Dora' });
    now += 5;
    expect(await attributes(id)).toEqual({ name: 'Dorothea' });
    expect(await attributes('prs_none')).toEqual({});
  });

  it('asks once for a person and the session of a run, again after five seconds, and each time while there is no session', async () => {
    const { id } = await people().ensure(ISSUER, 'edna', { name: 'Edna' });
    let [now, asked] = [1_795_305_600, 0];
    const read: ReturnType<typeof readAcquaintance> = (...about) => {
      asked += 1;
      return readAcquaintance(database())(...about);
    };
    const seen = openPeople(people(), { now: () => now }, read);
    const run = { key: 'edna-run' };
    const unopened = { attributes: { name: 'Edna' }, session: { opened: undefined, above: [] } };
    expect([await seen.known(id, run), await seen.known(id, run)]).toMatchObject([unopened, unopened]);
    expect(asked).toBe(2);
    const [expiresAt, openedAt] = [new Date(Date.now() + 60_000), new Date(1_795_305_000_000)];
    const session = { personId: id, agentId: 'agt_e', status: 'active', expiresAt, openedAt, lastSequence: 1 };
    await database().prisma.agentSession.create({
      data: { ...session, id: 'ses_top', runKey: 'edna-top', acr: 'phr' },
    });
    await database().prisma.agentSession.create({
      data: { ...session, id: 'ses_low', runKey: 'edna-run', acr: 'pwd', purpose: 'report', parentId: 'ses_top' },
    });
    const opened = { at: 1_795_305_000, purpose: 'report', acr: 'pwd' };
    const open = { attributes: { name: 'Edna' }, session: { opened, above: ['phr'] } };
    expect([await seen.known(id, run), await seen.known(id, run)]).toMatchObject([open, open]);
    expect(asked).toBe(3);
    now += 5;
    expect(await seen.known(undefined, run)).toMatchObject({ ...open, attributes: {} });
    expect(await seen.known(undefined, { session: 'ses_low' })).toMatchObject({ ...open, attributes: {} });
    seen.forget(run);
    await database().prisma.agentSession.update({ where: { id: 'ses_low' }, data: { status: 'ended' } });
    expect(await seen.known(id, { key: 'edna-run', above: 'ses_top' })).toMatchObject({
      session: { opened: undefined, above: ['phr'] },
    });
  });

  it('tells people of one subject at two issuers apart', async () => {
    const one = await people().ensure(ISSUER, 'carol', {});
    const other = await people().ensure('https://other.example', 'carol', {});
    expect(other.id).not.toBe(one.id);
  });

  it('makes one person of twenty first visits at once', async () => {
    const visits = Array.from({ length: 20 }, () => people().ensure(ISSUER, 'dave', { name: 'Dave' }));
    expect(new Set((await Promise.all(visits)).map(({ id }) => id)).size).toBe(1);
    expect(await database().prisma.person.count({ where: { subject: 'dave' } })).toBe(1);
  });

  it('knows nobody by an id or a pair that it has not made', async () => {
    expect(await people().byId('prs_nobody')).toBeUndefined();
    expect(await people().byIssuerSubject(ISSUER, 'nobody')).toBeUndefined();
  });
});
