import { join } from 'node:path';
import { PGlite, type Transaction } from '@electric-sql/pglite';
import { PrismaPGlite } from 'pglite-prisma-adapter';
import { holdDataDirectory } from './lock.js';
import type { MigrationConnection } from './migrate.js';
import { PLANNED, type Rows } from './statements.js';

type Adapter = Awaited<ReturnType<PrismaPGlite['connect']>>;
type AdapterTransaction = Awaited<ReturnType<Adapter['startTransaction']>>;

/** PostgreSQL in this process, its files in `<dataDir>/db`, the directory held against every other process. */
export type Embedded = Readonly<{
  adapter: PrismaPGlite;
  rows: Rows;
  migrations: MigrationConnection;
  close(): Promise<void>;
}>;

export async function openEmbedded(dataDir: string): Promise<Embedded> {
  const release = holdDataDirectory(dataDir);
  try {
    const client = await PGlite.create(join(dataDir, 'db'));
    await client.exec(["TimeZone='UTC'", ...PLANNED].map((setting) => `SET ${setting};`).join(' '));
    return {
      adapter: new EmbeddedAdapter(client),
      rows: async (sql, values) => (await client.query(sql, [...values])).rows,
      migrations: migrationConnection(client),
      close: closing(client, release),
    };
  } catch (fault) {
    release();
    throw fault;
  }
}

const closing = (client: PGlite, release: () => void) => async (): Promise<void> => {
  try {
    if (!client.closed) await client.close();
  } finally {
    release();
  }
};

const migrationConnection = (client: PGlite): MigrationConnection => ({
  run: async (script) => {
    await client.exec(script);
  },
  rows: async (sql, parameters = []) => (await client.query(sql, [...parameters])).rows,
});

/** The package's adapter, but for transactions: its own loses the error of a COMMIT that failed. */
class EmbeddedAdapter extends PrismaPGlite {
  readonly #client: PGlite;
  constructor(client: PGlite) {
    super(client);
    this.#client = client;
  }

  override async connect(): Promise<Adapter> {
    const adapter = await super.connect();
    adapter.startTransaction = (level) => begin(this.#client, level);
    return adapter;
  }
}

/** One at a time: the next transaction, and every query outside of this one, waits until it ends. */
function begin(client: PGlite, level: string | undefined): Promise<AdapterTransaction> {
  const ended = deferred();
  return new Promise((resolve, reject) => {
    const outcome: Promise<void> = client.transaction(async (transaction) => {
      if (level !== undefined) await transaction.exec(`SET TRANSACTION ISOLATION LEVEL ${level}`);
      resolve(await adapterTransaction(client, transaction, () => (ended.resolve(), outcome)));
      await ended.promise;
    });
    outcome.catch(reject);
  });
}

async function adapterTransaction(
  client: PGlite,
  transaction: Transaction,
  end: () => Promise<void>,
): Promise<AdapterTransaction> {
  const queries = await new PrismaPGlite(within(client, transaction)).connect();
  return {
    provider: queries.provider,
    adapterName: queries.adapterName,
    options: { usePhantomQuery: true },
    queryRaw: (query) => queries.queryRaw(query),
    executeRaw: (query) => queries.executeRaw(query),
    commit: end,
    rollback: async () => {
      await transaction.rollback();
      await end();
    },
  };
}

/** The client as the package wants it, with its queries inside the transaction. */
const within = (client: PGlite, transaction: Transaction): PGlite =>
  new Proxy(client, {
    get: (target, key): unknown => Reflect.get(key === 'query' || key === 'exec' ? transaction : target, key),
  });

function deferred(): Readonly<{ promise: Promise<void>; resolve: () => void }> {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
