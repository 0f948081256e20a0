import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { COMPANY, ownWorld } from '../support/world.js';
import { bearerAssertion, request, tokenOf } from '../support/writ.js';

const world = await ownWorld();
const subOf = (token: string): string => String(decodeJwt(token).sub);
const by = async (more: Record<string, string>) => ({ ...(await bearerAssertion(world.issuer, world.rs1)), ...more });

describe('a person who is erased', () => {
  it('AU-13: ends with every token, comes again under another id, and the log keeps what it said', async () => {
    const token = tokenOf(await world.exchange());
    const person = subOf(token);
    const found = await world.admin('GET', `/persons?issuer=${encodeURIComponent(COMPANY)}&subject=alice`);
    expect([found.status, found.body]).toEqual([
      200,
      { items: [{ id: person, issuer: COMPANY, subject: 'alice', status: 'active' }] },
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
    expect(text).not.toContain('alice@');
    expect(text).toContain('"what":"erased"');
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
