import { expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { hashSecret, verifySecret } from '../../src/client/index.js';
import { Agent, type AgentInput, McpServer, type McpServerInput, TrustedIssuer } from '../../src/registry/index.js';
import { openDatabase, openRegistry, type RecordOf, type RegistryStore } from '../../src/storage/index.js';
import { describeDatabases, freshDatabase } from '../support/databases.js';
import { reviewedTool } from '../support/tools.js';

const agent = (clientId: string, more: Partial<AgentInput> = {}): Agent =>
  Agent.parse({
    client_id: clientId,
    name: 'Planner',
    owner: 'team-a',
    purpose: 'plans',
    authentication: { method: 'client_secret_basic' },
    expires_at: '2027-01-01T00:00:00Z',
    ...more,
  });

const server = (resource: string, clientId: string, more: Partial<McpServerInput> = {}): McpServer =>
  McpServer.parse({
    resource,
    client_id: clientId,
    name: 'Files',
    owner: 'team-b',
    authentication: { method: 'client_secret_post' },
    scopes: ['files:read'],
    tools: [reviewedTool('read_file', { scopes: ['files:read'], tier: 'low', action: 'read' })],
    ...more,
  });

const issuer = (url: string): TrustedIssuer =>
  TrustedIssuer.parse({
    issuer: url,
    name: 'Corp',
    jwks_uri: `${url}/jwks`,
    accepts: [{ token_type: 'urn:ietf:params:oauth:token-type:id_token', typ: null, scopes: ['openid'] }],
    agents: ['agt_a'],
  });

const recordOf: RecordOf = (change, before, by, version) => {
  const leaf = Buffer.from(JSON.stringify({ change, before: before ?? null, by, version }));
  return { leaf, leafHash: createHash('sha256').update(leaf).digest() };
};

const contents = (store: RegistryStore) => {
  const { version, agents, servers, issuers } = store.current();
  return { version, agents: [...agents], servers: [...servers], issuers: [...issuers] };
};

describeDatabases('the registry', (database, kind) => {
  const open = () => openRegistry(database(), { hashSecret, recordOf, now: () => 0 });
  const empty = async () => {
    await database().prisma.$executeRawUnsafe('TRUNCATE agent, mcp_server, trusted_issuer, log_leaf');
    return open();
  };
  const records = async (): Promise<unknown[]> =>
    (await database().prisma.logLeaf.findMany({ orderBy: { id: 'asc' } })).map(({ leaf }): unknown =>
      JSON.parse(Buffer.from(leaf).toString()),
    );

  it('keeps agents, MCP servers and issuers and reads them back in a new process', async () => {
    const store = await empty();
    const [planner, files, corp] = [
      agent('agt_a'),
      server('https://mcp.example/files', 'srv_files'),
      issuer('https://idp.example'),
    ];
    const version = await store.write(
      [
        { kind: 'agent', object: planner },
        { kind: 'server', object: files },
        { kind: 'issuer', object: corp },
      ],
      'admin',
    );
    const expected = {
      version,
      agents: [{ ...planner, secretHash: undefined }],
      servers: [{ ...files, secretHash: undefined }],
      issuers: [corp],
    };
    expect(contents(store)).toEqual(expected);
    expect(contents(await open())).toEqual(expected);
  });

  it('counts one version for each write, however many changes it has', async () => {
    const store = await empty();
    const before = store.current().version;
    expect(
      await store.write(
        [
          { kind: 'agent', object: agent('agt_a') },
          { kind: 'agent', object: agent('agt_b') },
        ],
        'admin',
      ),
    ).toBe(before + 1);
    expect(await store.write([{ kind: 'remove-agent', id: 'agt_b' }], 'admin')).toBe(before + 2);
    expect(contents(store).agents.map(({ client_id }) => client_id)).toEqual(['agt_a']);
  });

  it('ends the sessions of an agent that is removed and all below them, each with its record and number', async () => {
    const store = await empty();
    const { prisma } = database();
    await store.write([{ kind: 'agent', object: agent('agt_gone') }], 'admin');
    await prisma.$executeRawUnsafe(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, expires_at, parent_id)
       SELECT id, id, 'prs_1', agent, 'active', 4, now() + interval '1 hour', above
       FROM (VALUES ('ses_gone', 'agt_gone', NULL), ('ses_below', 'agt_b', 'ses_gone'), ('ses_other', 'agt_b', NULL))
         AS v(id, agent, above)`,
    );
    await store.write([{ kind: 'remove-agent', id: 'agt_gone' }], 'admin');
    const state = await prisma.$queryRawUnsafe(
      `SELECT s.id, s.status, s.ended_reason, s.last_sequence, r.reason AS number, l.sequence AS record
       FROM agent_session s LEFT JOIN revocation r ON r.target = 'session:' || s.id
         LEFT JOIN log_leaf l ON l.session_id = s.id WHERE s.person_id = 'prs_1' ORDER BY s.id`,
    );
    const gone = { status: 'ended', ended_reason: 'agent removed', last_sequence: 5, record: 5 };
    expect(state).toEqual([
      { id: 'ses_below', ...gone, number: 'changed in the registry' },
      { id: 'ses_gone', ...gone, number: 'changed in the registry' },
      { id: 'ses_other', status: 'active', ended_reason: null, last_sequence: 4, number: null, record: null },
    ]);
  });

  it('removes an agent however many sessions it has', async () => {
    const store = await empty();
    const { prisma } = database();
    await store.write([{ kind: 'agent', object: agent('agt_busy') }], 'admin');
    await prisma.$executeRawUnsafe(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, expires_at)
       SELECT 'busy-' || n, 'busy-' || n, 'prs_2', 'agt_busy', 'active', 1, now() + interval '1 hour'
       FROM generate_series(1, 1200) AS n`,
    );
    await store.write([{ kind: 'remove-agent', id: 'agt_busy' }], 'admin');
    const [found] = await prisma.$queryRawUnsafe<object[]>(
      `SELECT count(*) FILTER (WHERE status = 'ended')::int AS ended,
         (SELECT count(*)::int FROM revocation WHERE target LIKE 'session:busy-%') AS numbers FROM agent_session
       WHERE agent_id = 'agt_busy'`,
    );
    expect(found).toEqual({ ended: 1_200, numbers: 1_200 });
  });

  it('records each change with what it replaced and never with a secret', async () => {
    const store = await empty();
    const first = agent('agt_a');
    const renamed = agent('agt_a', { name: 'Renamed' });
    const version = await store.write([{ kind: 'agent', object: first, secret: 'tell-nobody' }], 'alice');
    await store.write(
      [
        { kind: 'agent', object: renamed },
        { kind: 'issuer', object: issuer('https://idp.example') },
      ],
      'bob',
    );
    await store.write([{ kind: 'remove-agent', id: 'agt_a' }], 'carol');
    expect(await records()).toEqual([
      { change: { kind: 'agent', id: 'agt_a', object: first, secretWasSet: true }, before: null, by: 'alice', version },
      {
        change: { kind: 'agent', id: 'agt_a', object: renamed, secretWasSet: false },
        before: first,
        by: 'bob',
        version: version + 1,
      },
      {
        change: {
          kind: 'issuer',
          id: 'https://idp.example',
          object: issuer('https://idp.example'),
          secretWasSet: false,
        },
        before: null,
        by: 'bob',
        version: version + 1,
      },
      {
        change: { kind: 'remove-agent', id: 'agt_a', secretWasSet: false },
        before: renamed,
        by: 'carol',
        version: version + 2,
      },
    ]);
    const [stored] = await database().prisma.$queryRawUnsafe<{ everything: string }[]>(
      `SELECT string_agg(encode(leaf, 'escape'), '') || (SELECT coalesce(string_agg(agent::text, ''), '') FROM agent) AS everything FROM log_leaf`,
    );
    expect(stored?.everything).toContain('agt_a');
    expect(stored?.everything).not.toContain('tell-nobody');
  });

  it('keeps a secret as a hash until a new one is set or the client stops having one', async () => {
    const store = await empty();
    const hash = () => store.current().agent('agt_a')?.secretHash;
    await store.write([{ kind: 'agent', object: agent('agt_a'), secret: 'one' }], 'admin');
    const first = hash();
    expect(await verifySecret('one', first ?? '')).toBe(true);
    await store.write([{ kind: 'agent', object: agent('agt_a', { name: 'Renamed' }) }], 'admin');
    expect(hash()).toBe(first);
    await store.write([{ kind: 'agent', object: agent('agt_a'), secret: 'two' }], 'admin');
    expect(await verifySecret('two', hash() ?? '')).toBe(true);
    expect(await verifySecret('one', hash() ?? '')).toBe(false);
    const keyed = agent('agt_a', { authentication: { method: 'private_key_jwt', jwks_uri: 'https://a.example/jwks' } });
    await store.write([{ kind: 'agent', object: keyed }], 'admin');
    expect(hash()).toBeUndefined();
  });

  it('writes all of a call or nothing, and says when another object has the client id', async () => {
    const store = await empty();
    await store.write([{ kind: 'server', object: server('https://mcp.example/files', 'srv_files') }], 'admin');
    const before = contents(store);
    const clash = [
      { kind: 'agent', object: agent('agt_new') },
      { kind: 'server', object: server('https://mcp.example/other', 'srv_files') },
    ] as const;
    await expect(store.write(clash, 'admin')).rejects.toMatchObject({ code: 'registry_unsettled' });
    await expect(store.write([{ kind: 'agent', object: agent('srv_files') }], 'admin')).rejects.toMatchObject({
      code: 'registry_unsettled',
    });
    await expect(
      store.write(
        [
          { kind: 'agent', object: agent('agt_a') },
          { kind: 'remove-agent', id: 'agt_a' },
        ],
        'admin',
      ),
    ).rejects.toMatchObject({ code: 'internal' });
    expect(contents(await open())).toEqual(before);
    expect(await records()).toHaveLength(1);
  });

  it('gives every one of ten writers at once its own version', async () => {
    const store = await empty();
    const before = store.current().version;
    const versions = await Promise.all(
      Array.from({ length: 10 }, (_, n) => store.write([{ kind: 'agent', object: agent(`agt_${n}`) }], 'admin')),
    );
    expect(versions.sort((a, b) => a - b)).toEqual(Array.from({ length: 10 }, (_, n) => before + 1 + n));
    expect(contents(store)).toMatchObject({ version: before + 10 });
    expect(contents(store).agents).toHaveLength(10);
    expect(await records()).toHaveLength(10);
  });

  it('writes a thousand objects in one call', async () => {
    const store = await empty();
    const many = Array.from({ length: 1_000 }, (_, n) => ({ kind: 'agent', object: agent(`agt_${n}`) }) as const);
    await store.write(many, 'admin');
    expect(contents(store).agents).toHaveLength(1_000);
  });

  const ids = (store: RegistryStore) => ({
    agents: [...store.current().agents].map(({ client_id }) => client_id),
    servers: [...store.current().servers].map(({ resource }) => resource),
  });
  /** Copies by SQL alone: of such a change nobody says what it was. */
  const multiply = async (counts: { agents: number; servers: number }): Promise<void> => {
    const { prisma } = database();
    await prisma.$executeRawUnsafe(
      `INSERT INTO agent (client_id, status, document)
       SELECT 'agt_' || n, status, jsonb_set(document, '{client_id}', to_jsonb('agt_' || n))
       FROM agent, generate_series(1, $1::int) AS n WHERE client_id = 'agt_a'`,
      counts.agents,
    );
    await prisma.$executeRawUnsafe(
      `INSERT INTO mcp_server (resource, client_id, status, document)
       SELECT resource || n, client_id || n, status,
         document || jsonb_build_object('resource', resource || n, 'client_id', client_id || n)
       FROM mcp_server, generate_series(1, $1::int) AS n`,
      counts.servers,
    );
    await prisma.$executeRawUnsafe(`UPDATE registry_state SET version = version + 1`);
  };
  const FILES = 'https://mcp.example/files';
  const furnished = async (): Promise<RegistryStore> => {
    const store = await empty();
    await store.write(
      [
        { kind: 'agent', object: agent('agt_a'), secret: 'one' },
        { kind: 'agent', object: agent('agt_b') },
        { kind: 'server', object: server(FILES, 'srv_files') },
        { kind: 'issuer', object: issuer('https://idp.example') },
      ],
      'admin',
    );
    return store;
  };
  const copies = (name: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${name}${n + 1}`);

  it.each([
    { agents: 498, servers: 499 },
    { agents: 3_000, servers: 1_234 },
  ])('reads thousands of objects whole and in the order of their ids ($agents agents)', async (counts) => {
    const store = await furnished();
    await multiply(counts);
    await store.refresh();
    const expected = {
      agents: ['agt_a', 'agt_b', ...copies('agt_', counts.agents)].sort(),
      servers: [FILES, ...copies(FILES, counts.servers)].sort(),
    };
    expect(ids(store)).toEqual(expected);
    expect(contents(await open())).toEqual(contents(store));
  });

  it('reads no more than what changed, and leaves every other object the same', async () => {
    const here = await furnished();
    const there = await open();
    const before = here.current();
    await there.write([{ kind: 'agent', object: agent('agt_a', { name: 'Renamed' }) }], 'admin');
    await there.write(
      [
        { kind: 'remove-agent', id: 'agt_b' },
        { kind: 'agent', object: agent('agt_0') },
        { kind: 'remove-issuer', id: 'https://idp.example' },
      ],
      'admin',
    );
    await here.refresh();
    expect(contents(here)).toEqual(contents(await open()));
    expect(ids(here).agents).toEqual(['agt_0', 'agt_a']);
    expect(here.current().agent('agt_a')).toMatchObject({ name: 'Renamed', secretHash: expect.any(String) });
    expect(here.current().serverByResource(FILES)).toBe(before.serverByResource(FILES));
    expect(here.current().version).toBe(before.version + 2);
  });

  it('reads everything after a version of which nobody says what it changed', async () => {
    const store = await furnished();
    await multiply({ agents: 1, servers: 0 });
    await store.write([{ kind: 'agent', object: agent('agt_b', { name: 'Renamed' }) }], 'admin');
    expect(ids(store).agents).toEqual(['agt_1', 'agt_a', 'agt_b']);
  });

  it('keeps up with a change of more objects than it reads in one statement', async () => {
    const here = await furnished();
    const there = await open();
    const many = copies('agt_many_', 1_001).map((id) => ({ kind: 'agent', object: agent(id) }) as const);
    await there.write(many, 'admin');
    await here.refresh();
    expect(contents(here)).toEqual(contents(there));
    expect(ids(here).agents).toHaveLength(1_003);
  });

  it('knows what each of the last thousand versions changed, and of none before', async () => {
    const store = await furnished();
    const { prisma } = database();
    const described = async (): Promise<number[]> =>
      (await prisma.registryChange.findMany({ orderBy: { version: 'asc' } })).map(({ version }) => Number(version));
    await prisma.$executeRawUnsafe('TRUNCATE registry_change');
    await prisma.$executeRawUnsafe('UPDATE registry_state SET version = version + 2000');
    const version = await store.write([{ kind: 'remove-agent', id: 'agt_b' }], 'admin');
    for (const old of [version - 999, version - 998])
      await prisma.registryChange.create({ data: { version: old, agents: [], servers: [], issuers: [] } });
    expect(await store.write([{ kind: 'remove-agent', id: 'agt_a' }], 'admin')).toBe(version + 1);
    expect(await described()).toEqual([version - 998, version, version + 1]);
    expect(await prisma.registryChange.findUnique({ where: { version: version + 1 } })).toMatchObject({
      agents: ['agt_a'],
      servers: [],
      issuers: [],
    });
  });

  it('has what was changed while it was read', async () => {
    const store = await furnished();
    await multiply({ agents: 600, servers: 0 });
    await store.refresh();
    const away = ['agt_1', 'agt_b'];
    let isChanged = false;
    const rows: typeof openedRows = async (sql, values) => {
      const page = await openedRows(sql, values);
      if (!isChanged && sql.includes('FROM agent')) {
        isChanged = true;
        const renamed = { kind: 'agent', object: agent('agt_a', { name: 'Renamed' }) } as const;
        await store.write([renamed, ...away.map((id) => ({ kind: 'remove-agent', id }) as const)], 'admin');
      }
      return page;
    };
    const { rows: openedRows } = database();
    const read = await openRegistry({ ...database(), rows }, { hashSecret, recordOf, now: () => 0 });
    expect(isChanged).toBe(true);
    expect(contents(read)).toEqual(contents(store));
    expect(ids(read).agents).toEqual(['agt_a', ...copies('agt_', 600).slice(1)].sort());
    expect(read.current().agent('agt_a')?.name).toBe('Renamed');
  });

  it('gives up a read of a registry that never stops changing', async () => {
    await furnished();
    const { rows: openedRows, prisma } = database();
    const rows: typeof openedRows = async (sql, values) => {
      if (sql.includes('FROM trusted_issuer'))
        await prisma.$executeRawUnsafe('UPDATE registry_state SET version = version + 1');
      return openedRows(sql, values);
    };
    await expect(openRegistry({ ...database(), rows }, { hashSecret, recordOf, now: () => 0 })).rejects.toMatchObject({
      code: 'registry_unsettled',
    });
  });

  it('refuses a row that it cannot read, and names it', async () => {
    const store = await empty();
    await store.write([{ kind: 'agent', object: agent('agt_a') }], 'admin');
    await database().prisma.$executeRawUnsafe(`UPDATE agent SET document = document - 'owner'`);
    await database().prisma.$executeRawUnsafe(`UPDATE registry_state SET version = version + 1`);
    const unreadable = { code: 'registry_unreadable', message: expect.stringMatching(/agent agt_a .*owner/s) };
    await expect(store.refresh()).rejects.toMatchObject(unreadable);
    await expect(open()).rejects.toMatchObject(unreadable);
    expect(store.current().agent('agt_a')).toBeDefined();
  });

  it('shows a change of another replica after a refresh that was asked for later, also when many ask', async () => {
    const here = await empty();
    const there = await open();
    const early = here.refresh();
    const version = await there.write([{ kind: 'agent', object: agent('agt_a') }], 'admin');
    const late = await Promise.all([here.refresh(), here.refresh(), here.refresh()]);
    await early;
    expect(late.map((snapshot) => snapshot.version)).toEqual([version, version, version]);
    expect(here.current().version).toBe(version);
  });

  it('watches for changes of other replicas, until told to stop', async () => {
    const here = await empty();
    const there = await open();
    const stop = here.watch(20);
    const version = await there.write([{ kind: 'agent', object: agent('agt_a') }], 'admin');
    for (let waited = 0; here.current().version < version && waited < 5_000; waited += 20) await pause(20);
    expect(here.current().version).toBe(version);
    stop();
    await pause(50);
    await there.write([{ kind: 'remove-agent', id: 'agt_a' }], 'admin');
    await pause(100);
    expect(here.current().version).toBe(version);
  });

  it('keeps the old snapshot and throws a Fault while the database is away', async () => {
    const { database: away, options, drop } = await freshDatabase(kind);
    const store = await openRegistry(away, { hashSecret, recordOf, now: () => 0 });
    await store.write([{ kind: 'agent', object: agent('agt_a') }], 'admin');
    const before = contents(store);
    await away.close();
    await expect(store.refresh()).rejects.toMatchObject({ code: 'database_unavailable' });
    await expect(store.write([{ kind: 'agent', object: agent('agt_b') }], 'admin')).rejects.toMatchObject({
      code: 'database_unavailable',
    });
    expect(contents(store)).toEqual(before);
    const back = await openDatabase(options);
    expect(contents(await openRegistry(back, { hashSecret, recordOf, now: () => 0 }))).toEqual(before);
    await back.close();
    await drop();
  });
});
