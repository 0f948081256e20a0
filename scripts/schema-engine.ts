// Prisma's own schema engine as WebAssembly: it says what Prisma thinks of a database, without its downloaded binary.
import { readFileSync } from 'node:fs';
import { PGlite } from '@electric-sql/pglite';
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import * as wasm from '@prisma/schema-engine-wasm/schema_engine_bg';
import { PrismaPGlite } from 'pglite-prisma-adapter';
import type { Migration } from '../src/storage/migrate.js';

type AdapterFactory = Parameters<typeof bindMigrationAwareSqlAdapterFactory>[0];

/** What has to change in the database that the migrations make until it is the one of the schema; undefined when nothing. */
export async function schemaDifference(
  migrations: readonly Migration[],
  schema = readSchema(),
): Promise<string | undefined> {
  const database = await PGlite.create();
  try {
    for (const { sql } of migrations) await database.exec(sql);
    const engine = await schemaEngine(new PrismaPGlite(database), schema);
    const files = [{ path: SCHEMA, content: schema }];
    const { exitCode, stdout } = await engine.diff({
      from: { tag: 'schemaDatasource', files, configDir: '.' },
      to: { tag: 'schemaDatamodel', files },
      script: false,
      exitCode: true,
      filters: NO_FILTER,
    });
    return exitCode === 0 ? undefined : (stdout ?? 'unknown');
  } finally {
    await database.close();
  }
}

/** What `prisma migrate deploy` would say and do: differences of the history, and migrations that it would still apply. */
export async function deployedHistory(adapter: AdapterFactory, migrations: readonly Migration[]): Promise<unknown> {
  const engine = await schemaEngine(adapter, readSchema());
  const migrationsList = {
    baseDir: 'prisma/migrations',
    lockfile: { path: 'migration_lock.toml', content: readFileSync('prisma/migrations/migration_lock.toml', 'utf8') },
    shadowDbInitScript: '',
    migrationDirectories: migrations.map(({ name, sql }) => ({
      path: name,
      migrationFile: { path: 'migration.sql', content: { tag: 'ok' as const, value: sql } },
    })),
  };
  const diagnosis = await engine.diagnoseMigrationHistory({
    migrationsList,
    optInToShadowDatabase: false,
    filters: NO_FILTER,
  });
  const { appliedMigrationNames } = await engine.applyMigrations({ migrationsList, filters: NO_FILTER });
  return { ...diagnosis, appliedMigrationNames };
}

const SCHEMA = 'prisma/schema.prisma';
const NO_FILTER = { externalTables: [], externalEnums: [] };
const readSchema = (): string => readFileSync(SCHEMA, 'utf8');

async function schemaEngine(adapter: AdapterFactory, schema: string): Promise<wasm.SchemaEngine> {
  await loadEngine();
  return wasm.SchemaEngine.new(
    { datamodels: [[SCHEMA, schema]] },
    () => undefined,
    bindMigrationAwareSqlAdapterFactory(adapter),
  );
}

/** A global of Node.js that the compiler's library does not list. */
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: { __wbindgen_start(): void } } }>;
};

let loading: Promise<void> | undefined;

/** The package's own loader needs a bundler that imports .wasm files. */
function loadEngine(): Promise<void> {
  loading ??= (async () => {
    const file = readFileSync('node_modules/@prisma/schema-engine-wasm/schema_engine_bg.wasm');
    const { instance } = await WebAssembly.instantiate(file, { './schema_engine_bg.js': wasm });
    wasm.__wbg_set_wasm(instance.exports);
    instance.exports.__wbindgen_start();
  })();
  return loading;
}
