import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { keepSessionLife, lookForFindings, sessionClosesAfter } from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import { run } from '../../src/cli/index.js';
import { openFindings, openOutcomes, openSessionLife } from '../../src/storage/index.js';
import { callId, type Outcome, outcomeOf, report } from '../support/outcomes.js';
import { ownWorld, RS1, RS2, tool, tools } from '../support/world.js';
import { ADMIN_TOKEN, bearerAssertion, type Reply, request, tokenOf } from '../support/writ.js';

const AUDIT_TOKEN = 'test-audit-token-0123456789-abcdefghijklmnop';
const world = await ownWorld({ env: { WRIT_AUDIT_TOKEN: AUDIT_TOKEN } });
const { prisma } = world.writ.database;
const closesAfter = sessionClosesAfter(world.config);
const store = openFindings(
  world.writ.database,
  openOutcomes(world.writ.database, systemClock, closesAfter),
  closesAfter,
);
const life = openSessionLife(world.writ.database, closesAfter);

type Item = Readonly<{ id: string; kind: string; session: string | null; token: string | null; facts: object }>;
type Page = Readonly<{ items: readonly Item[]; next: string | null; not_expected: readonly object[] }>;
const read = (query = '', token = AUDIT_TOKEN): Promise<Reply> =>
  request(`${world.issuer}/audit/v1/findings${query}`, { headers: { authorization: `Bearer ${token}` } });
const RS2_SILENT = { server: RS2, because: 'never_reported' };
const pageOf = async (query = ''): Promise<Page> => (await read(query)).body as Page;

let people = 0;
const mint = async (name = 'write_file', max_uses = 1): Promise<string> =>
  tokenOf(
    await world.exchange({
      subject_token: await world.personToken(`found-${String((people += 1))}`),
      authorization_details: tools(tool(name, { max_uses })),
    }),
  );
const sessionOf = (token: string): string => decodeJwt<{ writ: { session: string } }>(token).writ.session;
const send = (outcomes: readonly Outcome[], by = world.rs1): Promise<Reply> => report(world, outcomes, by);

/** All that is written is in the tree. */
async function sequenced(): Promise<void> {
  for (;;) {
    const [row] = await prisma.$queryRawUnsafe<{ waiting: number }[]>(
      'SELECT count(*)::int AS waiting FROM log_pending',
    );
    if (row?.waiting === 0) return;
    await pause(50);
  }
}
/** As if all of the log were that much older. */
const age = (seconds: number): Promise<unknown> =>
  prisma.$executeRawUnsafe(`UPDATE log_leaf SET at = at - make_interval(secs => ${String(seconds)}::int)`);
const look = async (): Promise<void> => {
  await sequenced();
  await lookForFindings(store, closesAfter);
};

describe('findings', () => {
  it('are none where every call of a server that reports has its outcome, and where a server never reported', async () => {
    await mint();
    await age(closesAfter + 10);
    await look();
    expect(await pageOf()).toEqual({
      items: [],
      next: null,
      not_expected: [{ server: RS1, because: 'never_reported' }, RS2_SILENT],
    });
    const token = await mint();
    await send([outcomeOf(token)]);
    await prisma.$executeRawUnsafe(`UPDATE outcome_reporter SET since = since - interval '1 day'`);
    await age(closesAfter + 10);
    await look();
    expect(await pageOf()).toEqual({ items: [], next: null, not_expected: [RS2_SILENT] });
  });

  it('name a permitted call without an outcome once its life and the grace are over, and not before', async () => {
    const token = await mint();
    const { jti, txn } = decodeJwt<{ jti: string; txn: string }>(token);
    await look();
    expect((await pageOf(`?session=${sessionOf(token)}`)).items).toEqual([]);
    await age(closesAfter + 10);
    await look();
    const { items } = await pageOf(`?session=${sessionOf(token)}`);
    expect(items).toEqual([
      {
        id: expect.stringMatching(/^fnd_[\w-]{22}$/),
        kind: 'no_outcome',
        at: expect.stringMatching(/Z$/),
        session: sessionOf(token),
        server: RS1,
        txn,
        token: expect.stringMatching(/^[\w-]{43}$/),
        facts: {
          expected_because: 'server_has_reported',
          permit: decodeJwt<{ writ: { leaf: string } }>(token).writ.leaf,
          tools: ['write_file'],
        },
      },
    ]);
    expect(JSON.stringify(items)).not.toContain(jti);
    await send([outcomeOf(token)]);
    expect((await pageOf(`?session=${sessionOf(token)}`)).items).toEqual([]);
  });

  it('name a use that Writ counted and nobody reported, in place of the permit', async () => {
    const token = await mint();
    const proof = await bearerAssertion(world.issuer, world.rs1);
    await world.post('/introspect', { ...proof, token, consume: 'write_file' });
    await age(closesAfter + 10);
    await look();
    const { items } = await pageOf(`?session=${sessionOf(token)}`);
    expect(items.map(({ kind, facts }) => [kind, facts])).toEqual([
      ['used_without_outcome', expect.objectContaining({ tool: 'write_file', uses: 1, outcomes: 0 })],
    ]);
  });

  it('name the tool of which fewer calls are reported than Writ counted uses, until the last is reported', async () => {
    const details = [tool('read_file', { max_uses: 3 }), tool('list_files', { max_uses: 2 })];
    const token = tokenOf(
      await world.exchange({
        subject_token: await world.personToken(`found-${String((people += 1))}`),
        authorization_details: tools(...details),
      }),
    );
    const consume = async (name: string): Promise<void> => {
      const proof = await bearerAssertion(world.issuer, world.rs1);
      expect((await world.post('/introspect', { ...proof, token, consume: name })).body).toMatchObject({
        active: true,
      });
    };
    for (const name of ['read_file', 'read_file', 'read_file', 'list_files']) await consume(name);
    const outcomeFor = (name: string): Outcome => outcomeOf(token, { tool: name });
    await send([outcomeFor('read_file'), outcomeFor('list_files')]);
    const found = async (): Promise<unknown[]> =>
      (await pageOf(`?session=${sessionOf(token)}`)).items.map(({ kind, facts }) => [kind, facts]);
    await age(closesAfter + 10);
    await look();
    const short = ['used_without_outcome', expect.objectContaining({ tool: 'read_file', uses: 3, outcomes: 1 })];
    expect(await found()).toEqual([short]);
    await send([outcomeFor('list_files'), outcomeFor('read_file')]);
    expect(await found()).toEqual([short]);
    await send([outcomeFor('read_file')]);
    expect(await found()).toEqual([]);
  });

  it('are of a missing outcome where the registry says that the server reports, from then on, and never where it denies it', async () => {
    const says = async (reports_outcomes: boolean | null): Promise<void> => {
      const path = `/servers/${encodeURIComponent(RS1)}`;
      const { has_secret, ...server } = (await world.admin('GET', path)).body as Record<string, unknown>;
      expect(has_secret).toBe(false);
      expect((await world.admin('PUT', path, { ...server, reports_outcomes })).status).toBe(200);
    };
    const foundOf = async (token: string): Promise<unknown> => {
      await age(closesAfter + 10);
      await look();
      const { items } = await pageOf(`?session=${sessionOf(token)}`);
      return items.map(({ kind, facts }) => [kind, (facts as { expected_because: string }).expected_because]);
    };
    const silent = async (): Promise<unknown> => (await pageOf(`?server=${RS1}`)).not_expected;
    await says(false);
    expect(await foundOf(await mint())).toEqual([]);
    expect(await silent()).toEqual([{ server: RS1, because: 'registry_says_no' }]);
    await prisma.$executeRawUnsafe('DELETE FROM outcome_reporter');
    await says(null);
    expect(await foundOf(await mint())).toEqual([]);
    expect(await silent()).toEqual([{ server: RS1, because: 'never_reported' }]);
    const before = await mint();
    await age(60);
    await says(true);
    expect(await foundOf(before)).toEqual([]);
    await prisma.$executeRawUnsafe(`UPDATE mcp_server SET outcomes_since = outcomes_since - interval '1 day'`);
    // Another change of the server is no new beginning.
    await says(true);
    expect(await foundOf(await mint())).toEqual([['no_outcome', 'registry_says_so']]);
    expect(await silent()).toEqual([]);
    await says(null);
  });

  it('name an outcome without a permit, with why', async () => {
    const token = await mint();
    await send([outcomeOf(token, { jti: callId() })]);
    await send([outcomeOf(token)], world.rs2);
    await send([outcomeOf(token)]);
    await look();
    const { items } = await pageOf('?kind=outcome_without_permit');
    expect(items.map(({ facts }) => (facts as { why: string }).why)).toEqual(['unknown_token', 'another_server']);
    expect((await pageOf(`?kind=outcome_without_permit&server=${RS1}`)).items).toHaveLength(1);
  });

  it('name a token of which more calls are reported than it may be used for', async () => {
    const token = await mint('read_file', 2);
    await send([outcomeOf(token), outcomeOf(token)]);
    await look();
    expect((await pageOf(`?session=${sessionOf(token)}`)).items).toEqual([]);
    await send([outcomeOf(token)]);
    await look();
    await send([outcomeOf(token)]);
    await look();
    const { items } = await pageOf(`?session=${sessionOf(token)}`);
    expect(items.map(({ kind, facts }) => [kind, facts])).toEqual([
      ['more_outcomes_than_uses', expect.objectContaining({ tool: 'read_file', max_uses: 2, outcomes: 4 })],
    ]);
  });

  it('name a session with a gap, while it is open and once it is closed', async () => {
    const token = await mint();
    await send([outcomeOf(token)]);
    const session = sessionOf(token);
    await prisma.$executeRawUnsafe('UPDATE agent_session SET last_sequence = 3 WHERE id = $1', session);
    const kinds = async (): Promise<unknown[]> =>
      (await pageOf(`?session=${session}`)).items.map(({ id, kind, facts }) => [id, kind, facts]);
    const id = expect.stringMatching(/^fnd_/);
    expect(await kinds()).toEqual([[id, 'sequence_gap', { records: 1, last_sequence: 3 }]]);
    await prisma.$executeRawUnsafe(
      `UPDATE agent_session SET status = 'ended', ended_at = now() - interval '1 day', ended_by = 'adm' WHERE id = $1`,
      session,
    );
    await keepSessionLife(life, systemClock);
    await look();
    expect(await kinds()).toEqual([[id, 'sequence_gap', { missing: [2, 3], summary: expect.any(String) }]]);
  });

  it('name a session that ended without a summary, and a leaf that is not in the tree after 5 s', async () => {
    const session = sessionOf(await mint());
    await sequenced();
    // Nobody can close it.
    await prisma.$executeRawUnsafe(`
      CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$`);
    await prisma.$executeRawUnsafe(
      'CREATE TRIGGER stuck BEFORE UPDATE OF closed_at ON agent_session FOR EACH ROW EXECUTE FUNCTION stuck()',
    );
    await prisma.$executeRawUnsafe(
      `UPDATE agent_session SET status = 'ended', ended_at = now() - interval '1 day', ended_by = 'adm' WHERE id = $1`,
      session,
    );
    // Somebody else has the tree and does nothing.
    await prisma.$executeRawUnsafe(`UPDATE log_tree SET holder = 'other', held_until = now() + interval '1 hour'`);
    await mint();
    await prisma.$executeRawUnsafe(`UPDATE log_pending SET since = since - interval '1 minute'`);
    const waiting = (await pageOf('?kind=unsequenced')).items;
    await prisma.$executeRawUnsafe('UPDATE log_tree SET holder = NULL, held_until = NULL');
    expect(waiting).toMatchObject([{ kind: 'unsequenced', facts: { oldest: expect.any(String) } }]);
    const without = async (): Promise<unknown[]> =>
      (await pageOf('?kind=session_without_summary')).items.map((item) => item.session);
    expect(await without()).toEqual([session]);
    await prisma.$executeRawUnsafe('DROP TRIGGER stuck ON agent_session');
    await keepSessionLife(life, systemClock);
    expect(await without()).toEqual([]);
  });
});

describe('GET /audit/v1/findings', () => {
  it('pages without a finding twice or left out, and the ids stay', async () => {
    const token = await mint();
    await send(Array.from({ length: 9 }, () => outcomeOf(token, { jti: callId() })));
    await look();
    const all = (await pageOf('?kind=outcome_without_permit')).items;
    const paged: Item[] = [];
    for (let after = ''; ;) {
      const { items, next } = await pageOf(`?kind=outcome_without_permit&limit=2${after}`);
      paged.push(...items);
      if (next === null) break;
      after = `&after=${next}`;
    }
    expect(paged).toEqual(all);
    expect(all.length).toBeGreaterThan(8);
    expect((await pageOf('?kind=outcome_without_permit')).items).toEqual(all);
    await lookForFindings(store, closesAfter);
    expect((await pageOf('?kind=outcome_without_permit')).items).toEqual(all);
  });

  it('tells what was found since a time', async () => {
    const soon = new Date(Date.now() + 60_000).toISOString();
    expect((await pageOf(`?since=${soon}`)).items).toEqual([]);
    expect((await pageOf('?since=2026-01-01T00:00:00Z')).items.length).toBeGreaterThan(0);
  });

  it('is for auditors and administrators', async () => {
    const answers = [await read(), await read('', ADMIN_TOKEN), await read('', 'x'.repeat(40))];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 401]);
  });

  it.each(['kind=other', 'since=yesterday', 'server=x', 'limit=0', 'limit=1001', 'after=x', 'more=1'])(
    'refuses %s by the name of the field',
    async (query) => {
      const answer = await read(`?${query}`);
      expect([answer.status, answer.body]).toMatchObject([400, { param: query.split('=')[0] }]);
    },
  );
});

describe('writ audit findings', () => {
  const writ = async (...args: string[]) => {
    const [out, err]: [string[], string[]] = [[], []];
    const io = {
      env: { WRIT_ISSUER: world.issuer, WRIT_AUDIT_TOKEN: AUDIT_TOKEN },
      readFile: () => undefined,
      makePrivateFile: () => false,
      readStdin: () => Promise.resolve(''),
      out: (text: string) => out.push(text),
      err: (text: string) => err.push(text),
    };
    return { code: await run(['audit', 'findings', ...args], io), out, err };
  };

  it('prints each finding on a line, and ends with 1 when there are any', async () => {
    const token = await mint();
    await send(Array.from({ length: 3 }, () => outcomeOf(token, { jti: callId() })));
    await look();
    const { items } = await pageOf('?kind=outcome_without_permit&limit=1000');
    const { code, out, err } = await writ('--kind', 'outcome_without_permit', '--server', RS1, '--json');
    expect([code, err]).toEqual([1, [`writ: ${String(out.length)} findings`]]);
    expect(out.map((line) => JSON.parse(line) as unknown)).toEqual(
      items.filter((item) => (item as unknown as { server: string }).server === RS1),
    );
    const [line] = (await writ('--kind', 'outcome_without_permit')).out;
    expect(line).toMatch(
      /^2\S+Z {2}fnd_[\w-]{22} {2}outcome_without_permit {2}server=https:\S+ {2}why="unknown_token"/,
    );
  });

  it('ends with 0 when there are none, and with 1 and the field when it is asked wrongly', async () => {
    expect(await writ('--session', 'ses_none')).toEqual({
      code: 0,
      out: [],
      err: [
        `writ: no outcome is expected of ${RS2}: it never reported one, and the registry does not say that it should`,
      ],
    });
    const wrong = await writ('--kind', 'other');
    expect([wrong.code, wrong.err[0]]).toEqual([1, expect.stringContaining('kind')]);
  });

  it('ends with 2 where no Writ answers', async () => {
    expect((await writ('--url', 'http://127.0.0.1:9')).code).toBe(2);
  });
});
