import { guarded } from './outage.js';
import { PrismaClient } from './generated/client.js';
import { FINISHED, migrate, type Migration, missingOf, readMigrations } from './migrate.js';
import type { Rows } from './statements.js';

/** The one database of this process, brought to this build's schema. */
export type Database = Readonly<{
  prisma: PrismaClient;
  /** For the statement on the hot path: Prisma around it costs as much again. */
  rows: Rows;
  kind: 'embedded' | 'server';
  /** Throws a Fault when the database does not answer. */
  ping(): Promise<void>;
  /** The migrations of this build that the database does not have. Throws a Fault when it does not answer. */
  missingMigrations(): Promise<readonly string[]>;
  /** May be called twice. */
  close(): Promise<void>;
}>;

/** `url` is a PostgreSQL server; without it the database is embedded, in `<dataDir>/db`. */
export type DatabaseOptions = Readonly<{ url?: string | undefined; dataDir: string; poolSize?: number }>;

/** Opens, migrates and tries the database, or throws the Fault that says why it cannot be used. */
export function openDatabase({ url, dataDir, poolSize = 10 }: DatabaseOptions): Promise<Database> {
  return url === undefined ? embeddedDatabase(dataDir) : serverDatabase(url, poolSize);
}

async function embeddedDatabase(dataDir: string): Promise<Database> {
  // Not loaded for a server that does not use it.
  const { openEmbedded } = await import('./embedded.js');
  const { adapter, rows, migrations, close } = await openEmbedded(dataDir);
  try {
    await migrate(migrations);
  } catch (fault) {
    await close();
    throw fault;
  }
  return database('embedded', { prisma: new PrismaClient({ adapter, ...LIMITS }), rows, closeDriver: close });
}

async function serverDatabase(url: string, poolSize: number): Promise<Database> {
  // Not loaded for a server whose database is embedded.
  const { openServer, withMigrationConnection } = await import('./server.js');
  await guarded(() => withMigrationConnection(url, migrate));
  const { adapter, rows, close } = openServer(url, poolSize);
  return database('server', { prisma: new PrismaClient({ adapter, ...LIMITS }), rows, closeDriver: close });
}

/** An interactive transaction waits and lasts no longer than this; errors quote no source. */
const LIMITS = { errorFormat: 'minimal', transactionOptions: { maxWait: 3_000, timeout: 4_500 } } as const;

type Driver = Pick<Database, 'prisma' | 'rows'> & Readonly<{ closeDriver(): Promise<void> }>;

function database(kind: Database['kind'], { prisma, rows, closeDriver }: Driver): Database {
  let closed: Promise<void> | undefined;
  let known: readonly Migration[] | undefined;
  return {
    prisma,
    rows,
    kind,
    ping: async () => {
      await guarded(() => prisma.$queryRawUnsafe('SELECT 1'));
    },
    missingMigrations: async () => {
      const applied = await guarded(() => prisma.$queryRawUnsafe<readonly unknown[]>(FINISHED));
      return missingOf(applied, (known ??= readMigrations()));
    },
    close: () => (closed ??= prisma.$disconnect().then(closeDriver)),
  };
}
