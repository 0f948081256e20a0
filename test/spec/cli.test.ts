import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { openSessions } from '../../src/storage/index.js';
import { ADMIN, type AdminServer, NOW, startAdmin } from '../support/admin.js';
import { type Compiled, compileSource } from '../support/compiled.js';

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

const EXAMPLE = join(process.cwd(), 'config', 'examples', 'registry.yaml');
const example = readFileSync(EXAMPLE, 'utf8');
const file = (text: string): string => {
  const path = join(directory, 'registry.yaml');
  writeFileSync(path, text);
  return path;
};

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
        '  agents.0.allow.1.tools.0: https://mcp.example.com/mail has no tool send_fax\n',
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
        'CLIENT_ID    STATUS  OWNER                 EXPIRES_AT            NAME',
        'agt_planner  active  platform@example.com  2036-01-01T00:00:00Z  Planner\n',
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
      err: 'writ: conflict: The agent agt_planner is registered for private_key_jwt and has no secret\n',
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
      err: 'writ: not_found: There is no agent agt_planner\n',
    });
  });
});

describe('writ sessions and log', () => {
  const session = (id: string): Promise<unknown> =>
    admin.fresh.database.prisma.$executeRawUnsafe(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, expires_at)
       VALUES ($1, $1, 'prs_alice', 'agt_planner', 'active', 1, '2036-01-01T00:00:00Z')`,
      id,
    );

  it('list and end sessions, and print why', async () => {
    await session('ses_1');
    const listed: unknown = JSON.parse((await writ(['sessions', 'list', '--person', 'prs_alice', '--json'])).out);
    expect(listed).toMatchObject([{ id: 'ses_1', agent: 'agt_planner', status: 'active' }]);
    expect((await writ(['sessions', 'end', 'ses_1', '--reason', 'INC-1'])).out).toBe('id: ses_1\nresult: ended\n');
    expect((await writ(['sessions', 'list', '--status', 'active'])).out).toBe('none\n');
    expect((await writ(['log', '--session', 'ses_1'])).out).toMatch(
      /^#\d+ {2}2026-11-22T12:00:00\.000Z {2}session {2}done\/INC-1 {2}ses_1\.2 {2}what="ended" {2}by="admin-token"\n$/,
    );
    expect(await writ(['sessions', 'end', 'ses_9'])).toMatchObject({
      code: 1,
      err: 'writ: not_found: There is no session ses_9\n',
    });
  });

  it('follow the log as it grows, one JSON record a line', async () => {
    await session('ses_1');
    await session('ses_2');
    await writ(['sessions', 'end', 'ses_1']);
    const following = writ(['log', '--follow', '--json'], { until: /ses_2/ });
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
    await openSessions(admin.fresh.database, { now: () => NOW }).end('ses_1', 'admin-token', reason);
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
      err: 'writ: not_found: There is no signing key nothing\n',
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

  it('is not needed for help, and wrong usage ends with 2', async () => {
    expect(await writ(['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('Usage: writ') });
    expect((await writ(['agents', 'fly'])).code).toBe(2);
    expect((await writ(['sessions', 'list', '--status', 'odd'])).code).toBe(2);
    expect((await writ(['apply'])).code).toBe(2);
  });
});
