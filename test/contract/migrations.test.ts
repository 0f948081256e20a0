import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { PrismaPg } from '@prisma/adapter-pg';
import { describe, expect, it } from '@jest/globals';
import { openDatabase } from '../../src/storage/index.js';
import { readMigrations } from '../../src/storage/migrate.js';
import { deployedHistory, schemaDifference } from '../../scripts/schema-engine.js';
import { databaseKinds, emptyAddress, freshDatabase } from '../support/databases.js';

const FIRST = '20261122000000_init';

describe.each(databaseKinds)('migrations (%s)', (kind) => {
  it('are applied when an empty database is opened, recorded as Prisma does, and not again', async () => {
    const { options, remove } = await emptyAddress(kind);
    await (await openDatabase(options)).close();
    const again = await openDatabase(options);
    const rows = await again.prisma.$queryRawUnsafe('SELECT * FROM _prisma_migrations ORDER BY migration_name');
    expect(rows).toEqual(
      readMigrations().map(({ name }) => ({
        id: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
        checksum: createHash('sha256')
          .update(readFileSync(`prisma/migrations/${name}/migration.sql`))
          .digest('hex'),
        finished_at: expect.any(Date),
        migration_name: name,
        logs: null,
        rolled_back_at: null,
        started_at: expect.any(Date),
        applied_steps_count: 1,
      })),
    );
    expect(await again.prisma.registryState.findMany()).toEqual([{ id: 1, version: 0n, policy: null }]);
    await again.close();
    await remove();
  });

  const spoiled = [
    [
      'was changed after it had been applied',
      `UPDATE _prisma_migrations SET checksum = 'other'`,
      /migration 20261122000000_init was changed/,
    ],
    [
      'was begun and never finished',
      'UPDATE _prisma_migrations SET finished_at = NULL',
      /migration 20261122000000_init was begun and never finished/,
    ],
    [
      'is of a newer build',
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at) VALUES ('x', 'y', '29990101000000_future', now())`,
      /29990101000000_future, which this build does not know/,
    ],
  ] as const;
  it.each(spoiled)('refuse a database on which one %s', async (_title, sql, message) => {
    const { database, options, drop } = await freshDatabase(kind);
    await database.prisma.$executeRawUnsafe(sql);
    await database.close();
    await expect(openDatabase(options)).rejects.toMatchObject({
      code: 'schema_mismatch',
      message: expect.stringMatching(message),
    });
    await drop();
  });

  it('ignore one that was rolled back', async () => {
    const { database, options, drop } = await freshDatabase(kind);
    await database.prisma.$executeRawUnsafe(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, rolled_back_at) VALUES ('x', 'y', '${FIRST}', now())`,
    );
    await database.close();
    await (await openDatabase(options)).close();
    await drop();
  });

  it('leave nothing of one that fails', async () => {
    const { options, remove } = await emptyAddress(kind);
    const database = await openDatabase(options);
    await database.prisma.$executeRawUnsafe('DELETE FROM _prisma_migrations');
    await database.prisma.$executeRawUnsafe('DROP TABLE registry_state');
    await database.close();
    // The first migration now makes registry_state, then fails on agent, which is there.
    await expect(openDatabase(options)).rejects.toMatchObject({
      code: 'schema_mismatch',
      message: expect.stringMatching(/20261122000000_init failed/),
    });
    await expect(openDatabase(options)).rejects.toMatchObject({
      code: 'schema_mismatch',
      message: expect.stringMatching(/20261122000000_init failed/),
    });
    await remove();
  });
});

describe.each(databaseKinds.filter((kind) => kind === 'server'))('migrations of replicas (%s)', (kind) => {
  it('are applied once when four replicas start at once on an empty database', async () => {
    const { options, remove } = await emptyAddress(kind);
    const replicas = await Promise.all(Array.from({ length: 4 }, () => openDatabase(options)));
    const [first] = replicas;
    expect(await first?.prisma.$queryRawUnsafe('SELECT migration_name FROM _prisma_migrations')).toEqual(
      readMigrations().map(({ name }) => ({ migration_name: name })),
    );
    for (const replica of replicas) await replica.ping();
    await Promise.all(replicas.map((replica) => replica.close()));
    await remove();
  });

  it('leave nothing for prisma migrate deploy to do or to complain of', async () => {
    const { options, drop } = await freshDatabase(kind);
    expect(await deployedHistory(new PrismaPg({ connectionString: options.url }), readMigrations())).toEqual({
      history: null,
      failedMigrationNames: [],
      editedMigrationNames: [],
      hasMigrationsTable: true,
      appliedMigrationNames: [],
    });
    await drop();
  });
});

describe('the schema', () => {
  it('is what the migrations make', async () => {
    expect(await schemaDifference(readMigrations())).toBeUndefined();
  });

  it('is told apart from one that the migrations do not make', async () => {
    const other = readFileSync('prisma/schema.prisma', 'utf8').replace('secretHash  String?', 'secretHash  String ');
    expect(await schemaDifference(readMigrations(), other)).toMatch(/Changed the `agent` table[^]*secret_hash/);
  });
});
