import { expect, it } from '@jest/globals';
import { leafFlaws, readRecord } from '../../src/audit/index.js';
import { personCommitment } from '../../src/protocol/index.js';
import { openAccountablePeople, openPersonNames, openPersons } from '../../src/storage/index.js';
import { describeDatabases } from '../support/databases.js';

const ISSUER = 'https://idp.example';
const clock = { now: () => 1_795_305_600 };

describeDatabases('who the people of the log are', (database) => {
  const names = () => openPersonNames(database(), clock);
  const people = () => openPersons(database(), clock);
  const accountable = () => openAccountablePeople(database(), people(), clock);
  const records = async (about: string) => {
    const rows = await database().prisma.logLeaf.findMany({ orderBy: { id: 'asc' } });
    expect(rows.flatMap(({ leaf }) => leafFlaws(leaf))).toEqual([]);
    return rows.flatMap(({ leaf }) => readRecord(leaf) ?? []).filter(({ facts }) => facts['person'] === about);
  };

  it('is in the log at the first meeting as a commitment, once, and opens with the salt', async () => {
    const visits = await Promise.all(
      Array.from({ length: 4 }, () => people().ensure(ISSUER, 'alice', { name: 'Alice' })),
    );
    const [{ id } = { id: '' }] = visits;
    const written = await records(id);
    expect(written).toHaveLength(1);
    const opening = (await names().openings([id]))[id];
    expect(opening).toEqual({ issuer: ISSUER, subject: 'alice', salt: expect.stringMatching(/^[\w-]{22}$/) });
    expect(written[0]).toMatchObject({
      kind: 'authentication',
      facts: {
        what: 'met',
        person: id,
        met: personCommitment(opening?.salt ?? '', { issuer: ISSUER, subject: 'alice' }),
      },
      outcome: { decision: 'done', reason: 'met' },
    });
    expect(JSON.stringify(written)).not.toMatch(/alice/i);
    expect(personCommitment(opening?.salt ?? '', { issuer: ISSUER, subject: 'bob' })).not.toBe(
      written[0]?.facts['met'],
    );
  });

  it('is found by issuer and subject, and by nothing less', async () => {
    const { id } = await people().ensure(ISSUER, 'bob', {});
    expect(await names().find(ISSUER, 'bob')).toEqual({
      id,
      issuer: ISSUER,
      subject: 'bob',
      status: 'active',
      groups: [],
    });
    expect(await names().find('https://other.example', 'bob')).toBeUndefined();
  });

  it('AU-13: is erased with name, attributes and salt, ends what was granted, and the record of it stays', async () => {
    const { id } = await people().ensure(ISSUER, 'carol', { name: 'Carol', email: 'carol@corp.example' });
    await database().prisma.engineRecord.create({
      data: { key: 'grant-of-carol', model: 'Grant', payload: { accountId: id } },
    });
    expect(await names().erase(id, 'admin-token')).toBe('erased');
    expect(await names().erase(id, 'admin-token')).toBe('unknown');
    expect(await names().openings([id])).toEqual({});
    expect(await people().byId(id)).toBeUndefined();
    expect(await database().prisma.engineRecord.count({ where: { key: 'grant-of-carol' } })).toBe(0);
    expect(await database().prisma.revocation.count({ where: { target: `person:${id}` } })).toBe(1);
    expect((await records(id)).map(({ facts }) => facts)).toEqual([
      { what: 'met', person: id, met: expect.stringMatching(/^[\w-]{43}$/) },
      { what: 'erased', person: id, by: 'admin-token' },
    ]);
  });

  it.each(['disabled', 'erased'] as const)('ends with all their sessions, and those below, when %s', async (how) => {
    const { id } = await people().ensure(ISSUER, `session-of-${how}`, {});
    const [mine, below, another] = [`ses_${how}_mine`, `ses_${how}_below`, `ses_${how}_another`];
    const rows = [
      { id: mine, personId: id, parentId: null },
      { id: below, personId: id, parentId: mine },
      { id: another, personId: 'prs_another', parentId: null },
    ];
    for (const row of rows) {
      const opened = { runKey: `run of ${row.id}`, agentId: 'agt_a', status: 'active', lastSequence: 1 };
      const expiresAt = new Date(Date.now() + 3_600_000);
      await database().prisma.agentSession.create({ data: { ...opened, ...row, expiresAt } });
    }
    if (how === 'erased') expect(await names().erase(id, 'admin-token')).toBe('erased');
    else expect(await accountable().setStatus(id, 'disabled', 'admin-token')).toBe('done');
    const sessions = await database().prisma.agentSession.findMany({
      where: { id: { in: rows.map((row) => row.id) } },
      orderBy: { id: 'asc' },
    });
    expect(sessions.map((row) => [row.id, row.status, row.endedBy, row.endedReason, row.lastSequence])).toEqual([
      [another, 'active', null, null, 1],
      [below, 'ended', 'admin-token', how, 2],
      [mine, 'ended', 'admin-token', how, 2],
    ]);
    const numbered = await database().prisma.revocation.findMany({ where: { target: { contains: `_${how}_` } } });
    expect(numbered.map(({ target }) => target).sort()).toEqual([`session:${below}`, `session:${mine}`]);
  });

  it('AU-13: is somebody else when they come again', async () => {
    const { id } = await people().ensure(ISSUER, 'dora', {});
    await names().erase(id, 'admin-token');
    const again = await people().ensure(ISSUER, 'dora', {});
    expect(again.id).not.toBe(id);
    const [before, after] = await Promise.all([records(id), records(again.id)]);
    expect(after[0]?.facts['met']).not.toBe(before[0]?.facts['met']);
  });
});
