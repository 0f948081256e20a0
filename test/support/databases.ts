import { createHash, randomBytes } from 'node:crypto';
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe } from '@jest/globals';
import { tryLock } from 'fs-native-extensions';
import pg from 'pg';
import { openDatabase, type Database, type DatabaseOptions } from '../../src/storage/index.js';
import { readMigrations } from '../../src/storage/migrate.js';
import { findPostgres, MISSING, reachPostgres, startPostgres, temporaryDirectory } from './postgres.js';

export type DatabaseKind = Database['kind'];

/** An address that no other test has, and how to remove what is there. */
export type TestAddress = Readonly<{ options: DatabaseOptions; remove(): Promise<void> }>;

/** A migrated database of its own, open. `drop` closes and removes it. */
export type TestDatabase = Readonly<{ database: Database; options: DatabaseOptions; drop(): Promise<void> }>;

/** The kinds that can be tested here. Without PostgreSQL only the embedded one, except in CI, where that is an error. */
export const databaseKinds: readonly DatabaseKind[] = hasServer() ? ['embedded', 'server'] : ['embedded'];

/** The same suite on each kind of database, each with a fresh one. */
export function describeDatabases(title: string, suite: (database: () => Database, kind: DatabaseKind) => void): void {
  describe.each(databaseKinds)(`${title} (%s)`, (kind) => {
    let fresh: TestDatabase | undefined;
    beforeAll(async () => {
      fresh = await freshDatabase(kind);
    });
    afterAll(() => fresh?.drop());
    suite(() => {
      if (fresh === undefined) throw new Error('the database opens in beforeAll');
      return fresh.database;
    }, kind);
  });
}

/** A migrated database that nobody else uses. */
export async function freshDatabase(kind: DatabaseKind): Promise<TestDatabase> {
  const { options, remove } = await migratedAddress(kind);
  const database = await openDatabase(options);
  const drop = async (): Promise<void> => {
    await database.close();
    await remove();
  };
  return { database, options, drop };
}

/** Where a database can be opened without a long start: a copy of one that is migrated. */
export async function migratedAddress(kind: DatabaseKind): Promise<TestAddress> {
  if (kind === 'server') return serverDatabase(await serverTemplate());
  const address = emptyDirectory();
  cpSync(await embeddedTemplate(), address.options.dataDir, { recursive: true });
  return address;
}

/** Where a database can be opened; it is still empty. */
export function emptyAddress(kind: DatabaseKind): Promise<TestAddress> {
  return kind === 'embedded' ? Promise.resolve(emptyDirectory()) : serverDatabase('template1');
}

function emptyDirectory(): TestAddress {
  const dataDir = temporaryDirectory('embedded');
  const remove = (): Promise<void> => {
    rmSync(dataDir, { recursive: true, force: true });
    return Promise.resolve();
  };
  return { options: { dataDir }, remove };
}

async function serverDatabase(template: string): Promise<TestAddress> {
  const admin = await serverUrl();
  const name = `writ_test_${randomBytes(6).toString('hex')}`;
  await administer(admin, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  const url = new URL(admin);
  url.pathname = `/${name}`;
  return {
    options: { url: url.href, dataDir: '' },
    remove: () => administer(admin, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

async function administer(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

function hasServer(): boolean {
  if (process.env['WRIT_TEST_DATABASE_URL'] !== undefined || findPostgres() !== undefined) return true;
  if (process.env['CI'] === 'true') throw new Error(`No PostgreSQL server to test with: ${MISSING}.`);
  process.stderr.write(`Tests on a PostgreSQL server are left out: ${MISSING}.\n`);
  return false;
}

/** The one that was given, else one for the whole run, started by the first test that wants it (see global-setup.mjs). */
async function serverUrl(): Promise<string> {
  const given = process.env['WRIT_TEST_DATABASE_URL'];
  if (given !== undefined) return given;
  const run = process.env['WRIT_TEST_RUN_DIR'];
  if (run === undefined) throw new Error('global-setup.mjs did not run');
  const directory = join(run, 'pg');
  await alone(join(run, 'pg.lock'), async () => {
    if (!existsSync(directory)) await startPostgres(directory);
  });
  return reachPostgres(directory).urlOf('postgres');
}

/** A migrated database of the server of this run, made once. A server that was given keeps nothing of ours behind. */
async function serverTemplate(): Promise<string> {
  const run = process.env['WRIT_TEST_RUN_DIR'];
  if (process.env['WRIT_TEST_DATABASE_URL'] !== undefined || run === undefined) return 'template1';
  const [name, made] = ['writ_template', join(run, 'pg-template')];
  const admin = await serverUrl();
  await alone(`${made}.lock`, async () => {
    if (existsSync(made)) return;
    await administer(admin, `CREATE DATABASE ${name}`);
    const url = new URL(admin);
    url.pathname = `/${name}`;
    await (await openDatabase({ url: url.href, dataDir: '' })).close();
    mkdirSync(made);
  });
  return name;
}

/** A migrated data directory, made once per set of migrations: the first start of an embedded database takes seconds. */
async function embeddedTemplate(): Promise<string> {
  const cache = join(process.cwd(), 'node_modules', '.cache', 'writ');
  mkdirSync(cache, { recursive: true });
  const template = join(cache, `embedded-${templateHash()}`);
  await alone(join(cache, 'embedded.lock'), async () => {
    if (existsSync(template)) return;
    const dataDir = `${template}.tmp`;
    rmSync(dataDir, { recursive: true, force: true });
    const database = await openDatabase({ dataDir });
    await database.close();
    renameSync(dataDir, template);
  });
  return template;
}

function templateHash(): string {
  const engine = readFileSync(join('node_modules', '@electric-sql', 'pglite', 'package.json'), 'utf8');
  const parts = [engine, ...readMigrations().map(({ name, checksum }) => name + checksum)];
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16);
}

/** Test workers are processes: only one at a time does the work. */
async function alone(lockFile: string, work: () => Promise<void>): Promise<void> {
  const file = openSync(lockFile, 'a+');
  try {
    while (!tryLock(file)) await pause(50);
    await work();
  } finally {
    closeSync(file);
  }
}
