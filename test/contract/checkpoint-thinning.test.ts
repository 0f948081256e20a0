import { beforeEach, expect, it } from '@jest/globals';
import { thinCheckpoints } from '../../src/storage/index.js';
import { describeDatabases } from '../support/databases.js';

const HOUR = 3_600;
const DAY = 24 * HOUR;

describeDatabases('checkpoints as time goes by', (database) => {
  const sql = (text: string, ...values: unknown[]): Promise<unknown> =>
    database().prisma.$executeRawUnsafe(text, ...values);
  /** One a minute, the newest of them this many seconds old at the start of an hour, the sizes ascending. */
  const write = (from: number, count: number, ago: number): Promise<unknown> =>
    sql(
      `INSERT INTO log_checkpoint (size, note, at) SELECT $1::int + n, 'note', date_trunc('day', now()) - make_interval(secs => $3::int) + n * interval '1 minute'
        FROM generate_series(1, $2::int) AS n`,
      ...[from, count, ago],
    );
  const sizes = async (): Promise<number[]> =>
    (await database().prisma.logCheckpoint.findMany({ orderBy: { size: 'asc' } })).map(({ size }) => Number(size));
  const thin = async (): Promise<void> => {
    const step = thinCheckpoints(database());
    while ((await step()) === 'more');
  };
  beforeEach(async () => {
    await sql('TRUNCATE log_checkpoint, log_cosignature, log_consumer, log_verifier_key, log_entry');
    await sql('UPDATE log_tree SET size = 100000');
  });

  it('are one of each hour after a day, and one of each day after a month, whatever is read at once', async () => {
    await write(0, 2_880, 40 * DAY);
    await write(10_000, 2_880, 10 * DAY);
    await write(20_000, 60, 0);
    await thin();
    const left = await sizes();
    expect(left.filter((size) => size <= 2_880)).toHaveLength(3);
    const hourly = left.filter((size) => size > 10_000 && size <= 12_880);
    expect(hourly).toEqual([...Array.from({ length: 48 }, (_, n) => 10_059 + n * 60), 12_880]);
    expect(left.filter((size) => size > 20_000)).toHaveLength(60);
    await thin();
    expect(await sizes()).toEqual(left);
  });

  it('are the same when several processes thin them at once', async () => {
    await write(0, 2_400, 10 * DAY);
    await Promise.all([thin(), thin(), thin()]);
    await thin();
    expect(await sizes()).toEqual([...Array.from({ length: 40 }, (_, n) => 59 + n * 60), 2_400]);
  });

  it('are those that witnesses cosigned, those that keys need, and the newest', async () => {
    await write(0, 59, 10 * DAY);
    await sql(
      `INSERT INTO log_cosignature (size, name, line) VALUES (20, 'w1', 'a'), (30, 'w1', 'a'), (30, 'w2', 'b')`,
    );
    await sql(`INSERT INTO log_entry (index, leaf_hash) VALUES (11, 'key')`);
    await sql(`INSERT INTO log_verifier_key (vkey, from_size, leaf_hash) VALUES ('v1', 0, NULL), ('v2', 11, 'key')`);
    await sql('UPDATE log_tree SET size = 59');
    await thin();
    expect(await sizes()).toEqual([12, 30, 59]);
    const lines = await database().prisma.logCosignature.findMany();
    expect(lines.map(({ size, name }) => [Number(size), name]).sort()).toEqual([
      [30, 'w1'],
      [30, 'w2'],
    ]);
  });
});
