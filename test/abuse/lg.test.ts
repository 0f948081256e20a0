import { randomBytes } from 'node:crypto';
import { createConnection } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { change, startSignInWorld, type SignInWorld } from './sign-in.js';
import { startWrit } from '../../src/server.js';
import { freePort, bearerAssertion, type Form, type Reply, sendForm, tokenOf, type Tokens } from '../support/writ.js';
import { RS1, tool, tools } from '../support/world.js';

let world: SignInWorld;
let own: Tokens;
let secret: string;
let client: pg.Client | undefined;
const CANARY_ARGUMENT = `argument-${randomBytes(9).toString('hex')}`;
beforeAll(async () => {
  world = await startSignInWorld();
  own = await world.tokensFor(world.a1, { scope: 'openid offline_access repo:read repo:write', prompt: 'consent' });
  await change(world, 'agt_a2', (agent) => ({ ...agent, authentication: { method: 'client_secret_basic' } }));
  const made = await world.admin('POST', '/agents/agt_a2/secret');
  secret = (made.body as { client_secret: string }).client_secret;
  const { databaseUrl } = world.config;
  if (databaseUrl === undefined) return;
  client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
}, 60_000);
afterAll(async () => {
  await client?.end();
  await world.close();
});

/** Every value of every table as text, and bytes as the text that they may be. */
async function dump(): Promise<string> {
  const { prisma } = world.writ.database;
  const tables = await prisma.$queryRawUnsafe<{ name: string }[]>(
    `SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public'`,
  );
  const rows: string[] = [];
  for (const { name } of tables) {
    const all = await prisma.$queryRawUnsafe<Record<string, unknown>[]>(`SELECT * FROM "${name}"`);
    for (const row of all)
      rows.push(
        ...Object.values(row).map((value) =>
          value instanceof Uint8Array
            ? `${Buffer.from(value).toString('latin1')} ${Buffer.from(value).toString('hex')}`
            : JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? String(one) : one)),
        ),
      );
  }
  expect(rows.length).toBeGreaterThan(20);
  return rows.join('\n');
}

describe('LG-06 a stolen copy of the database', () => {
  it('LG-06 has no token, code, secret, cookie or argument of anybody in it, nor a signing key in the clear', async () => {
    const code = await world.codeFor(world.a1);
    const verifier = code.verifier;
    const bearer = tokenOf(
      await world.exchange({
        subject_token: own.access_token,
        authorization_details: tools(tool('delete_repo', { arguments: { repo: CANARY_ARGUMENT } })),
      }),
    );
    const used = await world.form();
    await world.post('/token', used);
    const text = await dump();
    const cookies = world.browser.cookies().map(({ value }) => value);
    const kept = [
      own.access_token,
      own.refresh_token ?? '',
      own.id_token ?? '',
      bearer,
      code.code,
      verifier,
      secret,
      CANARY_ARGUMENT,
      String(used['client_assertion']),
      String(used['subject_token']),
      ...cookies,
    ].flatMap((value) => [value, ...value.split('.')]);
    const long = kept.filter((value) => value.length >= 16);
    expect(long.length).toBeGreaterThan(15);
    // The header of a token is the same in all of them and no secret.
    const found = long.filter((value) => !value.startsWith('eyJ') && text.includes(value));
    expect(found).toEqual([]);
    expect(text).not.toMatch(/eyJ[\w-]{10,}\.[\w-]{10,}/);
    expect(text).not.toMatch(/PRIVATE KEY|"d":\s*"/);
    // DER of a PKCS #8 key on P-256 (RFC 5208, RFC 5915).
    expect(text).not.toContain('301306072a8648ce3d020106082a8648ce3d030107');
  });

  it('LG-06 has nothing that could be presented: each text of it is refused as every credential', async () => {
    const { prisma } = world.writ.database;
    const rows = await prisma.$queryRawUnsafe<{ key: string }[]>(
      `SELECT key FROM engine_record UNION SELECT secret_hash FROM agent WHERE secret_hash IS NOT NULL UNION SELECT id FROM agent_session`,
    );
    expect(rows.length).toBeGreaterThan(3);
    for (const { key } of rows.slice(0, 40)) {
      const by = await bearerAssertion(world.issuer, world.a1);
      const redeem = await world.post('/token', { ...by, grant_type: 'refresh_token', refresh_token: key });
      const basic = Buffer.from(`agt_a2:${encodeURIComponent(key)}`).toString('base64');
      const asSecret = await world.post('/introspect', { token: 'a.b.c' }, { authorization: `Basic ${basic}` });
      expect([redeem.status, asSecret.status]).toEqual([400, 401]);
    }
  });
});

it('LG-01 a connection that ends in the middle of a request puts nothing of its headers into the log', async () => {
  const port = await freePort();
  const told: unknown[] = [];
  const report = (_thrown: unknown, ...more: unknown[]): void => {
    told.push(...more);
  };
  const node = await startWrit({ ...world.config, port }, { report });
  for (const path of ['/token', '/request', '/nothing']) {
    const socket = createConnection({ host: '127.0.0.1', port });
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const head = [`POST ${path} HTTP/1.1`, 'Host: x', `Authorization: Bearer ${CANARY_ARGUMENT}`, 'Content-Length: 90'];
    socket.on('error', () => undefined).resume();
    socket.end(`${head.join('\r\n')}\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\ngrant_type=`);
    await closed;
  }
  await node.close();
  expect(told.filter((one) => one !== undefined && typeof one !== 'string')).toEqual([]);
});

describe('LG-04 what is thrown', () => {
  /** One table after the other goes, so that something breaks in each step of each route. */
  const TABLES = ['replay', 'log_leaf', 'person', 'agent_session', 'registry_state', 'revocation', 'engine_record'];
  const INSIDE =
    /\n\s+at |node_modules|\.[jt]s:\d|SELECT|INSERT|relation|Prisma|postgres|\/src\/|log_leaf|registry_state|engine_record/i;

  it.each(TABLES)(
    'LG-04 without the table %s every route says 5xx or less with an id, and nothing of the cause',
    async (table) => {
      if (client === undefined) return;
      await client.query(`ALTER TABLE "${table}" RENAME TO "${table}_gone"`);
      const answers: [string, Reply][] = [];
      try {
        const as = await bearerAssertion(world.issuer, world.rs1);
        const posts: [string, Form][] = [
          ['/token', await world.form()],
          ['/introspect', { ...as, token: own.access_token }],
          [
            '/introspect',
            { ...(await bearerAssertion(world.issuer, world.rs1)), token: tokenOfNobody(), consume: 'read_file' },
          ],
          ['/revoke', { ...(await bearerAssertion(world.issuer, world.a1)), token: own.refresh_token ?? '' }],
          ['/revoke', { ...(await bearerAssertion(world.issuer, world.a1)), token: own.access_token }],
          [
            '/request',
            { ...(await bearerAssertion(world.issuer, world.a1)), response_type: 'code', client_id: 'agt_a1' },
          ],
          [
            '/token',
            { ...(await bearerAssertion(world.issuer, world.a1)), grant_type: 'refresh_token', refresh_token: 'x' },
          ],
        ];
        for (const [path, form] of posts) answers.push([path, await sendForm(`${world.issuer}${path}`, form)]);
        for (const path of ['/agents', '/log', '/sessions', '/keys', `/servers/${encodeURIComponent(RS1)}`])
          answers.push([path, await world.admin('GET', path)]);
      } finally {
        await client.query(`ALTER TABLE "${table}_gone" RENAME TO "${table}"`);
      }
      expect(answers.filter(([, { status }]) => status >= 500).length).toBeGreaterThan(0);
      for (const [path, { status, text, headers }] of answers) {
        expect([path, INSIDE.exec(text)?.[0]]).toEqual([path, undefined]);
        if (status >= 500) expect([path, headers.get('x-request-id')]).toEqual([path, expect.stringMatching(/^req_/)]);
      }
      const next = await world.exchange();
      expect([next.status, next.text]).toEqual([200, expect.any(String)]);
    },
  );
});

const tokenOfNobody = (): string => `${own.access_token.split('.').slice(0, 2).join('.')}.AAAA`;
