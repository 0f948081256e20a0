import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { parseYaml } from '../../src/config/index.js';
import { type AdminServer, NO_EFFECT, problem, startAdmin, statusAndBody } from '../support/admin.js';

let admin: AdminServer;
beforeAll(async () => {
  admin = await startAdmin();
});
afterAll(() => admin.close());

const example = parseYaml(readFileSync('config/examples/registry.yaml', 'utf8'));
const document = (example.ok ? example.value[0] : undefined) as unknown as Document;
type Document = { agents: Thing[]; servers: Thing[]; issuers: Thing[] };
type Thing = Record<string, unknown>;
const FILES = 'https://mcp.example.com/files';
const MAIL = 'https://mcp.example.com/mail';

const created = [
  { kind: 'agent', id: 'agt_planner', change: 'created', fields: [] },
  { kind: 'server', id: FILES, change: 'created', fields: [] },
  { kind: 'server', id: MAIL, change: 'created', fields: [] },
  { kind: 'issuer', id: 'https://login.example.com', change: 'created', fields: [] },
];
const unchanged = created.map((change) => ({ ...change, change: 'unchanged' }));

const version = (): number => admin.registry.current().version;
const logged = async (): Promise<number> =>
  ((await admin.ask('GET', '/log?limit=200&kind=registry')).body as { items: unknown[] }).items.length;

beforeEach(async () => {
  const { prisma } = admin.fresh.database;
  await prisma.$executeRawUnsafe('TRUNCATE agent, mcp_server, trusted_issuer, log_leaf');
  await prisma.$executeRawUnsafe('UPDATE registry_state SET version = version + 1');
  await admin.registry.refresh();
});

describe('applying a document', () => {
  it('makes the registry of the example file in one step', async () => {
    const before = version();
    const answer = await admin.ask('POST', '/apply', document);
    expect(statusAndBody(answer)).toStrictEqual({
      status: 200,
      body: { dry_run: false, version: before + 1, changes: created },
    });
    expect(await logged()).toBe(4);
  });

  it('changes, records and counts nothing the second time', async () => {
    await admin.ask('POST', '/apply', document);
    const before = version();
    const answer = await admin.ask('POST', '/apply', document);
    expect(answer.body).toStrictEqual({ dry_run: false, version: before, changes: unchanged });
    expect([version(), await logged()]).toStrictEqual([before, 4]);
  });

  it('says what it would change, field by field, and changes nothing when it is a dry run', async () => {
    await admin.ask('POST', '/apply', document);
    const before = version();
    const [files, mail] = structuredClone(document.servers);
    const changed = {
      ...files,
      name: 'File store',
      dpop_required: true,
      tools: [
        { ...(files?.['tools'] as Record<string, unknown>[])[0], tier: 'medium' },
        { name: 'list_files', scopes: ['files:read'], tier: 'low' },
        ...(files?.['tools'] as unknown[]).slice(1),
      ],
    };
    const answer = await admin.ask('POST', '/apply?dry_run=true', { servers: [changed, mail] });
    expect(answer.body).toStrictEqual({
      dry_run: true,
      version: before,
      changes: [
        {
          kind: 'server',
          id: FILES,
          change: 'changed',
          fields: [
            { field: 'name', before: 'Files', after: 'File store' },
            { field: 'dpop_required', before: false, after: true },
            { field: 'tools[read_file].tier', before: 'low', after: 'medium' },
            {
              field: 'tools[list_files]',
              after: { name: 'list_files', scopes: ['files:read'], tier: 'low', sensitive: [] },
            },
          ],
        },
        { kind: 'server', id: MAIL, change: 'unchanged', fields: [] },
      ],
      effect: NO_EFFECT,
    });
    expect([version(), await logged()]).toStrictEqual([before, 4]);
    expect(admin.registry.current().serverByResource(FILES)?.name).toBe('Files');
  });

  it('sees a change of order only', async () => {
    await admin.ask('POST', '/apply', document);
    const [files] = structuredClone(document.servers);
    const turned = { ...files, scopes: ['files:write', 'files:read'] };
    const answer = await admin.ask('POST', '/apply?dry_run=true', { servers: [turned] });
    expect(answer.body).toMatchObject({
      changes: [
        {
          change: 'changed',
          fields: [{ field: 'scopes', before: ['files:read', 'files:write'], after: ['files:write', 'files:read'] }],
        },
      ],
    });
  });

  it('leaves what it does not name, and removes it when it prunes', async () => {
    await admin.ask('POST', '/apply', document);
    const [files, mail] = document.servers;
    expect((await admin.ask('POST', '/apply', { servers: [files] })).body).toMatchObject({
      changes: [{ change: 'unchanged' }],
    });
    const agents = [{ ...document.agents[0], allow: [] }];
    const answer = await admin.ask('POST', '/apply', { servers: [mail], agents, prune: true });
    expect(answer.body).toMatchObject({
      changes: [
        { kind: 'agent', id: 'agt_planner', change: 'changed' },
        { kind: 'server', id: FILES, change: 'removed' },
        { kind: 'server', id: MAIL, change: 'unchanged' },
      ],
    });
    expect([...admin.registry.current().servers].map(({ resource }) => resource)).toStrictEqual([MAIL]);
    // It had no list of issuers, so none was removed.
    expect([...admin.registry.current().issuers]).toHaveLength(1);
  });

  it('keeps the secret of a client that is applied again', async () => {
    await admin.ask('POST', '/apply', document);
    await admin.ask('POST', `/servers/${encodeURIComponent(MAIL)}/secret`);
    const kept = admin.registry.current().serverByResource(MAIL)?.secretHash;
    const [, mail] = document.servers;
    await admin.ask('POST', '/apply', { servers: [{ ...mail, name: 'Post' }] });
    expect(admin.registry.current().serverByResource(MAIL)).toMatchObject({ name: 'Post', secretHash: kept });
  });

  it('does all of it or nothing, and names each place that is wrong', async () => {
    const agents = [{ ...document.agents[0], allow: [{ resource: FILES, scopes: ['files:own'], tools: ['wipe'] }] }];
    const answer = await admin.ask('POST', '/apply', { ...document, agents });
    expect(statusAndBody(answer)).toStrictEqual(
      problem(
        'invalid_field',
        undefined,
        ['agents.0.allow.0.scopes.0', `${FILES} has no scope files:own`],
        ['agents.0.allow.0.tools.0', `${FILES} has no tool wipe`],
      ),
    );
    expect([...admin.registry.current().servers]).toStrictEqual([]);
  });

  it('refuses one object twice, a removal that leaves a hole, and what is no document', async () => {
    const [agent] = document.agents;
    expect(statusAndBody(await admin.ask('POST', '/apply', { ...document, agents: [agent, agent] }))).toStrictEqual(
      problem('invalid_field', undefined, ['agents.1.client_id', 'is named twice in this document']),
    );
    await admin.ask('POST', '/apply', document);
    expect(
      statusAndBody(await admin.ask('POST', '/apply', { servers: [document.servers[1]], prune: true })),
    ).toStrictEqual(
      problem('invalid_field', undefined, ['agent agt_planner: allow.0.resource', `there is no MCP server ${FILES}`]),
    );
    expect(statusAndBody(await admin.ask('POST', '/apply', { tenants: [] }))).toStrictEqual(
      problem('invalid_field', undefined, ['tenants', 'is not a field']),
    );
    expect(statusAndBody(await admin.ask('POST', '/apply?dry_run=yes', document))).toMatchObject({
      status: 400,
      body: { param: 'dry_run' },
    });
    expect((await admin.ask('POST', '/apply')).status).toBe(400);
  });

  it('lets simultaneous changes take turns, so that none of them breaks a rule', async () => {
    await admin.ask('POST', '/apply', { servers: document.servers });
    const [agent] = document.agents;
    const answers = await Promise.all([
      admin.ask('PUT', '/agents/agt_planner', agent),
      admin.ask('DELETE', `/servers/${encodeURIComponent(FILES)}`),
    ]);
    expect(answers.map(({ status }) => status).sort()).toStrictEqual([201, 409]);
  });
});
