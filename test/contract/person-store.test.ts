import { expect, it } from '@jest/globals';
import { systemClock } from '../../src/base/index.js';
import { openPeople, openPersons } from '../../src/storage/index.js';
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
    });
    expect(await people().ensure(ISSUER, 'alice', { name: 'Alice' })).toEqual(made);
    expect(await people().byId(made.id)).toEqual(made);
    expect(await people().byIssuerSubject(ISSUER, 'alice')).toEqual(made);
  });

  it('keeps the newest attributes and the same id', async () => {
    const { id } = await people().ensure(ISSUER, 'bob', { name: 'Bob', email: 'bob@corp.example' });
    const renamed = {
      id,
      issuer: ISSUER,
      subject: 'bob',
      status: 'active',
      attributes: { name: 'Robert', email: 'bob@corp.example' },
    };
    expect(await people().ensure(ISSUER, 'bob', { name: 'Robert' })).toEqual(renamed);
    expect(await people().byId(id)).toEqual(renamed);
  });

  it('tells the exchange what is known of a person, some seconds old at most, and nothing of one that is not there', async () => {
    const { id } = await people().ensure(ISSUER, 'dora', { name: 'Dora' });
    let now = 1_795_305_600;
    const seen = openPeople(people(), { now: () => now });
    expect(await seen.attributes(id)).toEqual({ name: 'Dora' });
    await people().ensure(ISSUER, 'dora', { name: 'Dorothea' });
    expect(await seen.attributes(id)).toEqual({ name: 'Dora' });
    now += 5;
    expect(await seen.attributes(id)).toEqual({ name: 'Dorothea' });
    expect(await seen.attributes('prs_none')).toEqual({});
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
