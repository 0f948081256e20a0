import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { stringify } from 'yaml';
import { type Company, startCompany } from '../demo/company.js';
import { endPostgres, type LocalPostgres, postmasterOf, startPostgres, temporaryDirectory } from '../postgres.js';
import { Cast } from './cast.js';
import { Closing } from './closing.js';
import { freePorts, ServerProcess } from './server.js';

/** How long a drill goes on, and where it says how far it is. */
export type Bounds = Readonly<{ rounds: number; seconds: number; say: (line: string) => void }>;

/** What every drill stands on: a folder, a database, a company to sign in at, and servers that may be killed. */
export type Rig = Readonly<{
  closing: Closing;
  folder: string;
  adminToken: string;
  cast: Cast;
  /** Ready, and with the cast in their registry. */
  servers: readonly [ServerProcess, ...ServerProcess[]];
  /** Absent where the database is embedded. */
  postgres: LocalPostgres | undefined;
  /** The embedded database's files. */
  dataDir: string;
}>;

export type RigOptions = Readonly<{
  database: 'postgres' | 'embedded';
  servers: number;
  /** Settings other than the defaults. */
  env?: Readonly<Record<string, string>>;
  /** Another way to the same database, such as through a proxy. */
  reach?: (postgres: LocalPostgres, closing: Closing, folder: string) => Promise<string>;
  /** Starts what stands beside the servers, and answers the settings by which they find it. */
  beside?: (closing: Closing, folder: string) => Promise<object>;
}>;

/** An answered commit must outlive the database server too, or a drill would find that as a loss of ours. */
export const DURABLE = ['synchronous_commit=on'];
export const DATABASE = 'postgres';

export async function openRig({ database, servers, reach, beside, env: more = {} }: RigOptions): Promise<Rig> {
  const closing = new Closing();
  try {
    const folder = temporaryDirectory('drill');
    chmodSync(folder, 0o711);
    const remove = (): void => {
      rmSync(folder, { recursive: true, force: true });
    };
    closing.add(() => {
      remove();
      return Promise.resolve();
    }, remove);
    const postgres = database === 'postgres' ? await openPostgres(join(folder, 'pg'), closing) : undefined;
    const ports = await freePorts(servers);
    const issuer = `http://127.0.0.1:${ports[0] ?? 0}`;
    const company = await startCompany({ writIssuer: issuer });
    closing.add(company.stop);
    const [adminToken, dataDir] = [randomBytes(32).toString('hex'), join(folder, 'data')];
    const url =
      postgres === undefined ? undefined : await (reach?.(postgres, closing, folder) ?? postgres.urlOf(DATABASE));
    const env = {
      WRIT_ISSUER: issuer,
      WRIT_CONFIG: configFile(folder, company, await beside?.(closing, folder)),
      WRIT_DATA_DIR: dataDir,
      WRIT_ADMIN_TOKEN: adminToken,
      // A drill asks more of one client, and has more refused, than anybody should be allowed.
      WRIT_REQUESTS_PER_CLIENT: '1000000',
      WRIT_FAILURES_PER_NETWORK: '1000000',
      WRIT_SIGN_INS_PER_NETWORK: '1000000',
      WRIT_SIGN_INS_PER_CLIENT: '1000000',
      WRIT_KEY_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
      ...(url === undefined ? {} : { DATABASE_URL: url }),
      ...more,
    };
    const [first, ...others] = ports.map((port) => new ServerProcess(port, env, closing));
    if (first === undefined) throw new Error('a drill needs a server');
    for (const server of [first, ...others]) await server.start();
    const cast = new Cast(issuer);
    const applied = await first.line.json('POST', '/admin/v1/apply', adminToken, cast.registry());
    if (applied.status !== 200) throw new Error(`apply: ${JSON.stringify(applied.body)}`);
    return { closing, folder, adminToken, cast, servers: [first, ...others], postgres, dataDir };
  } catch (thrown) {
    await closing.close();
    throw thrown;
  }
}

async function openPostgres(directory: string, closing: Closing): Promise<LocalPostgres> {
  mkdirSync(directory, { mode: 0o711 });
  const kill = (): void => {
    const pid = postmasterOf(directory);
    if (pid !== undefined) process.kill(pid, 'SIGQUIT');
  };
  closing.add(() => endPostgres(directory, 'SIGINT'), kill);
  return startPostgres(directory, DURABLE);
}

function configFile(folder: string, { identityProvider }: Company, more: object = {}): string {
  const { credential, ...provider } = identityProvider;
  const secret = credential.kind === 'secret' ? { clientSecret: credential.secret } : {};
  const file = join(folder, 'writ.yaml');
  writeFileSync(file, stringify({ identityProviders: [{ ...provider, ...secret }], ...more }), { mode: 0o600 });
  return file;
}

/** Statements of the drill's own, past every server. */
export async function withDatabase<T>(postgres: LocalPostgres, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: postgres.urlOf(DATABASE) });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
