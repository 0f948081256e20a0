import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { COMPANY, ownWorld } from '../support/world.js';
import { bearerAssertion, request, tokenOf } from '../support/writ.js';

const world = await ownWorld();
const subOf = (token: string): string => String(decodeJwt(token).sub);
const by = async (more: Record<string, string>) => ({ ...(await bearerAssertion(world.issuer, world.rs1)), ...more });

const leaves = async (): Promise<readonly string[]> =>
  (await world.writ.database.prisma.logLeaf.findMany()).map(({ leaf }) => Buffer.from(leaf).toString('utf8'));

describe('a person who is erased', () => {
  it('AU-13: ends with every token, comes again under another id, and the log keeps what it said', async () => {
    const token = tokenOf(await world.exchange());
    const person = subOf(token);
    const found = await world.admin('GET', `/persons?issuer=${encodeURIComponent(COMPANY)}&subject=alice`);
    expect([found.status, found.body]).toEqual([
      200,
      { items: [{ id: person, issuer: COMPANY, subject: 'alice', status: 'active', groups: [] }] },
    ]);
    const answer = await world.admin('DELETE', `/persons/${person}`);
    expect([answer.status, answer.body]).toEqual([200, { id: person, result: 'erased' }]);
    expect((await world.admin('DELETE', `/persons/${person}`)).status).toBe(404);

    const seen = await world.post('/introspect', await by({ token }));
    expect([seen.status, seen.body]).toEqual([200, { active: false }]);
    const again = subOf(tokenOf(await world.exchange()));
    expect(again).not.toBe(person);
    expect(subOf(tokenOf(await world.exchange()))).toBe(again);

    const { text } = await world.admin('GET', '/log?limit=200');
    expect(text).toContain(person);
    expect(text).toContain('"what":"erased"');
    expect((await leaves()).filter((leaf) => /alice/i.test(leaf))).toEqual([]);
  });

  it('AU-13: is erased to the end by asking again, where the first time was cut off', async () => {
    const cutOff = `prs_${'c'.repeat(22)}`;
    await world.writ.database.prisma.$executeRawUnsafe(
      `INSERT INTO decision_input (decision, at, agent, person, server, tool, outcome, policy, sealed, expires_at)
       VALUES ('dec_1', now(), 'agt', $1, 'srv', 'tool', 'permit', 'pol', 'sealed', now() + interval '1 day')`,
      cutOff,
    );
    const answer = await world.admin('DELETE', `/persons/${cutOff}`);
    expect([answer.status, answer.body]).toEqual([200, { id: cutOff, result: 'erased' }]);
    expect(await world.writ.database.prisma.decisionInput.count({ where: { person: cutOff } })).toBe(0);
    expect((await world.admin('DELETE', `/persons/${cutOff}`)).status).toBe(404);
  });

  it('may not go on with the token of before', async () => {
    const subject = await world.personToken('bob');
    const person = subOf(tokenOf(await world.exchange({ subject_token: subject })));
    await world.admin('DELETE', `/persons/${person}`);
    const answer = await world.exchange({ subject_token: subject });
    expect([answer.status, (answer.body as { error: string }).error]).toEqual([400, 'invalid_request']);
    expect((await world.exchange({ subject_token: await world.personToken('bob') })).status).toBe(200);
  });
});

describe('who is looked for', () => {
  const lookups = async (): Promise<readonly unknown[]> => {
    const { items } = (await world.admin('GET', '/log?kind=access&limit=200')).body as {
      items: { facts: { what: string; filter: unknown } }[];
    };
    return items.filter(({ facts }) => facts.what === 'findPerson').map(({ facts }) => facts.filter);
  };

  it('AU-13: is in the log by their id, or not at all where nobody or no person was found', async () => {
    const before = (await lookups()).length;
    const person = subOf(tokenOf(await world.exchange({ subject_token: await world.personToken('carol') })));
    const issuer = encodeURIComponent(COMPANY);
    for (const subject of ['carol', 'dave'])
      expect((await world.admin('GET', `/persons?issuer=${issuer}&subject=${subject}`)).status).toBe(200);
    expect((await world.admin('DELETE', '/persons/dave@company.example')).status).toBe(404);
    expect((await lookups()).slice(before)).toEqual([{ person }, {}]);
    expect((await leaves()).filter((leaf) => /carol|dave/i.test(leaf))).toEqual([]);
  });
});

describe('the schema of the records', () => {
  it('is a document that anybody can read', async () => {
    const { status, headers, body } = await request(`${world.issuer}/audit/v1/schema`, {});
    expect([status, headers.get('content-type')]).toEqual([200, 'application/schema+json']);
    const kinds = (body as { anyOf: { title: string }[] }).anyOf.map(({ title }) => title);
    expect(body).toMatchObject({
      $id: `${world.issuer}/audit/v1/schema`,
      $schema: 'https://json-schema.org/draft/2020-12/schema',
    });
    expect(kinds).toEqual(expect.arrayContaining(['exchange', 'registry', 'key', 'access', 'outcome']));
  });
});
