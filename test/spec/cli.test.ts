import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { openSessions } from '../../src/storage/index.js';
import { OWNER, PEOPLE, SPONSOR } from '../support/accountable.js';
import { ADMIN, type AdminServer, NOW, OUR_ISSUER, startAdmin } from '../support/admin.js';
import { close, listen } from '../support/company.js';
import { type Compiled, compileSource } from '../support/compiled.js';

/** Every command is a process of its own. */
jest.setTimeout(120_000);

let admin: AdminServer;
let compiled: Compiled;
let directory: string;
/** The registry's version at the start of a test. */
let base: number;
beforeAll(async () => {
  compiled = compileSource();
  directory = mkdtempSync(join(tmpdir(), 'writ-cli-'));
  admin = await startAdmin();
});
afterAll(async () => {
  await admin.close();
  compiled.remove();
  rmSync(directory, { recursive: true });
});

beforeEach(async () => {
  const { prisma } = admin.fresh.database;
  await prisma.$executeRawUnsafe('TRUNCATE agent, mcp_server, trusted_issuer, agent_session, log_leaf');
  await prisma.$executeRawUnsafe('UPDATE registry_state SET version = version + 1');
  base = (await admin.registry.refresh()).version;
});

type Result = { code: number | null; out: string; err: string };
type Start = { env?: Record<string, string>; input?: string; until?: RegExp };

/** The command as a process of its own, started in a directory of its own. */
function writ(args: string[], { env, input = '', until }: Start = {}): Promise<Result> {
  const main = join(compiled.directory, 'src', 'cli', 'main.js');
  const ours = { WRIT_ISSUER: admin.url, WRIT_ADMIN_TOKEN: ADMIN };
  const child = spawn(process.execPath, [main, ...args], {
    cwd: directory,
    env: { PATH: process.env['PATH'] ?? '', ...ours, ...env },
  });
  const result: Result = { code: null, out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    result.out += text;
    if (until?.test(result.out) === true) child.kill();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (result.err += text));
  child.stdin.on('error', () => undefined).end(input);
  return new Promise((resolve) =>
    child.on('close', (code) => {
      resolve({ ...result, code });
    }),
  );
}

/** The last line of a refusal. */
const see = (code: string): string => `  see ${OUR_ISSUER}/admin/v1/problems/${code}\n`;

const EXAMPLE = join(process.cwd(), 'config', 'examples', 'registry.yaml');
const example = readFileSync(EXAMPLE, 'utf8');
const file = (text: string): string => {
  const path = join(directory, 'registry.yaml');
  writeFileSync(path, text);
  return path;
};

describe('writ policy', () => {
  const rules = (text: string): string => {
    const folder = mkdtempSync(join(directory, 'policies-'));
    writeFileSync(join(folder, 'rules.cedar'), text);
    return folder;
  };
  const parsed = async (...args: string[]): Promise<unknown> => JSON.parse((await writ([...args, '--json'])).out);

  it('stages a set, activates it, goes back to the one before, and shows what there is', async () => {
    const [one, two] = [
      rules('@id("one")\npermit (principal, action, resource);\n'),
      rules('@id("two")\npermit (principal, action, resource);\n'),
    ];
    const { hash: first } = (await parsed('policy', 'stage', one)) as { hash: string };
    const activated = await parsed('policy', 'activate', first);
    expect(activated).toEqual({ result: 'activated', hash: first, before: null, version: base + 1 });
    const staged = await writ(['policy', 'stage', two, '--activate']);
    const second = /hash: (\S+)/.exec(staged.out)?.[1] ?? '';
    expect([staged.code, staged.err, staged.out]).toEqual([
      0,
      '',
      [
        ...['result: staged', `hash: ${second}`, 'policies: 1'],
        ...['result: activated', `hash: ${second}`, `before: ${first}`, `version: ${base + 2}`],
        '',
      ].join('\n'),
    ]);
    expect((await writ(['policy', 'activate', first, '--preview'])).out).toBe('no token lives\n');
    expect(await parsed('policy', 'activate', first, '--preview')).toMatchObject({
      ...{ considered: 0, complete: true, tokens: 0, losses: [] },
    });
    expect(await parsed('policy', 'rollback', '--dry-run')).toMatchObject({
      result: 'would_be_activated',
      hash: first,
    });
    expect(await parsed('policy', 'rollback')).toMatchObject({ result: 'activated', hash: first, before: second });
    const sets = (await parsed('policy', 'list')) as { hash: string; active: boolean }[];
    expect(new Map(sets.map(({ hash, active }) => [hash, active]))).toEqual(
      new Map([
        [first, true],
        [second, false],
      ]),
    );
    expect(await parsed('policy', 'show', second)).toMatchObject({ hash: second, files: [{ path: 'rules.cedar' }] });
  });

  it('ends with 1 and names file, line and column when the set is refused', async () => {
    const { code, out, err } = await writ(['policy', 'stage', rules('permit (principal, action, resource);')]);
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(/rules\.cedar:1:1.*has no @id/);
  });
});

describe('writ apply', () => {
  it('prints what it would do, does it, and has nothing to do the second time', async () => {
    const created = [
      '+ agent agt_planner',
      '+ server https://mcp.example.com/files',
      '+ server https://mcp.example.com/mail',
      '+ issuer https://login.example.com',
    ];
    expect(await writ(['apply', '-f', EXAMPLE, '--dry-run'])).toStrictEqual({
      code: 0,
      out: `${[...created, `Would be: 4 created (registry version ${base})`].join('\n')}\n`,
      err: '',
    });
    expect([...admin.registry.current().agents]).toStrictEqual([]);
    expect((await writ(['apply', '-f', EXAMPLE])).out).toBe(
      `${[...created, `Applied: 4 created (registry version ${base + 1})`].join('\n')}\n`,
    );
    expect((await writ(['apply', '-f', EXAMPLE])).out).toBe(
      `Nothing changed: 4 unchanged (registry version ${base + 1})\n`,
    );
  });

  it('prints a change field by field, from standard input, and prunes when asked', async () => {
    await writ(['apply', '-f', EXAMPLE]);
    const changed = example
      .replace('name: Files', 'name: File store')
      .replace('tier: high', 'tier: critical')
      .replace(/^issuers:[^]*/m, 'issuers: []\n');
    expect(await writ(['apply', '-f', '-', '--prune'], { input: changed })).toStrictEqual({
      code: 0,
      out: [
        '~ server https://mcp.example.com/files',
        '    name: "Files" -> "File store"',
        '    tools[write_file].tier: "high" -> "critical"',
        '- issuer https://login.example.com',
        `Applied: 1 changed, 1 removed, 2 unchanged (registry version ${base + 2})\n`,
      ].join('\n'),
      err: '',
    });
  });

  it('takes several documents, and what get printed', async () => {
    await writ(['apply', '-f', EXAMPLE]);
    const server = await writ(['servers', 'get', 'https://mcp.example.com/files']);
    const agent = await writ(['agents', 'get', 'agt_planner']);
    const again = await writ(['apply', '-f', '-', '--json'], { input: `${server.out}---\n${agent.out}` });
    expect(JSON.parse(again.out)).toStrictEqual({
      dry_run: false,
      version: base + 1,
      changes: [
        { kind: 'agent', id: 'agt_planner', change: 'unchanged', fields: [] },
        { kind: 'server', id: 'https://mcp.example.com/files', change: 'unchanged', fields: [] },
      ],
    });
  });

  it('ends with 1 and names each field when Writ refuses', async () => {
    const path = file(
      example.replace('tools: [read_file, write_file] }', 'tools: [wipe] }').replace("'*'", '[send_fax]'),
    );
    expect(await writ(['apply', '-f', path])).toStrictEqual({
      code: 1,
      out: '',
      err: [
        'writ: invalid_field:',
        '  agents.0.allow.0.tools.0: https://mcp.example.com/files has no tool wipe',
        '  agents.0.allow.1.tools.0: https://mcp.example.com/mail has no tool send_fax',
        see('invalid_field'),
      ].join('\n'),
    });
  });

  it.each([
    ['there is no such file', ['apply', '-f', 'lost.yaml'], '', 'writ: there is no file lost.yaml\n'],
    [
      'it names a list that Writ has not',
      ['apply', '-f', '-'],
      'tenants: []',
      'writ: -: tenants is not one of agents, servers and issuers\n',
    ],
    ['a list is none', ['apply', '-f', '-'], 'agents: {}', 'writ: -: agents must be a list\n'],
    [
      'a key is there twice',
      ['apply', '-f', '-'],
      'agents: []\nagents: []',
      'writ: -: Map keys must be unique at line 2, column 1:\n',
    ],
    ['it is empty', ['apply', '-f', '-'], '# nothing', 'writ: - is empty\n'],
  ])('ends with 2 when %s', async (_, args, input, err) => {
    expect(await writ(args, { input })).toStrictEqual({ code: 2, out: '', err });
  });
});

describe('writ agents, servers and issuers', () => {
  it('list in columns or as JSON', async () => {
    expect((await writ(['agents', 'list'])).out).toBe('none\n');
    await writ(['apply', '-f', EXAMPLE]);
    expect((await writ(['agents', 'list'])).out).toBe(
      [
        'CLIENT_ID    STATUS  OWNER                       EXPIRES_AT                NAME',
        `agt_planner  active  ${admin.registry.current().agent('agt_planner')?.owner ?? ''}  2027-11-22T12:00:00.000Z  Planner\n`,
      ].join('\n'),
    );
    const issuers: unknown = JSON.parse((await writ(['issuers', 'list', '--json'])).out);
    expect(issuers).toMatchObject([
      { issuer: 'https://login.example.com', client_ids: { 'planner-at-login': 'agt_planner' } },
    ]);
  });

  it('make a secret once, for a client that may have one', async () => {
    await writ(['apply', '-f', EXAMPLE]);
    const made = await writ(['servers', 'secret', 'https://mcp.example.com/mail', '--json']);
    expect(JSON.parse(made.out)).toStrictEqual({
      client_id: 'mcp_mail',
      client_secret: expect.stringMatching(/^wcs_[\w-]{43}$/),
    });
    expect(await writ(['agents', 'secret', 'agt_planner'])).toStrictEqual({
      code: 1,
      out: '',
      err: `writ: conflict: The agent agt_planner is registered for private_key_jwt and has no secret\n${see('conflict')}`,
    });
  });

  it('remove what nothing else names', async () => {
    await writ(['apply', '-f', EXAMPLE]);
    expect(await writ(['agents', 'remove', 'agt_planner'])).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /^writ: in_use:\n {2}issuer https:\/\/login\.example\.com: agents\.0: there is no agent agt_planner\n/,
      ),
    });
    expect((await writ(['issuers', 'remove', 'https://login.example.com'])).out).toBe(
      'removed trusted issuer https://login.example.com\n',
    );
    expect(await writ(['agents', 'remove', 'agt_planner', '--json'])).toMatchObject({
      code: 0,
      out: '{"id":"agt_planner","result":"removed"}\n',
    });
    expect(await writ(['agents', 'get', 'agt_planner'])).toMatchObject({
      code: 1,
      err: `writ: not_found: There is no agent agt_planner\n${see('not_found')}`,
    });
  });
});

describe('writ agents, servers and issuers, one by one', () => {
  const RESOURCE = 'https://mcp.example.com/files';
  const OWNED = ['--owner', 'me@example.com'];
  const ANSWERED = ['--owner', OWNER, '--sponsor', `${PEOPLE}#sponsor`];
  const TOOLS = ['--tool', 'read_file:low:read:internal=files:read', '--tool', 'write_file:high=files:write'];
  const createServer = (...more: string[]): Promise<Result> =>
    writ(['servers', 'create', RESOURCE, ...OWNED, ...TOOLS, '--secret', ...more]);
  const createAgent = (...more: string[]): Promise<Result> =>
    writ(['agents', 'create', 'agt_planner', ...ANSWERED, '--purpose', 'Plans', ...more]);
  const planner = (): unknown => admin.registry.current().agent('agt_planner');
  const files = (): unknown => admin.registry.current().serverByResource(RESOURCE);
  const privateFile = (name: string): string => join(directory, `${name}-${randomUUID()}.jwk.json`);

  it('are registered by flags alone, with a key of their own that only their owner may read', async () => {
    const [serverKey, agentKey] = [privateFile('server'), privateFile('agent')];
    expect(await writ(['servers', 'create', RESOURCE, ...OWNED, ...TOOLS, '--new-key', serverKey])).toStrictEqual({
      code: 0,
      out: `created MCP server ${RESOURCE}\n  its private key is in ${serverKey}, and nowhere else: give it to the MCP server\n`,
      err: '',
    });
    const agent = await createAgent('--new-key', agentKey, '--allow', `${RESOURCE}#read_file`);
    expect(agent).toMatchObject({ code: 0, err: '' });
    expect(files()).toMatchObject({
      client_id: 'mcp_files',
      scopes: ['files:read', 'files:write'],
      tools: [
        { name: 'read_file', tier: 'low', action: 'read', data: 'internal', scopes: ['files:read'] },
        { name: 'write_file', tier: 'high', scopes: ['files:write'] },
      ],
    });
    const { d, ...publicHalf } = JSON.parse(readFileSync(agentKey, 'utf8')) as Record<string, string>;
    expect(d).toMatch(/^[\w-]{43}$/);
    expect(statSync(agentKey).mode & 0o777).toBe(0o600);
    expect(planner()).toMatchObject({
      name: 'agt_planner',
      owner: OWNER,
      sponsor: SPONSOR,
      allow: [{ resource: RESOURCE, scopes: ['files:read'], tools: ['read_file'] }],
      authentication: { method: 'private_key_jwt', jwks: { keys: [publicHalf] } },
    });
    expect(JSON.stringify(planner())).not.toContain(d);
  });

  it('are never created over one that is there', async () => {
    await createAgent('--secret');
    expect(await createAgent('--secret', '--name', 'Other')).toStrictEqual({
      code: 1,
      out: '',
      err: 'writ: there is the agent agt_planner already; look at it with writ agents get, alter it with writ agents change\n',
    });
    expect(planner()).toMatchObject({ name: 'agt_planner' });
  });

  it('leave no trace of a dry run or a refusal, not even the key', async () => {
    const key = privateFile('agent');
    expect((await createServer('--dry-run')).out).toBe(`would be created: MCP server ${RESOURCE}\n`);
    expect((await createAgent('--new-key', key, '--dry-run')).code).toBe(0);
    expect(await createAgent('--new-key', key, '--expires', '2020-01-01')).toStrictEqual({
      code: 1,
      out: '',
      err: `writ: invalid_field: expires_at: must be in the future\n${see('invalid_field')}`,
    });
    expect([planner(), files(), existsSync(key)]).toStrictEqual([undefined, undefined, false]);
    await createAgent('--secret');
    expect((await writ(['agents', 'remove', 'agt_planner', '--dry-run'])).out).toBe('removable agent agt_planner\n');
    expect((await writ(['agents', 'retire', 'agt_planner', '--dry-run'])).out).toBe(
      'would be retired: agent agt_planner\n    status: "active" -> "disabled"\n',
    );
    expect(planner()).toMatchObject({ status: 'active' });
  });

  it('have what a change would end worked out only where a dry run asks for it', async () => {
    await createAgent('--secret');
    const queries: string[] = [];
    const front = createHttpServer((request, response) => {
      void (async () => {
        const { method = '', url = '', headers } = request;
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        const body = Buffer.concat(chunks);
        const sent = Object.entries(headers).filter(
          ([name]) => !/^(host|connection|content-length|transfer)/.test(name),
        );
        const init = { method, headers: sent as [string, string][] };
        const answer = await fetch(`${admin.url}${url}`, body.length === 0 ? init : { ...init, body });
        if (method === 'PUT') queries.push(url.replace(/^[^?]*/, ''));
        const etag = answer.headers.get('etag');
        response.writeHead(answer.status, {
          'Content-Type': answer.headers.get('content-type') ?? '',
          ...(etag === null ? {} : { ETag: etag }),
        });
        response.end(await answer.text());
      })();
    });
    const env = { WRIT_ISSUER: await listen(front) };
    const change = ['agents', 'change', 'agt_planner', '--purpose'];
    expect((await writ([...change, 'Tries', '--dry-run'], { env })).code).toBe(0);
    expect(queries.splice(0)).toEqual(['?dry_run=true&effect=true']);
    expect((await writ([...change, 'Sleeps'], { env })).code).toBe(0);
    expect(queries).toEqual(['?dry_run=true&effect=false', '?dry_run=false']);
    await close(front);
  });

  it('are changed in what is named and in nothing else', async () => {
    await createServer();
    await createAgent('--secret', '--allow', `${RESOURCE}#read_file`);
    const changed = await writ(['agents', 'change', 'agt_planner', '--purpose', 'Sleeps', '--allow', RESOURCE]);
    expect(changed).toStrictEqual({
      code: 0,
      out: [
        'changed agent agt_planner',
        '    purpose: "Plans" -> "Sleeps"',
        `    allow: [{"resource":"${RESOURCE}","scopes":["files:read"],"tools":["read_file"]}] -> [{"resource":"${RESOURCE}","scopes":["files:read","files:write"],"tools":"*"}]\n`,
      ].join('\n'),
      err: '',
    });
    expect((await writ(['agents', 'change', 'agt_planner', '--purpose', 'Sleeps'])).out).toBe(
      'unchanged agent agt_planner\n',
    );
    await writ(['agents', 'change', 'agt_planner', '--disallow', RESOURCE, '--dpop', '--set', 'hand_over_to=[]']);
    expect(planner()).toMatchObject({ allow: [], dpop_required: true, purpose: 'Sleeps' });
    await writ(['servers', 'change', RESOURCE, '--tool', 'write_file:critical=files:write', '--scope', 'files:own']);
    expect(files()).toMatchObject({
      scopes: ['files:read', 'files:write', 'files:own'],
      tools: [
        { name: 'read_file', action: 'read' },
        { name: 'write_file', tier: 'critical' },
      ],
    });
  });

  it('are not changed when somebody was faster, which is explained', async () => {
    await createAgent('--secret');
    const [, seen = ''] = /^# ETag: (".+")$/m.exec((await writ(['agents', 'get', 'agt_planner'])).out) ?? [];
    expect((await writ(['agents', 'change', 'agt_planner', '--name', 'A', '--if-match', seen])).code).toBe(0);
    expect(await writ(['agents', 'change', 'agt_planner', '--name', 'B', '--if-match', seen])).toStrictEqual({
      code: 1,
      out: '',
      err: 'writ: the agent agt_planner was changed after it was read, and stays as it is; look at it with writ agents get, then try again\n',
    });
    expect(planner()).toMatchObject({ name: 'A' });
  });

  it('are retired, and brought back', async () => {
    await createServer();
    expect((await writ(['servers', 'retire', RESOURCE])).out).toBe(
      `retired MCP server ${RESOURCE}\n    status: "active" -> "disabled"\n`,
    );
    expect(files()).toMatchObject({ status: 'disabled' });
    const back: unknown = JSON.parse((await writ(['servers', 'change', RESOURCE, '--status', 'active', '--json'])).out);
    expect(back).toMatchObject({ status: 'active', resource: RESOURCE });
    expect((await writ(['agents', 'retire', 'agt_nobody'])).err).toBe(
      `writ: not_found: There is no agent agt_nobody\n${see('not_found')}`,
    );
  });

  it('are taken whole from a file, from JSON on standard input, and as get prints them', async () => {
    await createAgent('--secret');
    const { out } = await writ(['agents', 'get', 'agt_planner']);
    await writ(['agents', 'remove', 'agt_planner']);
    expect((await writ(['agents', 'create', 'agt_planner', '-f', '-'], { input: out })).code).toBe(0);
    const json = (await writ(['agents', 'show', 'agt_planner', '--json'])).out;
    const input = json.replace('"Plans"', '"Rests"');
    expect((await writ(['agents', 'change', 'agt_planner', '-f', '-'], { input })).out).toBe(
      'changed agent agt_planner\n    purpose: "Plans" -> "Rests"\n',
    );
    expect((await writ(['agents', 'change', 'agt_planner', '-f', 'lost.yaml'])).err).toBe(
      'writ: there is no file lost.yaml\n',
    );
  });

  it('trust an issuer by flags', async () => {
    await createAgent('--secret');
    const created = await writ([
      ...['issuers', 'create', 'https://login.example.com', '--jwks-uri', 'https://login.example.com/jwks.json'],
      ...['--accept', 'id_token', '--audience', 'agt_planner', '--scope', 'files:read', '--agent', 'agt_planner'],
    ]);
    expect(created.out).toBe('created trusted issuer https://login.example.com\n');
    const key = { kty: 'EC', crv: 'P-256', x: 'z1xPyESYrO2Zydfj8Old1F_1tlBI0nNSSLCTX61sI34' };
    const jwks = file(JSON.stringify({ ...key, y: 'KPytXkMKJEf8c2lf1l8njT42u-gvGc4_xYJJx_ZfKxE' }));
    const changed = await writ(['issuers', 'change', 'https://login.example.com', '--jwks', jwks]);
    expect(changed).toMatchObject({ code: 0, err: '' });
    expect(admin.registry.current().issuer('https://login.example.com')).toStrictEqual({
      issuer: 'https://login.example.com',
      name: 'https://login.example.com',
      status: 'active',
      jwks: { keys: [{ ...key, y: 'KPytXkMKJEf8c2lf1l8njT42u-gvGc4_xYJJx_ZfKxE' }] },
      accepts: [
        {
          token_type: 'urn:ietf:params:oauth:token-type:id_token',
          typ: null,
          audiences: ['agt_planner'],
          scopes: ['files:read'],
        },
      ],
      agents: ['agt_planner'],
      client_ids: {},
      claims: { scope: 'scope' },
    });
  });

  it('are listed page by page when asked so', async () => {
    await createAgent('--secret');
    await writ(['agents', 'create', 'agt_writer', ...ANSWERED, '--purpose', 'Writes', '--secret']);
    const first = await writ(['agents', 'list', '--limit', '1']);
    expect([first.out.split('\n').length, first.err]).toStrictEqual([3, 'more: --after agt_planner\n']);
    const rest = await writ(['agents', 'list', '--limit', '1', '--after', 'agt_planner', '--json']);
    expect(JSON.parse(rest.out)).toMatchObject({ items: [{ client_id: 'agt_writer' }], next: null });
  });

  it.each<[string, string[], string]>([
    ['two ways to prove itself', ['--secret', '--jwks-uri', 'https://a.example'], 'give one of --new-key, --jwks'],
    ['a key file that is there', ['--new-key', EXAMPLE], 'is there already, and a key is never written over'],
    ['no file of keys', ['--jwks', EXAMPLE], 'is neither a JWK nor a JWK Set'],
    ['an end that is none', ['--expires', 'soon'], '--expires soon: write a number of days such as 90d'],
    ['a field without value', ['--set', 'name'], '--set name: write <field>=<value>'],
    ['a value that is no YAML', ['--set', 'name={'], '--set name={: the value is not YAML'],
    ['a field that is none', ['--set', '__proto__.a=1'], '--set: __proto__ is no field'],
  ])('need no server to refuse %s', async (_, args, said) => {
    expect(await createAgent(...args)).toMatchObject({ code: 2, out: '', err: expect.stringContaining(said) });
    expect(planner()).toBeUndefined();
  });

  it('give a tool its money and budgets, in what is named and in nothing else', async () => {
    await createServer();
    const change = (...args: string[]): Promise<Result> => writ(['tools', 'change', RESOURCE, 'write_file', ...args]);
    const tool = (): unknown => admin.registry.current().serverByResource(RESOURCE)?.tools[1];
    const money = ['--money', 'amount', '--currency', 'EUR', '--minor-units', '2'];
    const budget = ['--budget', 'unit=money,per=session,limit=250.00,currency=EUR,on_breach=pause'];
    expect(
      await change(...money, ...budget, '--budget', 'unit=calls,per=agent,limit=9,window_seconds=3600'),
    ).toStrictEqual({
      code: 0,
      out: [
        `changed write_file of ${RESOURCE}`,
        '    + money: {"argument":"amount","currency":"EUR","minor_units":2}',
        '    + budgets: [{"unit":"money","per":"session","limit":"250.00","currency":"EUR","on_breach":"pause"},{"unit":"calls","per":"agent","limit":9,"window_seconds":3600,"on_breach":"refuse"}]\n',
      ].join('\n'),
      err: '',
    });
    const shown = (await writ(['tools', 'show', RESOURCE, 'write_file'])).out;
    expect(shown).toContain('money: {"argument":"amount","currency":"EUR","minor_units":2}\nbudgets: [{"unit":"money"');
    await change('--currency-argument', 'currency', '--budget', 'unit=calls,per=agent,limit=5,window_seconds=3600');
    expect(tool()).toMatchObject({
      ...{ tier: 'high', money: { argument: 'amount', currency_argument: 'currency', minor_units: 2 } },
      budgets: [
        { unit: 'money', limit: '250.00' },
        { unit: 'calls', limit: 5 },
      ],
    });
    expect(tool()).not.toHaveProperty('money.currency');
    expect((await change('--tier', 'high')).out).toBe(`unchanged write_file of ${RESOURCE}\n`);
    expect((await change('--no-money', '--no-budgets', '--dry-run')).out).toMatch(/^would be changed: write_file of /);
    expect(JSON.parse((await change('--tier', 'low', '--dry-run', '--json')).out)).toMatchObject({
      ...{ name: 'write_file', tier: 'low', effect: { complete: true, tokens: 0, losses: [] } },
    });
    expect(tool()).toHaveProperty('money');
    expect((await change('--no-money', '--no-budgets')).code).toBe(0);
    expect(tool()).toStrictEqual({ name: 'write_file', tier: 'high', scopes: ['files:write'], sensitive: [] });
    expect(await change('--budget', 'limit')).toMatchObject({
      code: 2,
      err: expect.stringContaining('Write it as unit=calls,per=session,limit=10.'),
    });
    expect((await change('--budget', 'unit=money,per=session,limit=1')).err).toContain('currency: is needed for money');
    expect((await writ(['tools', 'change', RESOURCE, 'fax', '--tier', 'low'])).err).toBe(
      `writ: ${RESOURCE} has no tool fax\n`,
    );
  });

  it('give an agent budgets, one in the place of another of its kind', async () => {
    const budget = (limit: number): string[] => ['--budget', `unit=writes,per=session,limit=${String(limit)}`];
    await createAgent('--secret', ...budget(20));
    await writ(['agents', 'change', 'agt_planner', ...budget(10), '--budget', 'unit=tools,per=session,limit=3']);
    expect(planner()).toMatchObject({
      budgets: [
        { unit: 'writes', per: 'session', limit: 10, on_breach: 'refuse' },
        { unit: 'tools', per: 'session', limit: 3, on_breach: 'refuse' },
      ],
    });
  });

  it('never send a private key', async () => {
    const path = file(JSON.stringify({ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', d: 'canary' }));
    const { code, err } = await createAgent('--jwks', path);
    expect([code, err]).toStrictEqual([2, expect.stringContaining('holds a private key, which nobody but its owner')]);
    expect(err).not.toContain('canary');
    expect((await writ(['servers', 'create', RESOURCE, ...OWNED, '--tool', 'x'])).err).toContain(
      '--tool x: write <name>',
    );
  });
});

describe('writ sessions and log', () => {
  const session = (id: string): Promise<unknown> =>
    admin.fresh.database.prisma.$executeRawUnsafe(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, expires_at)
       VALUES ($1, $1, 'prs_alice', 'agt_planner', 'active', 1, '2036-01-01T00:00:00Z')`,
      id,
    );

  it('pause and resume sessions', async () => {
    await session('ses_1');
    expect((await writ(['sessions', 'pause', 'ses_1', '--reason', 'INC-1', '--for', '600'])).out).toBe(
      'id: ses_1\nresult: paused\n',
    );
    const paused: unknown = JSON.parse((await writ(['sessions', 'list', '--status', 'paused', '--json'])).out);
    expect(paused).toMatchObject([{ id: 'ses_1', paused_reason: 'INC-1', resumes_at: expect.any(String) }]);
    expect((await writ(['sessions', 'resume', 'ses_1'])).out).toBe('id: ses_1\nresult: resumed\n');
    expect((await writ(['sessions', 'list', '--parent', 'ses_1'])).out).toBe('none\n');
    expect((await writ(['sessions', 'pause', 'ses_1', '--for', 'ever'])).code).toBe(2);
  });

  it('list and end sessions, and print why', async () => {
    await session('ses_1');
    const listed: unknown = JSON.parse((await writ(['sessions', 'list', '--person', 'prs_alice', '--json'])).out);
    expect(listed).toMatchObject([{ id: 'ses_1', agent: 'agt_planner', status: 'active' }]);
    await admin.fresh.database.prisma.$executeRawUnsafe(
      `INSERT INTO budget_account (key, session_id, unit, scope, ceiling, used, members)
       VALUES ('agent:agt_planner calls session ses_1', 'ses_1', 'calls', 'session', 9, 2, '{}')`,
    );
    const shown = (await writ(['sessions', 'show', 'ses_1'])).out;
    expect(shown).toMatch(/^id: ses_1\nperson: prs_alice\n/);
    expect(shown).toContain(
      'budgets:\n  - declared_by: agent:agt_planner\n    unit: calls\n    scope: session\n    limit: "9"\n',
    );
    expect((await writ(['sessions', 'end', 'ses_1', '--reason', 'INC-1'])).out).toBe('id: ses_1\nresult: ended\n');
    expect((await writ(['sessions', 'list', '--status', 'active'])).out).toBe('none\n');
    expect((await writ(['log', '--session', 'ses_1'])).out).toMatch(
      /^#\d+ {2}2026-11-22T12:00:00\.000Z {2}session {2}done\/INC-1 {2}ses_1\.2 {2}what="ended" {2}by="admin-token"\n$/,
    );
    expect(await writ(['sessions', 'end', 'ses_9'])).toMatchObject({
      code: 1,
      err: `writ: not_found: There is no session ses_9\n${see('not_found')}`,
    });
  });

  it('follow the log as it grows, one JSON record a line', async () => {
    await session('ses_1');
    await session('ses_2');
    await writ(['sessions', 'end', 'ses_1']);
    const following = writ(['log', '--follow', '--json', '--kind', 'session'], { until: /ses_2/ });
    await writ(['sessions', 'end', 'ses_2']);
    const lines = (await following).out
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(lines).toMatchObject([{ outcome: { session: 'ses_1' } }, { outcome: { session: 'ses_2' } }]);
  });

  it('never let what they print steer the terminal', async () => {
    await session('ses_1');
    const reason = '\u001b[2J\u009b31m\u202eevil';
    // The API takes no such reason; a record of an earlier version may still hold one.
    await openSessions(admin.fresh.database, { now: () => NOW }).end('ses_1', { by: 'admin-token', reason });
    const { out } = await writ(['log', '--session', 'ses_1']);
    expect(out).toContain('done/\\u001b[2J\\u009b31m\\u202eevil');
    expect((await writ(['log', '--json'])).out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  });
});

describe('writ keys', () => {
  it('lists, rotates and withdraws, with why in the log', async () => {
    const [first] = await admin.keys.list();
    expect((await writ(['keys', 'list'])).out).toMatch(
      new RegExp(`^KID +STATE +ALG +CREATED_AT +ACTIVATES_AT +PUBLISHED_UNTIL\\n${first?.kid ?? ''} +active +ES256 `),
    );
    const rotated: unknown = JSON.parse((await writ(['keys', 'rotate', '--reason', 'quarterly', '--json'])).out);
    expect(rotated).toMatchObject({ state: 'next', alg: 'ES256' });
    expect(await writ(['keys', 'rotate'])).toMatchObject({ code: 1, err: expect.stringContaining('writ: conflict: ') });
    const { kid } = rotated as { kid: string };
    expect((await writ(['keys', 'withdraw', kid, '--reason', 'INC-2'])).out).toMatch(
      /^result: withdrawn\nkey:\n {2}kid: /,
    );
    expect((await writ(['log', '--kind', 'key'])).out).toMatch(
      new RegExp(`done/quarterly.*what="published".*\\n.*done/INC-2.*what="withdrawn".*kid="${kid}"`),
    );
    expect(await writ(['keys', 'withdraw', 'nothing'])).toMatchObject({
      code: 1,
      err: `writ: not_found: There is no signing key nothing\n${see('not_found')}`,
    });
    expect(await writ(['keys', 'rotate', '--activate-after', 'soon'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('activate_after_seconds'),
    });
  });
});

describe('writ token decode', () => {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = {
    iss: 'https://writ.example',
    sub: 'prs_alice',
    aud: 'https://mcp.example.com/files',
    scope: 'files:write',
    exp: 1_795_305_780,
    act: {
      sub: 'agt_writer',
      iss: 'https://writ.example',
      sub_profile: 'ai_agent',
      act: { sub: 'agt_planner', iss: 'https://writ.example', sub_profile: 'ai_agent' },
    },
    authorization_details: [
      {
        type: 'mcp_tool_call',
        locations: ['https://mcp.example.com/files'],
        actions: ['tools/call'],
        identifier: 'write_file',
        arguments_sha256: 'A'.repeat(43),
        max_uses: 1,
      },
    ],
  };
  const header = { alg: 'ES256', typ: 'txnat+jwt', kid: 'k1' };
  const token = `${part(header)}.${part(claims)}.${Buffer.alloc(64).toString('base64url')}`;

  it('shows the claims and the delegation, and says that nothing is verified', async () => {
    const { code, out } = await writ(['token', 'decode'], {
      input: `Bearer ${token}\n`,
      env: { WRIT_ADMIN_TOKEN: '' },
    });
    expect(code).toBe(0);
    expect(out).toBe(
      [
        'Not verified: this shows what the token says, not whether it is true.',
        JSON.stringify(header, null, 2),
        JSON.stringify(claims, null, 2),
        [
          'prs_alice  (person)',
          '└─ agt_planner  (agent)',
          '   └─ agt_writer  (agent, acts now)',
          '      └─ https://mcp.example.com/files  (audience)',
          '            tool write_file, once, with exactly the approved arguments',
          '            scope files:write',
          '            until 2026-11-22T00:03:00.000Z',
        ].join('\n'),
      ].join('\n\n') + '\n',
    );
  });

  it('gives the same to machines', async () => {
    const { out } = await writ(['token', 'decode', '--json'], { input: token });
    expect(JSON.parse(out)).toStrictEqual({
      verified: false,
      header,
      claims,
      chain: [
        { who: 'prs_alice', as: 'person' },
        { who: 'agt_planner', as: 'agent' },
        { who: 'agt_writer', as: 'agent, acts now' },
        { who: 'https://mcp.example.com/files', as: 'audience' },
      ],
    });
  });

  it('survives an end that is no instant', async () => {
    const odd = `${part(header)}.${part({ ...claims, exp: 1e300 })}.${Buffer.alloc(64).toString('base64url')}`;
    expect((await writ(['token', 'decode'], { input: odd })).out).not.toContain('until');
  });

  it('refuses what is no token, and a token that is an argument', async () => {
    expect(await writ(['token', 'decode'], { input: 'abc' })).toStrictEqual({
      code: 1,
      out: '',
      err: 'writ: this is not a token that Writ would read: it has not three parts between dots\n',
    });
    expect((await writ(['token', 'decode'])).code).toBe(2);
    expect((await writ(['token', 'decode', token])).code).toBe(2);
  });
});

describe('the connection', () => {
  const failing: [string, Start['env'], string[], number, string][] = [
    [
      'the token is wrong',
      { WRIT_ADMIN_TOKEN: 'x'.repeat(32) },
      [],
      1,
      'writ: the admin token is not the one of this Writ\n',
    ],
    [
      'there is no token',
      { WRIT_ADMIN_TOKEN: '', WRIT_DATA_DIR: 'nowhere' },
      [],
      2,
      'writ: there is no admin token: set WRIT_ADMIN_TOKEN, or name a file with --token-file (looked at nowhere/admin-token)\n',
    ],
    [
      'nothing listens',
      {},
      ['--url', 'http://127.0.0.1:9'],
      2,
      'writ: no Writ answers at http://127.0.0.1:9; is it running, and is --url (or WRIT_ISSUER) right?\n',
    ],
    [
      'the token would travel in the clear',
      { WRIT_ISSUER: 'http://writ.example' },
      [],
      2,
      'writ: http://writ.example must be https (http on loopback only)\n',
    ],
    ['the URL is none', {}, ['--url', 'writ'], 2, 'writ: writ is not a URL; give one with --url or WRIT_ISSUER\n'],
  ];

  it.each(failing)('says so when %s', async (_, env, args, code, err) => {
    expect(await writ(['agents', 'list', ...args], env === undefined ? {} : { env })).toStrictEqual({
      code,
      out: '',
      err,
    });
  });

  it('takes the token from a file', async () => {
    writeFileSync(join(directory, 'token'), `${ADMIN}\n`, { mode: 0o600 });
    const env = { WRIT_ADMIN_TOKEN: '' };
    expect(await writ(['agents', 'list', '--token-file', 'token'], { env })).toMatchObject({ code: 0 });
  });

  it('is tried once more for a change when Writ was away, under the same idempotency key', async () => {
    const asked: (string | undefined)[] = [];
    const away = createHttpServer(({ headers }, response) => {
      asked.push(headers['idempotency-key']?.toString());
      response.statusCode = asked.length === 1 ? 503 : 200;
      const body = { code: 'unavailable', detail: 'away', request_id: 'req_1', id: 'ses_1', result: 'ended' };
      response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
    });
    const url = await listen(away);
    expect(await writ(['sessions', 'end', 'ses_1', '--url', url])).toMatchObject({ code: 0, err: '' });
    expect(asked).toHaveLength(2);
    expect(asked[0]).toMatch(/^[\w-]{36}$/);
    expect(asked[1]).toBe(asked[0]);
    await close(away);
  });

  it('is not needed for help, and wrong usage ends with 2', async () => {
    expect(await writ(['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('Usage: writ') });
    expect((await writ(['--help'])).out).toContain('Exit codes: 0 done, 1 refused by Writ');
    expect((await writ(['agents', '--help'])).out).toContain('Examples:\n  writ agents create agt_planner');
    expect((await writ(['agents', 'fly'])).code).toBe(2);
    expect((await writ(['sessions', 'list', '--status', 'odd'])).code).toBe(2);
    expect((await writ(['apply'])).code).toBe(2);
  });
});
