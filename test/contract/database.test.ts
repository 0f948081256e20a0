import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { guarded, openDatabase, type Database } from '../../src/storage/index.js';
import { databaseKinds, describeDatabases, emptyAddress, freshDatabase } from '../support/databases.js';
import { startPostgres, stopPostgres, temporaryDirectory } from '../support/postgres.js';

const unavailable = { code: 'database_unavailable', message: expect.stringMatching(/^The database does not answer/) };
const insertPerson = `INSERT INTO person (id, issuer, subject) VALUES ($1, 'https://idp.example', $1)`;

/** At most five seconds, and a little for a busy machine. */
async function inBoundedTime(work: Promise<unknown>): Promise<void> {
  const started = performance.now();
  await expect(work).rejects.toMatchObject(unavailable);
  expect(performance.now() - started).toBeLessThan(6_000);
}

describeDatabases('the database', (database, kind) => {
  const people = (prefix: string) => database().prisma.person.count({ where: { id: { startsWith: prefix } } });

  it('says what it is and answers', async () => {
    expect(database().kind).toBe(kind);
    await database().ping();
  });

  it('commits a transaction whole', async () => {
    await database().prisma.$transaction(async (transaction) => {
      await transaction.$executeRawUnsafe(insertPerson, 'whole-1');
      await transaction.person.create({ data: { id: 'whole-2', issuer: 'i', subject: 'whole-2' } });
      expect(await transaction.person.count({ where: { id: { startsWith: 'whole' } } })).toBe(2);
    });
    expect(await people('whole')).toBe(2);
  });

  it('leaves nothing of a transaction that throws', async () => {
    const failing = database().prisma.$transaction(async (transaction) => {
      await transaction.$executeRawUnsafe(insertPerson, 'none-1');
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await people('none')).toBe(0);
  });

  it('never calls a transaction committed in which a statement failed, even if its error was caught', async () => {
    const failing = database().prisma.$transaction(async (transaction) => {
      await transaction.$executeRawUnsafe(insertPerson, 'caught-1');
      await transaction.$queryRawUnsafe('SELECT 1 / 0').catch(() => undefined);
    });
    await expect(failing).rejects.toThrow();
    expect(await people('caught')).toBe(0);
    await database().prisma.$transaction((transaction) => transaction.$executeRawUnsafe(insertPerson, 'caught-2'));
    expect(await people('caught')).toBe(1);
  });

  it('gives a transaction the isolation that it asks for', async () => {
    const level = await database().prisma.$transaction(
      (transaction) => transaction.$queryRawUnsafe('SHOW transaction_isolation'),
      {
        isolationLevel: 'RepeatableRead',
      },
    );
    expect(level).toEqual([{ transaction_isolation: 'repeatable read' }]);
  });

  it('keeps queries outside of a transaction out of it', async () => {
    const outside: Promise<unknown>[] = [];
    const failing = database().prisma.$transaction(async (transaction) => {
      await transaction.$executeRawUnsafe(insertPerson, 'inside-1');
      outside.push(database().prisma.$executeRawUnsafe(insertPerson, 'outside-1'));
      await transaction.$executeRawUnsafe(insertPerson, 'inside-2');
      throw new Error('rolled back');
    });
    await expect(failing).rejects.toThrow('rolled back');
    await Promise.all(outside);
    expect([await people('inside'), await people('outside')]).toEqual([0, 1]);
  });

  it('runs twenty transactions that are asked for at once', async () => {
    const transactions = Array.from({ length: 20 }, (_, n) =>
      database().prisma.$transaction(async (transaction) => {
        await transaction.$executeRawUnsafe('UPDATE registry_state SET version = version + 1');
        await transaction.$executeRawUnsafe(insertPerson, `many-${n}`);
      }),
    );
    await Promise.all(transactions);
    expect(await people('many')).toBe(20);
    expect(await database().prisma.registryState.findMany()).toEqual([{ id: 1, version: 20n, policy: null }]);
  });

  it('tells an error of a statement from an outage', async () => {
    await database().prisma.$executeRawUnsafe(insertPerson, 'twice');
    const again = guarded(() => database().prisma.$executeRawUnsafe(insertPerson, 'twice'));
    await expect(again).rejects.toMatchObject({
      code: 'P2010',
      meta: { driverAdapterError: { cause: { originalCode: '23505', kind: 'UniqueConstraintViolation' } } },
    });
    const created = guarded(() =>
      database().prisma.person.create({ data: { id: 'twice', issuer: 'i', subject: 's' } }),
    );
    await expect(created).rejects.toMatchObject({ code: 'P2002' });
    await expect(guarded(() => database().prisma.$queryRawUnsafe('SELECT * FROM nothing'))).rejects.toMatchObject({
      code: 'P2010',
    });
    await expect(guarded(() => Promise.reject(new TypeError('a bug')))).rejects.toThrow(TypeError);
  });
});

const OUTAGES = [
  '08006',
  '25006',
  '40001',
  '40003',
  '40P01',
  '53100',
  '53300',
  '55P03',
  '57014',
  '57P01',
  '58030',
  'XX000',
];

describeDatabases('a statement that the database gives up', (database) => {
  const fail = (state: string): string => `DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '${state}'; END $$`;

  it.each(OUTAGES)('is an outage, alone and in a transaction (%s)', async (state) => {
    const { prisma } = database();
    const message = { code: 'database_unavailable', message: `The database does not answer (${state}).` };
    await expect(guarded(() => prisma.$executeRawUnsafe(fail(state)))).rejects.toMatchObject(message);
    await expect(
      guarded(() => prisma.$transaction((transaction) => transaction.$executeRawUnsafe(fail(state)))),
    ).rejects.toMatchObject(message);
  });

  it.each(['40001', '40P01'])('is run again when it was rolled back for another one (%s)', async (state) => {
    const { prisma } = database();
    let tries = 0;
    const answer = guarded(() =>
      prisma.$transaction(async (transaction) => {
        await transaction.$executeRawUnsafe(insertPerson, `again-${state}`);
        if (++tries < 3) await transaction.$executeRawUnsafe(fail(state));
        return tries;
      }),
    );
    expect(await answer).toBe(3);
    expect(await prisma.person.count({ where: { id: `again-${state}` } })).toBe(1);
  });
});

describe.each(databaseKinds)('a closed database (%s)', (kind) => {
  it('does not answer, and may be closed again', async () => {
    const { database, drop } = await freshDatabase(kind);
    await database.close();
    await inBoundedTime(database.ping());
    await database.close();
    await drop();
  });
});

describe.each(databaseKinds.filter((kind) => kind === 'server'))(
  'a database that lives in another time zone (%s)',
  (kind) => {
    it('keeps times as they were sent', async () => {
      const { database, options, drop } = await freshDatabase(kind);
      const [name] = await database.prisma.$queryRawUnsafe<{ name: string }[]>(
        'SELECT current_database()::text AS name',
      );
      await database.prisma.$executeRawUnsafe(`ALTER DATABASE ${String(name?.name)} SET TimeZone = 'Asia/Tokyo'`);
      const abroad = await openDatabase(options);
      const at = new Date('2026-11-22T10:11:12.345Z');
      const sql = 'SELECT $1::timestamptz AS at, extract(epoch FROM $1::timestamptz)::text AS seconds';
      expect(await abroad.prisma.$queryRawUnsafe(sql, at)).toEqual([{ at, seconds: '1795342272.345000' }]);
      await abroad.close();
      await drop();
    });
  },
);

describe.each(databaseKinds.filter((kind) => kind === 'server'))('an outage (%s)', (kind) => {
  it('is not what two make who wait for each other: the one that is rolled back is run again', async () => {
    const { database, drop } = await freshDatabase(kind);
    for (const id of ['left', 'right']) await database.prisma.$executeRawUnsafe(insertPerson, id);
    const rename = `UPDATE person SET subject = subject || '!' WHERE id = $1`;
    let arrived = 0;
    const both = async (first: string, second: string): Promise<void> => {
      await guarded(() =>
        database.prisma.$transaction(async (transaction) => {
          await transaction.$executeRawUnsafe(rename, first);
          arrived++;
          while (arrived < 2) await new Promise((resolve) => setTimeout(resolve, 5));
          await transaction.$executeRawUnsafe(rename, second);
        }),
      );
    };
    await Promise.all([both('left', 'right'), both('right', 'left')]);
    expect(arrived).toBeGreaterThanOrEqual(3);
    const subjects = await database.prisma.person.findMany({ orderBy: { id: 'asc' }, select: { subject: true } });
    expect(subjects.map(({ subject }) => subject)).toEqual(['left!!', 'right!!']);
    await drop();
  });

  it('of a server that is not there is a Fault at the start', async () => {
    await inBoundedTime(openDatabase({ url: 'postgresql://writ@127.0.0.1:1/writ', dataDir: '' }));
    await inBoundedTime(openDatabase({ url: 'postgresql://writ@nowhere.invalid/writ', dataDir: '' }));
  });

  it('of a server that takes connections and says nothing is a Fault in bounded time', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    await inBoundedTime(openDatabase({ url: `postgresql://writ@127.0.0.1:${portOf(silent)}/writ`, dataDir: '' }));
    silent.close();
  });

  it('of a database that does not exist, or lets nobody in, is a Fault that says which', async () => {
    const { options, remove } = await emptyAddress(kind);
    await remove();
    await expect(openDatabase(options)).rejects.toMatchObject({
      code: 'database_unavailable',
      message: 'The database does not answer (3D000).',
    });
  });

  it('of a statement that takes too long is a Fault in bounded time', async () => {
    const { database, drop } = await freshDatabase(kind);
    await inBoundedTime(guarded(() => database.prisma.$queryRawUnsafe('SELECT pg_sleep(30)::text')));
    await database.ping();
    await drop();
  });

  it('of a lost connection is a Fault, and the next call has a new one', async () => {
    const { database, drop } = await freshDatabase(kind);
    const suicide = 'SELECT pg_terminate_backend(pg_backend_pid())';
    await inBoundedTime(guarded(() => database.prisma.$queryRawUnsafe(suicide)));
    await inBoundedTime(
      guarded(() => database.prisma.$transaction((transaction) => transaction.$queryRawUnsafe(suicide))),
    );
    await database.ping();
    await drop();
  });

  it('of a server that stops is a Fault for every way to ask, until it is back', async () => {
    const directory = temporaryDirectory('own');
    const postgres = await startPostgres(directory);
    const database = await openDatabase({ url: postgres.urlOf('postgres'), dataDir: '' });
    await stopPostgres(directory);
    await everyWayFails(database);
    await startPostgres(directory);
    await expect(database.ping()).resolves.toBeUndefined();
    await database.close();
    await stopPostgres(directory);
  });

  it('of a network that swallows everything is a Fault in bounded time, until it is back', async () => {
    const { options, drop } = await freshDatabase(kind);
    const network = await startNetwork(String(options.url));
    const database = await openDatabase({ url: network.url, dataDir: '', poolSize: 2 });
    await database.ping();
    network.swallow(true);
    await inBoundedTime(database.ping());
    await inBoundedTime(database.ping());
    network.swallow(false);
    await database.ping();
    await database.close();
    network.stop();
    await drop();
  });
});

async function everyWayFails({ prisma, ping }: Database): Promise<void> {
  await inBoundedTime(ping());
  await inBoundedTime(guarded(() => prisma.$executeRawUnsafe('UPDATE registry_state SET version = 1')));
  await inBoundedTime(guarded(() => prisma.person.findMany()));
  await inBoundedTime(guarded(() => prisma.$transaction((transaction) => transaction.person.findMany())));
  await inBoundedTime(guarded(() => prisma.$transaction([prisma.person.findMany()])));
}

type Network = Readonly<{ url: string; swallow(on: boolean): void; stop(): void }>;

/** A wire to the server that can swallow what either side says. */
async function startNetwork(url: string): Promise<Network> {
  let swallowing = false;
  const sockets = new Set<Socket>();
  const target = new URL(url);
  const path = target.searchParams.get('host');
  const server = createServer((near) => {
    const far = path === null ? connect(Number(target.port), target.hostname) : connect(join(path, '.s.PGSQL.5432'));
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (data) => swallowing || to.write(data));
      from.on('close', () => to.destroy());
      from.on('error', () => to.destroy());
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  target.searchParams.delete('host');
  const through = `postgresql://${target.searchParams.get('user') ?? target.username}@127.0.0.1:${portOf(server)}${target.pathname}`;
  return {
    url: through,
    swallow: (on) => {
      swallowing = on;
    },
    stop: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function portOf(server: Server): number {
  const address: string | AddressInfo | null = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server listens on no port');
  return address.port;
}
