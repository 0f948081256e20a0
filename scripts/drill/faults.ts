import { readFileSync } from 'node:fs';
import type { LocalPostgres } from '../postgres.js';
import { endPostgres, postmasterOf, startPostgres } from '../postgres.js';
import type { Proxy } from './proxy.js';
import { DATABASE, DURABLE, withDatabase } from './rig.js';

/** Something that happens to the database for a while. */
export type Fault = Readonly<{ name: string; holdMs: number; begin(): Promise<void>; end(): Promise<void> }>;

/** Every table that a request for a token writes to. */
const TABLES = [
  'replay',
  'agent_session',
  'log_leaf',
  'log_pending',
  'token_use',
  'revocation',
  'engine_record',
] as const;
/** Those that the tree of the log is in: nobody waits for it, and it must come after. */
const TREE = ['log_entry', 'log_tile', 'log_checkpoint', 'log_tree'] as const;

export const faultsOf = (postgres: LocalPostgres, proxy: Proxy): readonly Fault[] => [
  killed(postgres),
  // Longer than a transaction, its ROLLBACK and their time-outs.
  paused(postgres, 12_000),
  slow(proxy, 1_000),
  slow(proxy, 6_000),
  cut(proxy),
  readOnly(postgres),
  failing(postgres, 'full', { tables: [...TABLES, ...TREE], sqlState: '53100' }),
  ...[...TABLES, ...TREE].map((table) => failing(postgres, `failing ${table}`, { tables: [table], sqlState: '58030' })),
];

/** Its immediate shutdown, as in a crash, and its start. */
const killed = (postgres: LocalPostgres): Fault => ({
  name: 'killed',
  holdMs: 1_000,
  begin: () => endPostgres(postgres.directory, 'SIGQUIT'),
  end: async () => {
    await startPostgres(postgres.directory, DURABLE);
  },
});

/** The server and all its processes stand still; connections stay, and new ones wait. */
function paused({ directory }: LocalPostgres, holdMs: number): Fault {
  let stopped: readonly number[] = [];
  const send = (signal: NodeJS.Signals): Promise<void> => {
    for (const pid of stopped) process.kill(pid, signal);
    return Promise.resolve();
  };
  return {
    name: 'paused',
    holdMs,
    begin: () => {
      stopped = familyOf(postmasterOf(directory));
      return send('SIGSTOP');
    },
    end: () => send('SIGCONT'),
  };
}

function familyOf(parent: number | undefined): readonly number[] {
  if (parent === undefined) throw new Error('PostgreSQL does not run');
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ');
  return [parent, ...children.filter((pid) => pid !== '').map(Number)];
}

const slow = (proxy: Proxy, delayMs: number): Fault => ({
  name: `slow by ${delayMs / 1_000} s`,
  holdMs: delayMs + 2_000,
  begin: () => {
    proxy.delay(delayMs);
    return Promise.resolve();
  },
  end: () => {
    proxy.delay(0);
    return Promise.resolve();
  },
});

/** Every connection breaks, again and again: what was under way may have been committed or not. */
function cut(proxy: Proxy): Fault {
  let timer: NodeJS.Timeout | undefined;
  return {
    name: 'cut off',
    holdMs: 1_500,
    begin: () => {
      timer = setInterval(() => {
        proxy.cut();
      }, 20);
      return Promise.resolve();
    },
    end: () => {
      clearInterval(timer);
      return Promise.resolve();
    },
  };
}

/** Nothing can be written any more, as where a standby was taken for the server. */
function readOnly(postgres: LocalPostgres): Fault {
  const say = (change: string): Promise<void> =>
    withDatabase(postgres, async (client) => {
      await client.query('SET default_transaction_read_only = off');
      await client.query(`ALTER DATABASE ${DATABASE} ${change}`);
      await client.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
      );
    });
  return {
    name: 'read-only',
    holdMs: 1_000,
    begin: () => say('SET default_transaction_read_only = on'),
    end: () => say('RESET default_transaction_read_only'),
  };
}

type Failing = Readonly<{ tables: readonly string[]; sqlState: string }>;

/** Whoever writes to one of these tables is told this. */
const failing = (postgres: LocalPostgres, name: string, { tables, sqlState }: Failing): Fault => {
  // One at a time: a lock on two tables could close a circle with whoever is at work.
  const run = (statements: readonly string[]): Promise<void> =>
    withDatabase(postgres, async (client) => {
      for (const statement of statements) await client.query(statement);
    });
  return {
    name,
    holdMs: 800,
    begin: () => run([FAIL, ...tables.map((table) => trigger(table, sqlState))]),
    end: () => run(tables.map((table) => `DROP TRIGGER drill ON ${table}`)),
  };
};

const FAIL = `
  CREATE OR REPLACE FUNCTION drill_fail() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN RAISE EXCEPTION 'a drill' USING ERRCODE = TG_ARGV[0]; END $$`;

const trigger = (table: string, sqlState: string): string =>
  `CREATE TRIGGER drill BEFORE INSERT OR UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION drill_fail('${sqlState}')`;
