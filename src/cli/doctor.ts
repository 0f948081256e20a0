import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { z } from 'zod';
import { Fault, systemClock } from '../base/index.js';
import { type Config, describeProblem, loadConfig } from '../config/index.js';
import { wellKnown } from '../protocol/index.js';
import { connect, type ConnectionOptions } from './api.js';
import { type Check, ok, warn, wrong } from './check.js';
import { checkCheckpoint, checkLogKey, checkRetention, checkTree, remedyOf } from './doctor-log.js';
import { Failure, type Io } from './io.js';
import { table } from './table.js';

export type { Check } from './check.js';

/** Looks at everything that Writ stands on, from where it is run, and changes nothing. Throws Failure 1 when something is wrong. */
export async function doctor(options: ConnectionOptions & Readonly<{ json?: boolean }>, io: Io): Promise<void> {
  const checks = await examine(options, io);
  const count = checks.filter(({ state }) => state === 'wrong').length;
  io.out(
    options.json === true
      ? JSON.stringify({ ok: count === 0, checks }, null, 2)
      : table(['check', 'state', 'found', 'do'], checks),
  );
  if (count > 0) throw new Failure(1, count === 1 ? 'one thing is wrong' : `${count} things are wrong`);
}

async function examine(options: ConnectionOptions, io: Io): Promise<readonly Check[]> {
  const loaded = loadConfig(io.env, io.readFile);
  if (!loaded.ok)
    return loaded.error.map((problem) => wrong('configuration', describeProblem(problem), 'correct that setting'));
  const config = loaded.value;
  const issuer = options.url ?? config.issuer;
  const [database, server] = await Promise.all([checkDatabase(config), checkServer(issuer, config)]);
  return [
    ok('configuration', `sound, issuer ${config.issuer}`),
    checkDataDirectory(config),
    checkLogKey(config),
    checkRetention(config),
    ...database,
    ...server,
    await checkAdminToken({ ...options, url: issuer }, io),
  ];
}

function checkDataDirectory({ dataDir, databaseUrl, adminToken, keyEncryptionKey, logKeyFile }: Config): Check {
  const name = 'data directory';
  if ([databaseUrl, adminToken, keyEncryptionKey, logKeyFile].every((given) => given !== undefined))
    return ok(name, 'not used: database and secrets are configured');
  if (!existsSync(dataDir)) return warn(name, `${dataDir} is not there yet`, 'the first start makes it');
  try {
    accessSync(dataDir, constants.R_OK | constants.W_OK);
  } catch {
    return wrong(name, `${dataDir} cannot be written`, 'give it to the account that Writ runs as');
  }
  const mode = statSync(dataDir).mode & 0o077;
  if (mode !== 0) return wrong(name, `${dataDir} is open to other accounts`, `chmod 700 ${dataDir}`);
  return ok(name, dataDir);
}

const MOST_DIFFERENCE = 2;
const nowMs = (): number => performance.timeOrigin + performance.now();

async function checkDatabase(config: Config): Promise<readonly Check[]> {
  const { databaseUrl, isLocal } = config;
  const name = 'database';
  if (databaseUrl === undefined) {
    const found = 'embedded in the data directory; a running Writ alone can look into it';
    return [isLocal ? ok(name, found) : warn(name, found, 'set DATABASE_URL: a power cut can damage the embedded one')];
  }
  try {
    // Loaded for this command alone: the others talk to the API and need no driver.
    const { examineDatabase } = await import('../storage/index.js');
    const { version, missing, unknown, clockDifference, log } = await examineDatabase(databaseUrl, nowMs);
    return [
      ok(name, `PostgreSQL ${version}`),
      checkMigrations(missing, unknown),
      checkClock('clock and database', clockDifference),
      ...checkTree(log, config),
    ];
  } catch (thrown) {
    const found = thrown instanceof Fault ? thrown.message : 'does not answer';
    return [
      wrong(name, found, 'check DATABASE_URL, the network and the account; then: psql "$DATABASE_URL" -c "select 1"'),
    ];
  }
}

function checkMigrations(missing: readonly string[] | undefined, unknown: readonly string[]): Check {
  const name = 'migrations';
  if (unknown.length > 0)
    return wrong(name, `the database has ${unknown.join(', ')}`, 'run the build that made them, or a newer one');
  if (missing === undefined) return warn(name, 'the database is empty', 'the first start applies them');
  if (missing.length > 0) return warn(name, `missing: ${missing.join(', ')}`, 'the next start applies them');
  return ok(name, 'all applied');
}

function checkClock(name: string, seconds: number): Check {
  const found = `${Math.abs(seconds).toFixed(1)} s apart`;
  return Math.abs(seconds) > MOST_DIFFERENCE
    ? wrong(name, found, 'let both machines follow the same time servers (chrony, systemd-timesyncd)')
    : ok(name, found);
}

/** Everything that can be seen from outside, at the address that stands in every token. */
async function checkServer(issuer: string, config: Config): Promise<readonly Check[]> {
  const answer = await get(wellKnown('oauth-authorization-server', issuer));
  if (!answer.ok)
    return [wrong('issuer', `${issuer}: ${answer.why}`, 'start Writ, or check DNS, proxy, certificate and firewall')];
  const metadata = Metadata.safeParse(answer.body);
  if (!metadata.success)
    return [
      wrong('issuer', `${issuer} answers ${answer.status}, and not as Writ does`, 'check the proxy and WRIT_ISSUER'),
    ];
  const { issuer: stated, jwks_uri } = metadata.data;
  return [
    stated === issuer
      ? ok('issuer', `${issuer} answers with its metadata`)
      : wrong('issuer', `its metadata says ${stated}`, `set WRIT_ISSUER=${issuer} there, or use ${stated} here`),
    await checkKeys(jwks_uri),
    await checkReady(issuer),
    ...(await checkServedLog(issuer, config)),
    ...(answer.date === undefined ? [] : [checkClock('clock and issuer', answer.date - systemClock.now())]),
    await checkTransport(issuer, config),
  ];
}

async function checkKeys(uri: string): Promise<Check> {
  const answer = await get(uri);
  const keys = Jwks.safeParse(answer.ok ? answer.body : undefined);
  return keys.success
    ? ok('keys', keys.data.keys.map(({ kid, alg }) => `${kid} (${alg})`).join(', '))
    : wrong('keys', `${uri} has no usable keys`, 'let the proxy pass that path; look for keys_unavailable in the log');
}

async function checkReady(issuer: string): Promise<Check> {
  const answer = await get(`${issuer}/readyz`);
  if (answer.ok && answer.status === 200) return ok('ready', 'yes');
  const reasons = Reasons.safeParse(answer.ok ? answer.body : undefined).data?.reasons;
  return wrong('ready', reasons?.join(', ') ?? 'no answer to /readyz', remedyOf(reasons ?? []));
}

async function checkServedLog(issuer: string, config: Config): Promise<readonly Check[]> {
  const answer = await get(`${issuer}/audit/v1/checkpoint`);
  const note = answer.ok && answer.status === 200 && typeof answer.body === 'string' ? answer.body : undefined;
  return checkCheckpoint(note, issuer, config);
}

/** What a header says must not change the issuer, and figures are not for everybody. */
async function checkTransport(issuer: string, { trustedProxies, tls }: Config): Promise<Check> {
  const name = 'TLS and proxy';
  const headers = {
    'X-Forwarded-Host': 'elsewhere.example',
    'X-Forwarded-Proto': 'http',
    Forwarded: 'host=elsewhere.example',
  };
  const forged = await get(wellKnown('oauth-authorization-server', issuer), headers);
  if (!forged.ok || JSON.stringify(forged.body).includes('elsewhere.example'))
    return wrong(name, 'a forwarded header changes the answers', 'let the proxy overwrite X-Forwarded-* and Forwarded');
  if (!issuer.startsWith('https:')) return ok(name, 'plain http on loopback');
  const metrics = await get(`${issuer}/metrics`);
  if (metrics.ok && metrics.status === 200)
    return wrong(name, '/metrics is open to everybody', 'set WRIT_METRICS_TOKEN and keep /metrics off the public side');
  return ok(
    name,
    tls === undefined ? `certificate valid, ends at ${trustedProxies.join(', ')}` : 'certificate valid, ends here',
  );
}

async function checkAdminToken(options: ConnectionOptions, io: Io): Promise<Check> {
  const name = 'admin token';
  try {
    await connect(options, io).get('/agents', { limit: '1' });
    return ok(name, 'accepted');
  } catch (thrown) {
    if (!(thrown instanceof Failure)) throw thrown;
    return wrong(
      name,
      thrown.message,
      'take the one that the server was started with (WRIT_ADMIN_TOKEN or --token-file)',
    );
  }
}

type Got =
  | Readonly<{ ok: true; status: number; body: unknown; date: number | undefined }>
  | Readonly<{ ok: false; why: string }>;

async function get(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Got> {
  try {
    const response = await fetch(url, { headers, redirect: 'error', signal: AbortSignal.timeout(5_000) });
    const text = await response.text();
    const date = Date.parse(response.headers.get('date') ?? '') / 1000;
    return { ok: true, status: response.status, body: parsed(text), date: Number.isNaN(date) ? undefined : date };
  } catch (thrown) {
    const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause.message : 'no answer';
    return { ok: false, why: cause };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const Metadata = z.object({ issuer: z.string(), jwks_uri: z.string() });
const Jwks = z.object({ keys: z.array(z.object({ kid: z.string(), alg: z.string() })).min(1) });
const Reasons = z.object({ reasons: z.array(z.string()) });
