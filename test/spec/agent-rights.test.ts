import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { lookForFindings, sessionClosesAfter } from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import { run } from '../../src/cli/index.js';
import { thumbprint } from '../../src/protocol/index.js';
import { openFindings, openKeyLives, openOutcomes } from '../../src/storage/index.js';
import { ownWorld, RS1, tool, tools } from '../support/world.js';
import { dpopProof } from '../support/jws.js';
import { reviewedTool } from '../support/tools.js';
import { ADMIN_TOKEN, type ClientKey, makeKey, type Reply, request } from '../support/writ.js';

const world = await ownWorld();
const { prisma } = world.writ.database;
const closesAfter = sessionClosesAfter(world.config);
const store = openFindings(
  world.writ.database,
  openOutcomes(world.writ.database, systemClock, closesAfter),
  closesAfter,
);
const sql = (text: string): Promise<number> => prisma.$executeRawUnsafe(text);
const A1 = `/agents/${world.a1.id}`;

/** As if all that was granted, and what of it was used, had been so long ago. */
const grantedDaysAgo = (days: number, where = 'true'): Promise<number> =>
  sql(`UPDATE agent_right SET granted_at = granted_at - interval '${String(days)} days',
         last_used_at = last_used_at - interval '${String(days)} days' WHERE ${where}`);
/** What is in the log is counted, as it is once it is old enough. */
async function counted(): Promise<void> {
  for (;;) {
    const rows = await prisma.$queryRawUnsafe<{ n: number }[]>('SELECT count(*)::int AS n FROM log_pending');
    if (rows[0]?.n === 0) break;
    await pause(50);
  }
  await sql(`UPDATE log_leaf SET at = at - make_interval(secs => ${String(closesAfter + 10)}::int)`);
  await lookForFindings(store, closesAfter);
}
const unused = (query = ''): Promise<Reply> => world.admin('GET', `${A1}/unused-rights${query}`);
const unusedOf = async (query = ''): Promise<unknown> => ((await unused(query)).body as { unused: unknown }).unused;
const agentOf = async (id: string): Promise<{ allow: unknown }> =>
  (await world.admin('GET', `/agents/${id}`)).body as { allow: unknown };
const concernsOf = async (query = ''): Promise<Record<string, unknown>> => {
  const { items } = (await world.admin('GET', `/reports/agents${query}`)).body as {
    items: {
      client_id: string;
      concerns: string[];
      unused_rights: unknown;
      unused_hand_over_to: unknown;
      unused_transaction_tokens: unknown;
    }[];
  };
  return Object.fromEntries(
    items.map(({ client_id: id, concerns, unused_rights, unused_hand_over_to, unused_transaction_tokens }) => [
      id,
      { concerns, unused_rights, unused_hand_over_to, unused_transaction_tokens },
    ]),
  );
};
const shrink = (take: unknown, tag: string | undefined, query = '', beside: object = {}): Promise<Reply> =>
  request(`${world.issuer}/admin/v1${A1}/shrink${query}`, {
    method: 'POST',
    headers: {
      ...{ authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
      ...(tag === undefined ? {} : { 'if-match': tag }),
    },
    body: JSON.stringify({ unused_days: 90, take, ...beside }),
  });
const tagOf = async (): Promise<string> => (await unused()).headers.get('ETag') ?? '';
const UNUSED_BESIDE = { unused_hand_over_to: [world.a2.id], unused_transaction_tokens: true };
const USED_BESIDE = { unused_hand_over_to: [], unused_transaction_tokens: false };
const REST = {
  resource: RS1,
  server: false,
  tools: ['list_files', 'write_file', 'delete_repo'],
  scopes: ['repo:write'],
};

describe('the rights that an agent does not use (OWASP NHI5)', () => {
  it('are none while they are young, and each that nobody used for so many days once they are old', async () => {
    expect((await world.exchange()).status).toBe(200);
    await counted();
    expect(await unusedOf()).toEqual([]);
    expect(await concernsOf()).toEqual({});
    await grantedDaysAgo(89);
    expect(await unusedOf()).toEqual([]);
    await sql(`UPDATE agent_right SET last_used_at = now() WHERE last_used_at IS NOT NULL`);
    await grantedDaysAgo(2, 'last_used_at IS NULL');
    const { status, body } = await unused();
    expect([status, body]).toEqual([
      200,
      {
        ...{ client_id: world.a1.id, unused_days: 90, counted_until: expect.any(String), unused: [REST] },
        ...UNUSED_BESIDE,
      },
    ]);
    expect(await unusedOf('?unused_days=92')).toEqual([]);
    const whole = { resource: RS1, server: true, scopes: ['repo:read', 'repo:write'] };
    const names = ['read_file', 'list_files', 'write_file', 'delete_repo'];
    expect(await concernsOf()).toEqual({
      [world.a1.id]: { concerns: ['rights_unused'], unused_rights: [REST], ...UNUSED_BESIDE },
      [world.a2.id]: { concerns: ['rights_unused'], unused_rights: [{ ...whole, tools: names }], ...USED_BESIDE },
    });
    expect(await concernsOf('?rights_unused_days=92')).toEqual({});
    expect((await world.admin('GET', '/reports/agents?rights_unused_days=0')).status).toBe(400);
  });

  it('are not those that were used a moment ago, of which the count does not know yet', async () => {
    const asked = { authorization_details: tools(tool('list_files')) };
    expect((await world.exchange(asked)).status).toBe(200);
    await world.writ.flush();
    expect(await unusedOf()).toEqual([{ ...REST, tools: ['write_file', 'delete_repo'] }]);
  });
});

describe('taking what is not used', () => {
  const refused = (status: number, code: string, detail: unknown): object => ({
    status,
    body: expect.objectContaining({ code, detail }),
  });
  const DELETE = { resource: RS1, server: false, tools: ['delete_repo'], scopes: [] };

  it('needs the agent as it was looked at, and a dry run changes nothing', async () => {
    const before = await agentOf(world.a1.id);
    expect(await shrink([DELETE], undefined)).toMatchObject(
      refused(400, 'invalid_field', 'If-Match: must be the ETag of the agent that was looked at'),
    );
    expect(await shrink([DELETE], '"another"')).toMatchObject(refused(412, 'precondition_failed', expect.any(String)));
    expect(await shrink([DELETE, DELETE], await tagOf())).toMatchObject(
      refused(400, 'invalid_field', 'take: names one server twice'),
    );
    const { status, body } = await shrink([DELETE], await tagOf(), '?dry_run=true');
    const allow = [
      { resource: RS1, scopes: ['repo:read', 'repo:write'], tools: ['read_file', 'list_files', 'write_file'] },
    ];
    expect([status, body]).toEqual([
      200,
      {
        ...{ client_id: world.a1.id, result: 'would_be_shrunk', taken: [DELETE], allow },
        ...{ taken_hand_over_to: [], taken_transaction_tokens: false },
        effect: expect.objectContaining({ tokens: 0, losses: [], complete: true }),
      },
    ]);
    expect(await agentOf(world.a1.id)).toEqual(before);
  });

  it.each([
    ['a tool that is used', { tools: ['read_file'] }, `${RS1}#read_file`],
    ['a scope that a tool needs which stays', { scopes: ['repo:write'] }, `${RS1}#repo:write`],
    ['a server of which something stays', { server: true }, RS1],
    ['what the agent never had', { tools: ['wipe'] }, `${RS1}#wipe`],
  ])('never takes %s', async (_, change, named) => {
    const take = [{ resource: RS1, server: false, tools: [], scopes: [], ...change }];
    const detail = `${named} is in use, was granted lately, or is needed by what stays`;
    expect(await shrink(take, await tagOf())).toMatchObject(refused(409, 'conflict', detail));
  });

  it('takes exactly what was named, recorded as a change of the agent, and what is given back is young', async () => {
    const { status, body } = await shrink([DELETE], await tagOf());
    expect([status, (body as { result: string }).result]).toEqual([200, 'shrunk']);
    const agent = await agentOf(world.a1.id);
    const [ceiling] = agent.allow as { tools: string[] }[];
    expect(ceiling?.tools).toEqual(['read_file', 'list_files', 'write_file']);
    const { text } = await world.admin('GET', `/log?kind=registry&limit=200`);
    expect(text).toContain('"changed":["allow"]');
    const again = { ...agent, allow: [{ ...ceiling, tools: [...(ceiling?.tools ?? []), 'delete_repo'] }] };
    expect((await world.admin('PUT', A1, again)).status).toBe(200);
    expect(await unusedOf()).toEqual([{ ...REST, tools: ['write_file'], scopes: [] }]);
  });

  it('puts names in the place of all tools, and leaves out none that is new at the server', async () => {
    const agent = {
      ...(await agentOf(world.a2.id)),
      client_id: 'agt_all',
      allow: [{ resource: RS1, scopes: ['repo:read'], tools: '*' }],
    };
    const authentication = { method: 'private_key_jwt', jwks: { keys: [makeKey('all').jwk] } };
    expect((await world.admin('PUT', '/agents/agt_all', { ...agent, authentication })).status).toBe(201);
    await grantedDaysAgo(100, "client_id = 'agt_all'");
    const server = (await world.admin('GET', `/servers/${encodeURIComponent(RS1)}`)).body as { tools: object[] };
    const more = reviewedTool('search', { scopes: ['repo:read'], tier: 'low', action: 'read' });
    const put = await world.admin('PUT', `/servers/${encodeURIComponent(RS1)}`, {
      ...server,
      tools: [...server.tools, more],
    });
    expect(put.status).toBe(200);
    const out: string[] = [];
    const cli = async (...args: string[]): Promise<number> =>
      run(['agents', 'shrink', 'agt_all', ...args, '--url', world.issuer], {
        env: { WRIT_ADMIN_TOKEN: ADMIN_TOKEN },
        readFile: () => undefined,
        makePrivateFile: () => false,
        readStdin: () => Promise.resolve(''),
        out: (text) => out.push(text),
        err: (text) => out.push(text),
      });
    const line = `  ${RS1}: tools read_file, list_files, write_file, delete_repo, wipe`;
    expect([await cli('--dry-run'), out.splice(0).join('').split('\n').slice(1)]).toEqual([
      0,
      ['would be taken from agent agt_all:', line, 'would end no token that lives'],
    ]);
    expect(await agentOf('agt_all')).toMatchObject({ allow: [{ tools: '*' }] });
    expect([await cli('--if-match', '"old"'), out.splice(0).join('')]).toEqual([
      1,
      expect.stringContaining(
        'the agent agt_all was changed after it was read, and stays as it is; look again with --dry-run',
      ),
    ]);
    expect([await cli(), out.splice(0).join('')]).toEqual([0, `taken from agent agt_all:\n${line}`]);
    expect(await agentOf('agt_all')).toMatchObject({
      allow: [{ resource: RS1, scopes: ['repo:read'], tools: ['search'] }],
    });
    expect([await cli(), out.splice(0).join('')]).toEqual([
      0,
      expect.stringContaining('nothing of agent agt_all is unused'),
    ]);
  });

  it('takes what is of no server: agents to hand over to and tokens for the trust domain, once nothing uses them', async () => {
    const { a1, a2 } = world;
    const handedOver = await world.exchange({ audience: a2.id, authorization_details: undefined, resource: undefined });
    expect([handedOver.status, handedOver.text]).toEqual([200, expect.any(String)]);
    await world.writ.flush();
    expect((await unused()).body).toMatchObject({ unused_hand_over_to: [], unused_transaction_tokens: true });
    const [heir, domain] = [{ take_hand_over_to: [a2.id] }, { take_transaction_tokens: true }];
    const inUse = `handing over to ${a2.id} is in use, was granted lately, or is needed by what stays`;
    expect(await shrink([], await tagOf(), '', heir)).toMatchObject(refused(409, 'conflict', inUse));
    expect(await shrink([], await tagOf())).toMatchObject(
      refused(400, 'invalid_field', 'take: names nothing that is to be taken'),
    );
    const { allow } = await agentOf(a1.id);
    const { status, body } = await shrink([], await tagOf(), '', domain);
    expect([status, body]).toEqual([
      200,
      {
        ...{ client_id: a1.id, result: 'shrunk', taken: [], allow },
        ...{ taken_hand_over_to: [], taken_transaction_tokens: true },
      },
    ]);
    expect(await agentOf(a1.id)).toMatchObject({ hand_over_to: [a2.id], transaction_tokens: false, allow });
    await counted();
    expect((await unused()).body).toMatchObject(USED_BESIDE);
    await grantedDaysAgo(100, "kind = 'hand_over'");
    expect((await unused()).body).toMatchObject({ unused_hand_over_to: [a2.id] });
    expect((await shrink([], await tagOf(), '', heir)).status).toBe(200);
    expect(await agentOf(a1.id)).toMatchObject({ hand_over_to: [], transaction_tokens: false, allow });
  });
});

describe('one agent on two workloads (OWASP NHI9)', () => {
  const findings = async (): Promise<unknown[]> => {
    const { text } = await request(`${world.issuer}/audit/v1/findings?kind=agent_on_two_workloads`, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    return (JSON.parse(text) as { items: { facts: object }[] }).items.map(({ facts }) => facts);
  };
  let second = 0;
  /** One exchange with this DPoP key, a second after the one before. */
  const exchangeWith = async (key: ClientKey): Promise<void> => {
    const dpop = dpopProof(key.privateKey, `${world.issuer}/token`);
    expect(
      (
        await world.exchange({ subject_token: await world.personToken(`by ${String((second += 1))}`) }, world.a1, {
          dpop,
        })
      ).status,
    ).toBe(200);
    await pause(1_100);
  };

  it('is no finding after a restart with a new key, and one once the first key comes back', async () => {
    const [one, other] = [makeKey('one'), makeKey('other')];
    for (const key of [one, one, other, other]) await exchangeWith(key);
    await counted();
    expect(await findings()).toEqual([]);
    await exchangeWith(one);
    await counted();
    const marks = [other, one].map(({ jwk }) => thumbprint(jwk));
    expect(await findings()).toEqual([
      { agent: world.a1.id, by: 'dpop', marks, seen_at: [expect.any(Number), expect.any(Number)] },
    ]);
  });
});

describe('one key of two agents (OWASP NHI9)', () => {
  it('is reported when it is published at the addresses of both, which the registry cannot see', async () => {
    const jwk = { ...makeKey('twin').jwk };
    const others = { ...(await agentOf(world.a2.id)), allow: [] };
    for (const id of ['agt_one', 'agt_two']) {
      const authentication = { method: 'private_key_jwt', jwks_uri: `https://${id.slice(4)}.example/jwks` };
      const agent = { ...others, client_id: id, hand_over_to: [], authentication };
      expect((await world.admin('PUT', `/agents/${id}`, agent)).status).toBe(201);
    }
    const lives = openKeyLives(world.writ.database);
    await lives.of('agt_one', thumbprint(jwk));
    expect(Object.keys(await concernsOf('?rights_unused_days=365'))).toEqual([]);
    await lives.of('agt_two', thumbprint(jwk));
    const shared = (await world.admin('GET', '/reports/agents?rights_unused_days=365&after=agt_one')).body;
    expect(shared).toMatchObject({
      items: [{ client_id: 'agt_two', concerns: ['key_shared'], key_shared_with: ['agent agt_one'] }],
    });
    await sql(`UPDATE agent_key SET retires_at = now() WHERE client_id = 'agt_one'`);
    expect(Object.keys(await concernsOf('?rights_unused_days=365'))).toEqual([]);
  });
});
