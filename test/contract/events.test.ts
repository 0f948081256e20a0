import { beforeAll, expect, it } from '@jest/globals';
import { searchKeys, txnKey, type EventFilter } from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import { sha256 } from '../../src/protocol/index.js';
import { leafOf, openEventFinder, openLogIndex, openTree } from '../../src/storage/index.js';
import { Tree } from '../../src/tlog/index.js';
import { describeDatabases } from '../support/databases.js';

const HOUR = 3_600;
const NOON = 1_795_305_600;
const all: EventFilter = { keys: [], since: undefined, until: undefined };

describeDatabases('the search index of the log', (database) => {
  const tree = new Tree();
  let written = 0;

  /** Records of the past, one a minute, every third of them about Alice and every fourth in a transaction of its own. */
  const write = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++, written++) {
      const person = written % 3 === 0 ? 'prs_alice' : 'prs_bob';
      const txn = written % 4 === 0 ? { txn: `txn-${String(written)}` } : {};
      const facts = {
        person,
        agents: ['agt_a'],
        server: 'https://mcp1.example',
        tool: `tool${String(written % 5)}`,
        ...txn,
      };
      const made = leafOf({ kind: 'decision', at: NOON + written * 60, facts, decision: 'done', reason: 'test' });
      await database().prisma.$executeRawUnsafe(
        `INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage) VALUES ($1::bytea, $2::bytea, 'decision', ARRAY[]::text[])`,
        made.leaf,
        made.leafHash,
      );
    }
  };
  const sequence = async (): Promise<void> => {
    const writer = openTree(database(), systemClock);
    await writer.look('test', 60_000);
    const waiting = await writer.waiting(1_000);
    const from = tree.size;
    waiting.ids.forEach((_id, i) => {
      tree.append(waiting.hashes.subarray(i * 32, (i + 1) * 32));
    });
    const step = { holder: 'test', from, waiting, tiles: tree.takeGrown(), note: `note ${String(tree.size)}\n` };
    expect(await writer.append(step)).toBe('appended');
  };
  const index = async (): Promise<void> => {
    while ((await openLogIndex(database()).step()) === 'more');
  };
  const find = (filter: Partial<EventFilter>, after = -1, limit = 1_000) =>
    openEventFinder(database()).find({ ...all, ...filter }, { after, limit });
  const indexesOf = async (filter: Partial<EventFilter>) => (await find(filter)).entries.map((entry) => entry.index);
  const multiples = (of: number, until = written): number[] =>
    Array.from({ length: until }, (_, n) => n).filter((n) => n % of === 0);

  it('finds nothing that is not sequenced, and says how far it is', async () => {
    await write(300);
    await index();
    expect(await find({})).toEqual({ entries: [], next: undefined, indexedTo: 0 });
    await sequence();
    expect(await find({})).toEqual({ entries: [], next: undefined, indexedTo: 0 });
    await index();
    const found = await find({});
    expect([found.entries.length, found.next, found.indexedTo]).toEqual([300, undefined, 300]);
  });

  it('finds by each key, and by all of several', async () => {
    expect(await indexesOf({ keys: ['person:prs_alice'] })).toEqual(multiples(3));
    expect(await indexesOf({ keys: ['tool:tool0', 'person:prs_alice'] })).toEqual(multiples(15));
    expect(await indexesOf({ keys: ['tool:https://mcp1.example#tool0'] })).toEqual(multiples(5));
    expect(await indexesOf({ keys: ['agent:agt_a', 'server:https://mcp1.example', 'kind:decision'] })).toHaveLength(
      300,
    );
    expect(await indexesOf({ keys: [txnKey('txn-8')] })).toEqual([8]);
    expect(await indexesOf({ keys: [txnKey(sha256('txn-8'))] })).toEqual([8]);
    expect(await indexesOf({ keys: ['person:prs_carol'] })).toEqual([]);
  });

  it('looks only where the times can be', async () => {
    const [first, last] = [NOON + 4 * HOUR, NOON + 4 * HOUR + 60];
    const found = await indexesOf({ keys: ['person:prs_alice'], since: first, until: last });
    expect(found).toEqual(expect.arrayContaining([240]));
    expect(await indexesOf({ keys: ['person:prs_alice'], since: NOON + 10 * HOUR })).toEqual([]);
    expect(await indexesOf({ keys: ['person:prs_alice'], until: NOON - 2 * HOUR })).toEqual([]);
  });

  it('AU-14: pages without skipping or repeating while the log grows', async () => {
    const read: number[] = [];
    let after: number | undefined = -1;
    for (let page = 0; after !== undefined; page++) {
      const found: Awaited<ReturnType<typeof find>> = await find({ keys: ['person:prs_alice'] }, after, 7);
      expect(found.entries.length).toBeLessThanOrEqual(7);
      read.push(...found.entries.map((entry) => entry.index));
      after = found.next;
      if (page < 4) {
        await write(30);
        await sequence();
        await index();
      }
    }
    expect(read).toEqual(multiples(3));
  });

  it('is the same when several processes index at once', async () => {
    await write(600);
    await sequence();
    await Promise.all([index(), index(), index()]);
    await index();
    expect(await indexesOf({ keys: ['person:prs_alice'] })).toEqual(multiples(3));
  });
});

describeDatabases('a page of what was found', (database) => {
  const LAST = 2_300_000;
  const KEY = 'person:prs_sparse';
  /** Alone in its tile, two in one tile, at both ends of one, and far behind everything that one statement looks at. */
  const placed = [5, 300, 600, 700, 767, 768, 1_023, 90_000, 1_100_000, 1_100_001, 1_100_255, 2_299_999];

  beforeAll(async () => {
    const tiles = new Map<number, string[]>();
    for (const index of placed) {
      const bits = tiles.get(Math.floor(index / 256)) ?? Array.from({ length: 256 }, () => '0');
      bits[index % 256] = '1';
      tiles.set(Math.floor(index / 256), bits);
    }
    const run = (sql: string, ...values: readonly unknown[]) => database().prisma.$executeRawUnsafe(sql, ...values);
    await run(`INSERT INTO log_consumer (name, index) VALUES ('search', $1::bigint)`, LAST);
    await run(
      `INSERT INTO log_entry (index, leaf_hash) SELECT index, sha256(index::text::bytea) FROM unnest($1::bigint[]) AS u(index)`,
      placed,
    );
    await run(
      `INSERT INTO log_posting (key, tile, bits) SELECT $1, tile, bits::bit(256) FROM unnest($2::bigint[], $3::text[]) AS u(tile, bits)`,
      KEY,
      [...tiles.keys()],
      [...tiles.values()].map((bits) => bits.join('')),
    );
  });

  it.each([1, 2, 3, 5, 11, 12, 13])('of at most %s goes on where it stopped, and every page further', async (limit) => {
    const read: number[] = [];
    let after: number | undefined = -1;
    while (after !== undefined) {
      const page = await openEventFinder(database()).find({ ...all, keys: [KEY] }, { after, limit });
      expect(page.entries.length).toBeLessThanOrEqual(limit);
      read.push(...page.entries.map((entry) => entry.index));
      expect(page.next ?? Infinity).toBeGreaterThan(after);
      after = page.next;
    }
    expect(read).toEqual(placed);
  });

  it('is found by the bytes of its key in a database of any language', async () => {
    const [column] = await database().rows(
      `SELECT collation_name FROM information_schema.columns WHERE table_name = 'log_posting' AND column_name = 'key'`,
      [],
    );
    expect(column).toEqual({ collation_name: 'C' });
  });
});

it('a record is found by everybody and everything that it names', () => {
  const facts = {
    client: { id: 'agt_b', kind: 'agent' },
    person: 'prs_1',
    actors: [
      { sub: 'agt_b', iss: 'i' },
      { sub: 'agt_a', iss: 'i' },
    ],
    target: { kind: 'server', resource: 'https://mcp1.example' },
    tools: [{ name: 'read' }, { name: 'write' }],
    txn: 'T',
  };
  const keys = searchKeys({ kind: 'exchange', at: NOON, facts, decision: 'permit', session: 'ses_1', txn: 'T' });
  expect([...keys].sort()).toEqual(
    [
      'agent:agt_a',
      'agent:agt_b',
      'decision:permit',
      'hour:000498696',
      'kind:exchange',
      'person:prs_1',
      'server:https://mcp1.example',
      'session:ses_1',
      'tool:https://mcp1.example#read',
      'tool:https://mcp1.example#write',
      'tool:read',
      'tool:write',
      `txn:${sha256('T')}`,
    ].sort(),
  );
});
