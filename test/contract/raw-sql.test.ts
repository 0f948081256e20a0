import { expect, it } from '@jest/globals';
import { sqlState } from '../../src/storage/outage.js';
import { describeDatabases } from '../support/databases.js';

const TEXTS = [
  'plain',
  '',
  null,
  'a"b',
  "it's",
  'back\\slash',
  '{curly,comma}',
  'NULL',
  'new\nline',
  'é € 😀',
  ' spaces ',
  '\\x00',
  '$1',
];
const BYTES = [Buffer.from('00ff10', 'hex'), Buffer.alloc(0), Buffer.from('\\x5c"{},'), Buffer.alloc(3_000, 7)];
const BIG = [0n, -1n, 9_007_199_254_740_993n, 9_223_372_036_854_775_807n];
const TIMES = [
  new Date('2026-11-22T10:11:12.345Z'),
  new Date('1969-12-31T23:59:59.001Z'),
  new Date('2100-07-01T00:00:00Z'),
];

describeDatabases('raw SQL', (database) => {
  const query = (sql: string, ...parameters: unknown[]): Promise<unknown> =>
    database().prisma.$queryRawUnsafe(sql, ...parameters);

  it('returns an array of text as it was sent, nulls and all', async () => {
    expect(await query('SELECT $1::text[] AS texts', TEXTS)).toEqual([{ texts: TEXTS }]);
  });

  it('returns bytes and arrays of bytes as they were sent', async () => {
    const [row] = await database().prisma.$queryRawUnsafe<{ one: Uint8Array; many: Uint8Array[] }[]>(
      'SELECT $1::bytea AS one, $2::bytea[] AS many',
      BYTES[0],
      BYTES,
    );
    expect(row?.one).toBeInstanceOf(Uint8Array);
    expect([row?.one, ...(row?.many ?? [])].map((bytes) => Buffer.from(bytes ?? []).toString('hex'))).toEqual(
      [BYTES[0], ...BYTES].map((bytes) => bytes?.toString('hex')),
    );
  });

  it('returns bigint, int, boolean and their arrays as they were sent', async () => {
    const [big] = BIG.slice(2);
    expect(
      await query(
        'SELECT $1::bigint AS a, $2::bigint[] AS b, $3::int AS c, $4::int[] AS d, $5::boolean[] AS e',
        big,
        BIG,
        7,
        [1, null, -3],
        [true, null, false],
      ),
    ).toEqual([{ a: big, b: BIG, c: 7, d: [1, null, -3], e: [true, null, false] }]);
  });

  it('returns times to the millisecond', async () => {
    const sql = `SELECT $1::timestamptz AS one, $2::timestamptz[] AS many, extract(epoch FROM $1::timestamptz)::text AS seconds`;
    expect(await query(sql, TIMES[0], TIMES)).toEqual([{ one: TIMES[0], many: TIMES, seconds: '1795342272.345000' }]);
  });

  it('takes a time from whole seconds by to_timestamp', async () => {
    expect(await query('SELECT to_timestamp($1::bigint) AS at', 1_795_342_272n)).toEqual([
      { at: new Date('2026-11-22T10:11:12Z') },
    ]);
    expect(await query('SELECT to_timestamp($1::float8) AS at', 1_795_342_272)).toEqual([
      { at: new Date('2026-11-22T10:11:12Z') },
    ]);
  });

  it('takes JSON as text and returns it parsed', async () => {
    const value = { a: [1, 'é"\\', null], b: { c: true } };
    expect(await query('SELECT $1::jsonb AS one', JSON.stringify(value))).toEqual([{ one: value }]);
    const [row] = await database().prisma.$queryRawUnsafe<{ many: unknown[] }[]>('SELECT $1::text[]::jsonb[] AS many', [
      JSON.stringify(value),
      'null',
      '"x"',
    ]);
    expect(row?.many).toEqual([value, null, 'x']);
  });

  it('unnests several arrays side by side, in order', async () => {
    const sql = `SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::timestamptz[], $5::int[]) WITH ORDINALITY AS t(a, b, c, d, e, n) ORDER BY n`;
    const rows = await database().prisma.$queryRawUnsafe<{ b: Uint8Array }[]>(
      sql,
      ['x', null, '{"'],
      BYTES.slice(0, 3),
      BIG.slice(0, 3),
      TIMES,
      [1, 2, null],
    );
    expect(rows.map((row) => ({ ...row, b: Buffer.from(row.b).toString('hex') }))).toEqual([
      { a: 'x', b: '00ff10', c: 0n, d: TIMES[0], e: 1, n: 1n },
      { a: null, b: '', c: -1n, d: TIMES[1], e: 2, n: 2n },
      { a: '{"', b: BYTES[2]?.toString('hex'), c: BIG[2], d: TIMES[2], e: null, n: 3n },
    ]);
  });

  it('carries an array in each row of an array as JSON text', async () => {
    const lists = [['a', 'b"'], [], ['é']];
    const sql = `SELECT n, ARRAY(SELECT jsonb_array_elements_text(list::jsonb)) AS list FROM unnest($1::text[]) WITH ORDINALITY AS t(list, n) ORDER BY n`;
    expect(
      await query(
        sql,
        lists.map((list) => JSON.stringify(list)),
      ),
    ).toEqual(lists.map((list, index) => ({ n: BigInt(index + 1), list })));
  });

  it('takes empty arrays of every kind', async () => {
    const sql =
      'SELECT count(*) AS rows FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::timestamptz[], $5::int[])';
    expect(await query(sql, [], [], [], [], [])).toEqual([{ rows: 0n }]);
  });

  it('inserts a batch of records and reads them back through the client', async () => {
    const sql = `
      INSERT INTO log_leaf (leaf, leaf_hash, kind, session_id, sequence, lineage, at)
      SELECT leaf, hash, 'exchange', session, sequence, ARRAY(SELECT jsonb_array_elements_text(lineage::jsonb)), to_timestamp(at)
      FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::int[], $5::text[], $6::bigint[]) AS t(leaf, hash, session, sequence, lineage, at)
      RETURNING id, lineage, at`;
    const rows = await query(
      sql,
      BYTES.slice(0, 2),
      BYTES.slice(2, 4),
      ['ses_1', 'ses_1'],
      [1, 2],
      ['["agent:a","session:ses_1"]', '[]'],
      [1_795_342_272n, 0n],
    );
    expect(rows).toEqual([
      { id: 1n, lineage: ['agent:a', 'session:ses_1'], at: new Date('2026-11-22T10:11:12Z') },
      { id: 2n, lineage: [], at: new Date(0) },
    ]);
    const stored = await database().prisma.logLeaf.findMany({ orderBy: { id: 'asc' } });
    expect(stored.map(({ leaf, lineage }) => [Buffer.from(leaf).toString('hex'), lineage])).toEqual([
      ['00ff10', ['agent:a', 'session:ses_1']],
      ['', []],
    ]);
  });

  it('takes arrays of text, numbers and booleans, nulls and all, without Prisma too', async () => {
    const sql =
      'SELECT $1::text[] AS a, $2::int[] AS b, $3::boolean[] AS c, $4::bigint[]::text[] AS d, $5::int AS e, $6::bool[] AS f';
    expect(
      await database().rows(sql, [
        TEXTS,
        [1, null, -3],
        [true, null, false],
        [1_795_305_600, null, -1, Number.MIN_SAFE_INTEGER],
        30,
        [false, null],
      ]),
    ).toEqual([
      {
        a: TEXTS,
        b: [1, null, -3],
        c: [true, null, false],
        d: ['1795305600', null, '-1', '-9007199254740991'],
        e: 30,
        f: [false, null],
      },
    ]);
  });

  it('refuses without Prisma too an array that is not of its type', async () => {
    const refused = async (sql: string, values: readonly unknown[]): Promise<boolean> =>
      database()
        .rows(sql, [values])
        .then(
          () => false,
          () => true,
        );
    expect(
      await Promise.all([
        refused('SELECT $1::int[] AS a', [1, 1.5]),
        refused('SELECT $1::int[] AS a', [1, 2 ** 31]),
        refused('SELECT $1::bigint[] AS a', [1, 2 ** 63]),
        refused('SELECT $1::text[] AS a', ['fine', 'a\u0000b']),
      ]),
    ).toEqual([true, true, true, true]);
  });

  it('takes an empty array without Prisma too', async () => {
    expect(await database().rows('SELECT $1::text[] AS a, cardinality($2::int[]) AS b', [[], []])).toEqual([
      { a: [], b: 0 },
    ]);
  });

  it('tells what the database says of a statement without Prisma as it tells it of one with Prisma', async () => {
    const [bare, dressed] = await Promise.all(
      [database().rows('SELECT 1 / 0', []), query('SELECT 1 / 0')].map((work) => work.catch(sqlState)),
    );
    expect([bare, dressed]).toEqual(['22012', '22012']);
  });
});
