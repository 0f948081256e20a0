import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { type Encoder, encoderOf } from './binary-arrays.js';
import type { MigrationConnection } from './migrate.js';
import { PLANNED, type Rows } from './statements.js';

/** A PostgreSQL server, or whatever speaks its protocol. */
export type Server = Readonly<{ adapter: PrismaPg; rows: Rows; close(): Promise<void> }>;

export function openServer(url: string, poolSize: number): Server {
  const pool = new pg.Pool({
    connectionString: inSession(url, ['TimeZone=UTC', ...PLANNED]),
    max: poolSize,
    ...BOUNDS,
  });
  // An idle connection that breaks is replaced by the pool; the next query says so if there is no other.
  pool.on('error', () => undefined);
  // DANGER: for a moment after it has given a connection away, and before it has it back, the pool does not listen to it, and
  // an error that nobody hears ends the process. What was asked of the connection fails all the same.
  pool.on('connect', (client) => {
    client.on('error', () => undefined);
  });
  pool.on('release', (_, client) => {
    neverAgainUnlessIdle(client);
  });
  const nameOf = preparedStatements();
  const encoders = encodersOf();
  return {
    adapter: new ServerAdapter(pool, { statementNameGenerator: nameOf }),
    rows: async (sql, values) =>
      (await pool.query<object>({ name: nameOf({ sql }), text: sql, values: [...encoders(sql)(values)] })).rows,
    close: () => pool.end(),
  };
}

/**
 * A ROLLBACK that got no answer in time was perhaps never sent, and the adapter gives its connection back as if it were
 * good. INVARIANT: nobody gets a connection with an open transaction: what they were told is kept would be lost with it.
 */
function neverAgainUnlessIdle(client: pg.PoolClient): void {
  if (client.getTransactionStatus() === 'I') return;
  // The pool takes none back that is ending.
  client.end().catch(() => undefined);
}

/** A connection of its own: replicas wait here for each other, and a migration may take its time. */
export async function withMigrationConnection(
  url: string,
  work: (connection: MigrationConnection) => Promise<unknown>,
): Promise<void> {
  const client = new pg.Client({
    connectionString: inSession(url, ['TimeZone=UTC']),
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: MIGRATION_MS,
    keepAlive: true,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await work({
      run: async (script) => {
        await client.query(script);
      },
      rows: async (sql, parameters = []) => (await client.query<object>(sql, [...parameters])).rows,
    });
  } finally {
    await client.end();
  }
}

type Adapter = Awaited<ReturnType<PrismaPg['connect']>>;
type AdapterTransaction = Awaited<ReturnType<Adapter['startTransaction']>>;
type Query = Parameters<Adapter['executeRaw']>[0];

/** The package's adapter, but for transactions: PostgreSQL answers the COMMIT of a failed one with a silent ROLLBACK. */
class ServerAdapter extends PrismaPg {
  override async connect(): ReturnType<PrismaPg['connect']> {
    const adapter = await super.connect();
    const begin = adapter.startTransaction.bind(adapter);
    adapter.startTransaction = async (level) => withHonestCommit(await begin(level));
    return adapter;
  }
}

/** A statement's error that was caught inside a transaction is thrown again by its COMMIT. */
function withHonestCommit(transaction: AdapterTransaction): AdapterTransaction {
  let failure: { error: unknown } | undefined;
  const execute = transaction.executeRaw.bind(transaction);
  const watched =
    <T>(run: (query: Query) => Promise<T>) =>
    async (query: Query): Promise<T> => {
      if (failure !== undefined && query.sql === 'COMMIT') {
        await execute({ ...query, sql: 'ROLLBACK' });
        throw failure.error;
      }
      if (query.sql.startsWith('ROLLBACK TO')) failure = undefined;
      try {
        return await run(query);
      } catch (error) {
        failure = { error };
        throw error;
      }
    };
  transaction.queryRaw = watched(transaction.queryRaw.bind(transaction));
  transaction.executeRaw = watched(execute);
  return transaction;
}

const CONNECT_MS = 3_000;
const MIGRATION_MS = 600_000;

/** The server gives up first, so that its connection stays good; the client's own limit is for a network that is gone. */
const BOUNDS = {
  connectionTimeoutMillis: CONNECT_MS,
  statement_timeout: 4_000,
  query_timeout: 4_500,
  idle_in_transaction_session_timeout: 10_000,
  keepAlive: true,
  application_name: 'writ',
};

/** The adapter sends and reads times without their zone, so every session has to be in UTC. */
function inSession(url: string, settings: readonly string[]): string {
  const address = new URL(url);
  const given = address.searchParams.get('options');
  const options = [...(given === null ? [] : [given]), ...settings.map((setting) => `-c ${setting}`)];
  address.searchParams.set('options', options.join(' '));
  return address.href;
}

/** Each SQL text is parsed and planned once per connection; the number of texts is bounded. */
function preparedStatements(): (query: { sql: string }) => string {
  const names = new Map<string, string>();
  return ({ sql }) => {
    const known = names.get(sql);
    if (known !== undefined || names.size >= 256) return known ?? '';
    const name = `writ_${names.size}`;
    names.set(sql, name);
    return name;
  };
}

/** The texts that come here are ours and few. */
function encodersOf(): (sql: string) => Encoder {
  const known = new Map<string, Encoder>();
  return (sql) => {
    const encoder = known.get(sql) ?? encoderOf(sql);
    known.set(sql, encoder);
    return encoder;
  };
}
