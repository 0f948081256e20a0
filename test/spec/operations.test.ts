import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import pg from 'pg';
import { openDatabase } from '../../src/storage/index.js';
import { authorize, Browser } from '../support/browser.js';
import { ALICE, type Company, startCompany } from '../support/company.js';
import { type Compiled, compileSource } from '../support/compiled.js';
import { outcomeOf, report } from '../support/outcomes.js';
import { spawnWrit, startCollector, type WritProcess } from '../support/process.js';
import { startWorld, tool, tools, type World } from '../support/world.js';
import { ADMIN_TOKEN, bearerAssertion, type Reply, request } from '../support/writ.js';

const KEY = randomBytes(32).toString('base64');
const REDIRECT = 'http://127.0.0.1:7999/callback';
const METRICS_TOKEN = randomBytes(32).toString('hex');
const AUDIT_TOKEN = randomBytes(32).toString('hex');
const WEBHOOK_SECRET = `whsec_${randomBytes(32).toString('base64')}`;

/** A text that must never be seen again. */
const canary = (): string => `canary${randomBytes(12).toString('hex')}`;

type Line = Record<string, unknown>;
type Span = Readonly<{
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  attributes: readonly Readonly<{ key: string; value: unknown }>[];
}>;

describe('what an operator sees of a process at level trace', () => {
  let compiled: Compiled;
  let world: World;
  let company: Company;
  let writ: WritProcess;
  let collector: Awaited<ReturnType<typeof startCollector>>;
  const home = mkdtempSync(join(tmpdir(), 'operations-'));
  const secrets: string[] = [KEY, ADMIN_TOKEN, METRICS_TOKEN, AUDIT_TOKEN, WEBHOOK_SECRET.slice(6)];
  let metrics = '';
  let webhook: Awaited<ReturnType<typeof startCollector>>;
  /** What auditors were answered, and those who are none. */
  const answers: string[] = [];
  /** Every row of every table, by table; bytes are as they are. */
  const stored = new Map<string, string>();
  let token = '';
  let subject = '';

  /** Everything that left the process and is not an answer to the client that asked. */
  const everything = (): string => [writ.out(), writ.err(), metrics, ...collector.bodies].join('\n');
  const lines = (): Line[] =>
    writ
      .out()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);
  const spans = (): Span[] =>
    collector.bodies.flatMap((body) => {
      const { resourceSpans } = JSON.parse(body) as {
        resourceSpans: { scopeSpans: { spans: Span[] }[] }[];
      };
      return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
    });
  const secret = (text: string): string => {
    secrets.push(text);
    return text;
  };

  beforeAll(async () => {
    compiled = compileSource();
    collector = await startCollector();
    webhook = await startCollector();
    world = await startWorld({ env: { WRIT_KEY_ENCRYPTION_KEY: KEY } });
    const agent = (await world.admin('GET', `/agents/${world.a1.id}`)).body as Record<string, unknown>;
    await world.admin('PUT', `/agents/${world.a1.id}`, { ...agent, redirect_uris: [REDIRECT] });
    company = await startCompany({ writIssuer: world.issuer });
    await world.writ.close();
    const { credential, ...provider } = company.identityProvider;
    const file = join(home, 'writ.json');
    const credentials =
      credential.kind === 'secret'
        ? { clientSecret: secret(credential.secret) }
        : { privateJwkFile: join(home, 'key.json') };
    if (credential.kind === 'private_key') writeFileSync(join(home, 'key.json'), JSON.stringify(credential.jwk));
    writeFileSync(file, JSON.stringify({ identityProviders: [{ ...provider, ...credentials }] }));
    writ = await spawnWrit(compiled, {
      WRIT_CONFIG: file,
      WRIT_ISSUER: world.issuer,
      WRIT_TRUST_DOMAIN: 'trust.example',
      WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
      WRIT_METRICS_TOKEN: METRICS_TOKEN,
      WRIT_KEY_ENCRYPTION_KEY: KEY,
      WRIT_DATA_DIR: world.config.dataDir,
      DATABASE_URL: world.config.databaseUrl,
      WRIT_LOG_LEVEL: 'trace',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      WRIT_AUDIT_TOKEN: AUDIT_TOKEN,
      WRIT_AUDIT_WEBHOOK_URL: webhook.url,
      WRIT_AUDIT_WEBHOOK_SECRET: WEBHOOK_SECRET,
    });
    await exchanges();
    await lookUps();
    await failures();
    await codeFlow();
    await audits();
    await faults();
    metrics = (await request(`${world.issuer}/metrics`, { headers: { authorization: `Bearer ${METRICS_TOKEN}` } }))
      .text;
    writ.child.kill('SIGTERM');
    await writ.exited();
    await dump();
  }, 120_000);

  afterAll(async () => {
    writ.child.kill('SIGKILL');
    await company.stop();
    await collector.close();
    await webhook.close();
    await world.close().catch(() => undefined);
    compiled.remove();
    rmSync(home, { recursive: true, force: true });
  });

  const TRACE = '0af7651916cd43dd8448eb211c80319c';

  /** Every credential of a form is a secret from now on. */
  const spent = (form: Readonly<Record<string, unknown>>): void => {
    for (const name of ['subject_token', 'client_assertion', 'code', 'code_verifier', 'refresh_token', 'actor_token'])
      if (typeof form[name] === 'string') secrets.push(form[name]);
  };

  async function exchanges(): Promise<void> {
    const person = (subject = canary());
    const form = await world.form({
      subject_token: await world.personToken(secret(person), { email: secret(canary()), nickname: secret(canary()) }),
      authorization_details: tools(
        tool('write_file', { arguments: { path: secret(canary()), text: secret(canary()) } }),
      ),
    });
    spent(form);
    const reply = await world.post('/token', form, {
      traceparent: `00-${TRACE}-b7ad6b7169203331-01`,
      cookie: `session=${secret(canary())}`,
    });
    expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
    token = secret((reply.body as { access_token: string }).access_token);
    const again = await world.post('/token', form);
    expect(again.status).toBe(401);
  }

  async function lookUps(): Promise<void> {
    const form = await world.form();
    spent(form);
    const { access_token: token } = (await world.post('/token', form)).body as { access_token: string };
    secret(token);
    for (const [path, client] of [
      ['/introspect', world.rs1],
      ['/introspect', world.rs2],
      ['/revoke', world.a1],
    ] as const) {
      const question = { token, ...(await bearerAssertion(world.issuer, client)) };
      spent(question);
      expect((await world.post(path, question)).status).toBe(200);
    }
    const unknown = { token: secret(canary()), ...(await bearerAssertion(world.issuer, world.rs1)) };
    expect((await world.post('/introspect', unknown)).status).toBe(200);
  }

  async function failures(): Promise<void> {
    const basic = Buffer.from(`agt_a1:${secret(canary())}`).toString('base64');
    const bodies = [
      { client_id: secret(canary()), client_secret: secret(canary()) },
      { client_id: 'agt_a1', client_secret: secret(canary()) },
      { client_assertion_type: secret(canary()), client_assertion: secret(canary()) },
      { ...(await bearerAssertion(world.issuer, world.a1)), subject_token: secret(canary()), subject_token_type: 'x' },
      await world.form({ subject_token: `${await world.personToken('bob')}${secret(canary())}` }),
      await world.form({ scope: secret(canary()), resource: `https://${secret(canary())}.example` }),
      await world.form({ authorization_details: `[{"type":"${secret(canary())}` }),
    ];
    for (const body of bodies) {
      const reply = await world.post('/token', {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        ...body,
      });
      expect([400, 401]).toContain(reply.status);
    }
    const headers = {
      authorization: `Basic ${secret(basic)}`,
      dpop: secret(canary()),
      traceparent: secret(canary()),
      'user-agent': secret(canary()),
      'x-forwarded-for': secret(canary()),
    };
    expect((await world.post('/token', { grant_type: secret(canary()) }, headers)).status).toBeGreaterThanOrEqual(400);
    for (const path of [`/${secret(canary())}`, `/auth?code=${secret(canary())}`, `/auth/${secret(canary())}`])
      await request(`${world.issuer}${path}`, { headers: { cookie: `_session=${secret(canary())}` } });
    const admin = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };
    for (const body of [`{"agents":[{"client_id":"${secret(canary())}"}]}`, `{"${secret(canary())}`])
      await request(`${world.issuer}/admin/v1/apply`, { method: 'POST', headers: admin, body });
    await request(`${world.issuer}/admin/v1/agents/${secret(canary())}`, { headers: admin });
    await request(`${world.issuer}/admin/v1/agents`, { headers: { authorization: `Bearer ${secret(canary())}` } });
  }

  async function codeFlow(): Promise<void> {
    const browser = new Browser();
    const verifier = secret(randomBytes(32).toString('base64url'));
    const challenge = Buffer.from(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))).toString(
      'base64url',
    );
    const query = new URLSearchParams({
      client_id: world.a1.id,
      redirect_uri: REDIRECT,
      response_type: 'code',
      state: secret(canary()),
      code_challenge: challenge,
      code_challenge_method: 'S256',
      scope: 'repo:read repo:write offline_access',
      prompt: 'consent',
    });
    secret(ALICE.password);
    const link = `${world.issuer}/auth?${query.toString()}`;
    const answer = await authorize(browser, link, { redirectUri: REDIRECT, employee: ALICE });
    const form = {
      grant_type: 'authorization_code',
      code: answer.searchParams.get('code') ?? '',
      code_verifier: verifier,
      redirect_uri: REDIRECT,
      ...(await bearerAssertion(world.issuer, world.a1)),
    };
    spent(form);
    const tokens = await world.post('/token', form);
    expect(tokens.status).toBe(200);
    for (const value of Object.values(tokens.body as Record<string, unknown>))
      if (typeof value === 'string' && value.length > 30 && !value.includes(' ')) secret(value);
    const again = await world.post('/token', { ...form, ...(await bearerAssertion(world.issuer, world.a1)) });
    expect(again.status).toBe(400);
  }

  /** Everything below /audit/v1, asked by those who may and by those who may not, with secrets where none should be. */
  async function audits(): Promise<void> {
    const ask = async (path: string, bearer = AUDIT_TOKEN): Promise<Reply> => {
      const reply = await request(`${world.issuer}/audit/v1/${path}`, {
        headers: { authorization: `Bearer ${bearer}` },
      });
      answers.push(reply.text, JSON.stringify([...reply.headers]));
      return reply;
    };
    const say = async (outcomes: unknown, by: Parameters<typeof report>[2] = world.rs1): Promise<number> => {
      const reply = await report(world, outcomes, by);
      answers.push(reply.text);
      return reply.status;
    };
    expect(await say([outcomeOf(token, { tool: 'write_file' })])).toBe(200);
    for (const name of ['tool', 'jti', 'txn'])
      expect(await say([outcomeOf(token, { tool: 'write_file', [name]: secret(canary()) })])).toBe(200);
    for (const name of ['outcome', 'error', 'result_sha256', 'result', canary()])
      expect(await say([outcomeOf(token, { [name]: secret(canary()) })])).toBe(400);
    expect(await say(`{"outcomes":["${secret(canary())}`)).toBe(400);
    expect(await say([], { authorization: `Bearer ${secret(canary())}` })).toBe(401);
    expect(
      await say([], { authorization: `Basic ${secret(Buffer.from(`srv_one:${canary()}`).toString('base64'))}` }),
    ).toBe(401);

    const { txn, writ: receipt } = decodeJwt<{ txn: string; writ: { session: string; leaf: string } }>(token);
    for (let waited = 0; !(await ask('export')).text.includes('another_tool'); waited += 100) {
      if (waited > 20_000) throw new Error('the outcomes are not in the log');
      await pause(100);
    }
    const size = Number((await ask('checkpoint')).text.split('\n')[1]);
    const good = [
      ...['keys', 'schema', 'findings', 'events?limit=200', 'export?format=jsonl', 'export?format=ocsf'],
      ...[`transactions/${txn}`, `events?session=${receipt.session}`, `bundle?from=0&to=${size}`, `bundle?txn=${txn}`],
      ...[`bundle?session=${receipt.session}`, `proof/inclusion?leaf=${receipt.leaf}`, 'proof/consistency?from=1'],
      ...[`tile/0/000.p/${size}`, `tile/entries/000.p/${size}`],
    ];
    for (const path of good) expect([path, (await ask(path)).status]).toEqual([path, 200]);
    const bad = ['', 'events?x=', 'events?kind=', 'events?since=', 'proof/inclusion?leaf=', 'proof/consistency?from='];
    for (const path of [...bad, 'bundle?from=', 'findings?kind=', 'export?format='])
      expect((await ask(`${path}${secret(canary())}`)).status).toBeGreaterThanOrEqual(400);
    // What is asked for is in the log, but for what looks like a token.
    for (const path of ['tile/entries/', 'transactions/', 'events?txn=', 'bundle?session='])
      for (const value of secrets.filter((one) => one.startsWith('eyJ')).slice(0, 3)) await ask(`${path}${value}`);
    for (const path of good.slice(2)) await ask(path, secret(canary()));
    const agent = (await world.admin('GET', '/agents/agt_a2')).body as object;
    const authentication = { method: 'client_secret_basic' };
    const named = { ...agent, client_id: 'agt_secret', authentication };
    expect((await world.admin('PUT', '/agents/agt_secret', named)).status).toBe(201);
    const made = await world.admin('POST', '/agents/agt_secret/secret');
    secret((made.body as { client_secret: string }).client_secret);
    for (const leaf of answers.flatMap((text) =>
      [...text.matchAll(/"leaf":"([\w-]+)"/g)].map(([, found = '']) => found),
    ))
      answers.push(Buffer.from(leaf, 'base64url').toString('utf8'));
    while (!webhook.bodies.join('').includes('another_tool')) await pause(50);
  }

  async function dump(): Promise<void> {
    const database = await openDatabase({ url: world.config.databaseUrl, dataDir: world.config.dataDir });
    const tables = (await database.rows(
      `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`,
      [],
    )) as { name: string }[];
    for (const { name } of tables) {
      const rows = (await database.rows(`SELECT to_jsonb(t)::text AS row FROM "${name}" t`, [])) as { row: string }[];
      const text = rows.map(({ row }) => row).join('\n');
      const bytes = [...text.matchAll(/"\\\\x([0-9a-f]*)"/g)].map(([, hex = '']) =>
        Buffer.from(hex, 'hex').toString('utf8'),
      );
      stored.set(name, [text, ...bytes].join('\n'));
    }
    await database.close();
  }

  /** The database breaks under the statements, so that its errors are written: they quote what they were given. */
  async function faults(): Promise<void> {
    const url = world.config.databaseUrl;
    if (url === undefined) return;
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query('ALTER TABLE log_leaf RENAME TO log_leaf_gone');
    await client.query('ALTER TABLE replay RENAME TO replay_gone');
    const form = await world.form({ request_details: JSON.stringify({ purpose: secret(canary()) }) });
    spent(form);
    const reply = await world.post('/token', form);
    expect(reply.status).toBeGreaterThanOrEqual(500);
    expect(reply.text).not.toMatch(/log_leaf|replay|\bat\b.*:\d+/);
    const question = { token: canary(), ...(await bearerAssertion(world.issuer, world.rs1)) };
    secret(question.token);
    expect((await world.post('/introspect', question)).status).toBeGreaterThanOrEqual(500);
    await client.query('ALTER TABLE log_leaf_gone RENAME TO log_leaf');
    await client.query('ALTER TABLE replay_gone RENAME TO replay');
    await client.end();
  }

  it('LG-01 LG-02 holds nothing of a token, secret, code, assertion, argument or cookie, not six characters of it', () => {
    const text = everything();
    const parts = secrets.flatMap((value) => [value, ...value.split('.')]).filter((part) => part.length >= 6);
    expect(parts.length).toBeGreaterThan(60);
    expect([...new Set(parts.map((part) => part.slice(0, 6)))].filter((prefix) => text.includes(prefix))).toEqual([]);
    // How every JWT begins, {" and a letter; anywhere else these letters are chance.
    expect(text).not.toMatch(/(?<![\w-])eyJ[h-z0-6][\w-]{5}/);
  });

  it('LG-01 has no secret in the log, in what auditors are answered and sent, in errors, or in any table', () => {
    const left = [...answers, ...webhook.bodies].join('\n');
    expect([stored.size > 25, webhook.bodies.length > 0, stored.get('log_leaf')?.includes('"kind":"outcome"')]).toEqual(
      [true, true, true],
    );
    const parts = [...new Set(secrets.flatMap((value) => [value, ...value.split('.').slice(1)]))].filter(
      (part) => part.length >= 12,
    );
    expect(parts.filter((part) => left.includes(part))).toEqual([]);
    const found = [...stored].flatMap(([table, text]) =>
      parts.filter((part) => text.includes(part)).map((part) => `${table}: ${part}`),
    );
    // The one place that knows who a person is, and forgets it when the person is erased.
    expect(found).toEqual([`person: ${subject}`]);
  });

  it('is one JSON object a line, with what is needed to find a request again', () => {
    const permitted = lines().filter(({ outcome }) => outcome === 'permitted');
    expect(permitted[0]).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      request: expect.stringMatching(/^req_/),
      record: expect.stringMatching(/^req_/),
      trace: TRACE,
      method: 'POST',
      route: '/token',
      status: 200,
      ms: expect.any(Number),
      outcome: 'permitted',
      client: 'agt_a1',
      message: 'request',
    });
    const reasons = lines().map(({ outcome, reason, claimed }) => [outcome, reason, claimed]);
    expect(reasons).toContainEqual(['refused', 'replayed', undefined]);
    expect(reasons).toContainEqual(['unauthenticated', 'wrong_method', 'agt_a1']);
    expect(reasons).toContainEqual(['unauthenticated', 'unknown_client', undefined]);
    expect(reasons).toContainEqual(['refused', 'subject_invalid', undefined]);
    expect(writ.err()).toBe('');
  });

  it('LG-04 tells an outage by codes and places in code, and nothing that a statement was given', () => {
    const found = lines().filter(({ level }) => level === 'error');
    if (world.config.databaseUrl === undefined) expect(found).toEqual([]);
    else {
      // What follows the log fails too, and for no request.
      const fault = { message: 'fault', request: expect.any(String), causes: expect.any(Array) };
      expect(found).toContainEqual(expect.objectContaining(fault));
    }
    expect(JSON.stringify(found)).not.toMatch(/SELECT|INSERT|\$1/);
  });

  it('traces an exchange in the trace of its caller, through its steps', () => {
    const root = spans().find(({ name, traceId }) => name === 'POST /token' && traceId === TRACE);
    expect(root?.parentSpanId).toBe('b7ad6b7169203331');
    const steps = spans().filter(({ parentSpanId }) => parentSpanId === root?.spanId);
    expect(steps.map(({ name }) => name).sort()).toEqual(['client', 'commit', 'policy', 'sign', 'subject']);
    const refused = spans().flatMap(({ attributes }) => attributes.filter(({ key }) => key === 'writ.reason'));
    expect(refused).toContainEqual({ key: 'writ.reason', value: { stringValue: 'subject_invalid' } });
  });

  it('LG-05 has metrics whose labels are closed sets', () => {
    const labels = new Map<string, Set<string>>();
    for (const [, name = '', value = ''] of metrics.matchAll(/[{,](\w+)="([^"]*)"/g))
      labels.set(name, (labels.get(name) ?? new Set()).add(value));
    expect([...labels.keys()].sort()).toEqual([
      'code',
      'database',
      'follower',
      'le',
      'method',
      'node',
      'outcome',
      'quantile',
      'reason',
      'route',
      'status',
    ]);
    const routes = [...(labels.get('route') ?? [])].filter((route) => !/^(\/[a-z0-9_.:*-]+)+$/.test(route));
    expect(routes.sort()).toEqual(['none', 'other']);
    expect(metrics).toMatch(/^writ_exchanges_total\{outcome="permitted",reason="permitted"\} 2$/m);
    expect(metrics).toMatch(/^writ_exchanges_total\{outcome="refused",reason="subject_invalid"\} [1-9]/m);
    expect(metrics).toMatch(/^writ_person_tokens_total 1$/m);
    expect(metrics).toMatch(/^writ_commit_batch_size_count [1-9]/m);
  });

  it('gives the metrics to the bearer of their token alone', async () => {
    const guarded = await startWorld({ env: { WRIT_METRICS_TOKEN: METRICS_TOKEN } });
    try {
      const read = (headers: Record<string, string>) => request(`${guarded.issuer}/metrics`, { headers });
      expect((await read({})).status).toBe(401);
      expect((await read({ authorization: `Bearer ${ADMIN_TOKEN}` })).status).toBe(401);
      expect((await read({ authorization: `Bearer ${METRICS_TOKEN}` })).status).toBe(200);
    } finally {
      await guarded.close();
    }
  });
});

describe('readiness', () => {
  it('lists why not, by codes, and is back by itself', async () => {
    const world = await startWorld();
    try {
      const ready = () => request(`${world.issuer}/readyz`, {});
      expect((await ready()).body).toEqual({ status: 'ready' });
      expect((await request(`${world.issuer}/livez`, {})).body).toEqual({ status: 'live' });
      const { prisma } = world.writ.database;
      const name = randomUUID();
      await prisma.$executeRawUnsafe(`UPDATE _prisma_migrations SET rolled_back_at = now()`);
      await pause(1_100);
      expect(await ready()).toMatchObject({
        status: 503,
        body: { status: 'not_ready', reasons: ['migrations_missing'] },
      });
      await prisma.$executeRawUnsafe(`UPDATE _prisma_migrations SET rolled_back_at = NULL`);
      await prisma.$executeRawUnsafe(`ALTER TABLE registry_state RENAME TO "${name}"`);
      await pause(1_100);
      expect((await ready()).body).toEqual({ status: 'not_ready', reasons: ['registry_unreadable'] });
      await prisma.$executeRawUnsafe(`ALTER TABLE "${name}" RENAME TO registry_state`);
      await pause(1_100);
      expect((await ready()).body).toEqual({ status: 'ready' });
      world.writ.beginStop();
      expect((await ready()).body).toEqual({ status: 'not_ready', reasons: ['stopping'] });
    } finally {
      await world.close();
    }
  });
});
