import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import pg from 'pg';
import { logSigner } from '../../src/audit/index.js';
import { run } from '../../src/cli/index.js';
import { parseVerifierKey, verifyBundle, verifyLog, type VerifierKey } from '../../src/sdk/auditor/index.js';
import { type Database, openDatabase } from '../../src/storage/index.js';
import { leafHash, Tree } from '../../src/tlog/index.js';
import { sha256 } from '../../src/protocol/index.js';
import { examine } from '../../scripts/drill/invariants.js';
import { compileSource } from '../support/compiled.js';
import { spawnWrit } from '../support/process.js';
import { databaseKinds } from '../support/databases.js';
import { recordsAfter } from '../support/invariants.js';
import { COMPANY, ownWorld, startWorld, tool, tools, type World } from '../support/world.js';
import { ADMIN_TOKEN, type Reply, request, startReplica, tokenOf } from '../support/writ.js';

/** Where a log is asked. */
type Log = Readonly<{ url: string }>;
const auditor = { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } };
const at = ({ issuer }: World): Log => ({ url: `${issuer}/audit/v1` });
const read = async ({ url }: Log, path: string): Promise<Buffer | undefined> => {
  const response = await fetch(`${url}/${path}`, auditor);
  return response.ok ? Buffer.from(await response.arrayBuffer()) : undefined;
};
const checkpointOf = async (log: Log): Promise<string> => (await read(log, 'checkpoint'))?.toString('utf8') ?? '';
const sizeIn = (note: string): number => Number(note.split('\n')[1]);
const bundleOf = async (log: Log, query: string): Promise<string> =>
  (await request(`${log.url}/bundle?${query}`, auditor)).text;

async function keyOf(log: Log): Promise<VerifierKey> {
  const { keys } = (await request(`${log.url}/keys`, {})).body as { keys: { vkey: string }[] };
  const key = parseVerifierKey(keys[0]?.vkey ?? '');
  if (!key.ok) throw new Error(key.error);
  return key.value;
}

/** Until everything that was written is in the tree. */
async function sequenced({ writ }: World): Promise<void> {
  await writ.flush();
  while ((await writ.database.prisma.logPending.count()) > 0) await pause(50);
}

/** What an auditor says of the whole log, by its address. */
const judged = (log: Log, key: VerifierKey, copies: readonly string[] = []) =>
  verifyLog({ hasEntries: true, read: (path) => read(log, path) }, { keys: [key], copies });
const judgedBundle = (text: string, key: VerifierKey) => verifyBundle([Buffer.from(text)], { keys: [key] });
const codes = (problems: readonly { code: string }[]): readonly string[] => problems.map(({ code }) => code);

async function cli(...args: string[]): Promise<string> {
  const out: string[] = [];
  await run(args, {
    env: { WRIT_ISSUER: world.issuer, WRIT_ADMIN_TOKEN: ADMIN_TOKEN },
    readFile: () => undefined,
    makePrivateFile: () => false,
    readStdin: () => Promise.resolve(''),
    out: (text) => out.push(text),
    err: (text) => out.push(text),
  });
  return out.join('\n');
}

const world = await ownWorld();
const other = await ownWorld();

describe('AU-01 a text that is made to break out of its record', () => {
  const MARKS = ['\r\n', '\u2028', '\u2029', '\v', '\f', '\u0000', '\u001b[2J', '\u009b31m', '"}\n{"index":8}\n'];
  const STEERING = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/;

  it.each(MARKS)('is in one record, escaped, or refused: %j', async (mark) => {
    const text = `a${mark}b`;
    const agent = (await world.admin('GET', '/agents/agt_a2')).body as object;
    const details = { purpose: text, task: text };
    const before = (await recordsAfter(world, '0')).length;
    const answers: Reply[] = [
      await world.exchange({ request_details: JSON.stringify(details) }),
      await world.exchange({ scope: text }),
      await world.exchange({ resource: text }),
      await world.exchange({ authorization_details: tools(tool(text)) }),
      await world.exchange({}, world.a1, { traceparent: encodeURIComponent(text) }),
      await world.exchange({ subject_token: await world.personToken('alice', { client_id: text }) }),
      await world.admin('PUT', '/agents/agt_a2', { ...agent, name: text, purpose: text }),
      await world.admin('POST', '/sessions/ses_x/end', { reason: text }),
    ];
    for (const { status } of answers) expect([200, 400, 401, 404, 422]).toContain(status);
    const told = (await recordsAfter(world, '0')).length - before;
    expect(told).toBeGreaterThanOrEqual(5);
    expect(told).toBeLessThanOrEqual(answers.length);
  });

  it('is a line of its own in every export, and steers no terminal', async () => {
    await sequenced(world);
    const size = sizeIn(await checkpointOf(at(world)));
    const exported = (format: string) => request(`${at(world).url}/export?format=${format}`, auditor);
    await eventually(async () => (await exported('jsonl')).text.split('\n').length > size);
    for (const format of ['jsonl', 'ocsf']) {
      const lines = (await exported(format)).text.trimEnd().split('\n');
      for (const line of lines)
        expect([line, STEERING.test(line), typeof JSON.parse(line)]).toEqual([line, false, 'object']);
    }
    for (const args of [
      ['audit', 'events', '--limit', '200'],
      ['log', '--limit', '200'],
    ])
      expect(STEERING.exec(await cli(...args))).toBeNull();
  });
});

describe('AU-02 framing', () => {
  it('knows one separator: the writer and the verifier part a bundle at the same bytes', async () => {
    await world.exchange({ request_details: JSON.stringify({ purpose: 'a\u2028b' }) });
    await sequenced(world);
    const key = await keyOf(at(world));
    const size = sizeIn(await checkpointOf(at(world)));
    const bundle = await bundleOf(at(world), `from=${size - 3}&to=${size}`);
    expect(await judgedBundle(bundle, key)).toMatchObject({ isProved: true, entries: { included: 3 } });
    for (const separator of ['\v', '\f', '\u0085', '\u2028', '\r', '\n\n', '\u0000']) {
      const framed = bundle.replaceAll('\n', separator);
      expect([separator, (await judgedBundle(framed, key)).isProved]).toEqual([separator, false]);
      const [head = '', ...rest] = bundle.split('\n');
      const half = [head, rest.join(separator)].join('\n');
      expect([separator, (await judgedBundle(half, key)).isProved]).toEqual([separator, false]);
    }
  });
});

/** A log of some exchanges whose process has ended; `work` changes what it left, and it starts again. */
async function tampered<T>(
  work: (kept: Readonly<{ world: World; database: Database; early: string; late: string }>) => Promise<T>,
  then: (
    log: Log,
    kept: Readonly<{
      world: World;
      replica: Awaited<ReturnType<typeof startReplica>>;
      early: string;
      late: string;
      done: T;
      key: VerifierKey;
    }>,
  ) => Promise<void>,
): Promise<void> {
  const own = await startWorld();
  try {
    for (let n = 0; n < 3; n++) expect((await own.exchange()).status).toBe(200);
    await sequenced(own);
    const early = await checkpointOf(at(own));
    for (let n = 0; n < 3; n++) expect((await own.exchange()).status).toBe(200);
    await sequenced(own);
    const late = await checkpointOf(at(own));
    const key = await keyOf(at(own));
    await own.writ.close();
    const { databaseUrl: url, dataDir } = own.config;
    const database = await openDatabase({ url, dataDir });
    const done = await work({ world: own, database, early, late }).finally(() => database.close());
    const replica = await startReplica(own);
    try {
      await then({ url: `${replica.base}/audit/v1` }, { world: own, replica, early, late, done, key });
    } finally {
      await replica.close();
    }
  } finally {
    await own.close().catch(() => undefined);
  }
}

const fileOf = (own: World): string => join(own.config.dataDir, 'checkpoint');

/** Refuses everything, and says why. */
async function expectHalted(own: World, replica: Awaited<ReturnType<typeof startReplica>>): Promise<void> {
  const { status, headers, body } = await replica.post('/token', await own.form());
  expect([status, headers.get('retry-after'), body]).toEqual([
    503,
    expect.any(String),
    { error: 'temporarily_unavailable', error_description: expect.any(String) },
  ]);
  const ready = await request(`${replica.base}/readyz`, {});
  expect([ready.status, ready.body]).toEqual([503, { status: 'not_ready', reasons: ['log_inconsistent'] }]);
}

/** Cuts the tree back to how it was under an earlier checkpoint of its own: a backup, or a hand at the database. */
async function cutBack(database: Database, note: string): Promise<void> {
  const size = sizeIn(note);
  const statements = [
    `DELETE FROM log_leaf WHERE id IN (SELECT leaf_id FROM log_entry WHERE index >= ${size})`,
    `DELETE FROM log_entry WHERE index >= ${size}`,
    'DELETE FROM log_checkpoint',
    `UPDATE log_tile SET hashes = substring(hashes FROM 1 FOR ${size * 32}) WHERE level = 0 AND index = 0`,
    `UPDATE log_tree SET size = ${size}`,
  ];
  for (const sql of statements) await database.rows(sql, []);
  await database.rows('INSERT INTO log_checkpoint (size, note) VALUES ($1::bigint, $2)', [size, note]);
}

/** Changes a record in the middle, and then all hashes, tiles and the checkpoint, so that they fit together again. */
async function chainAgain(database: Database, issuer: string, key: KeyObject): Promise<void> {
  const rows = (await database.rows(
    'SELECT e.index::text AS index, l.id::text AS id, l.leaf FROM log_entry e JOIN log_leaf l ON l.id = e.leaf_id ORDER BY e.index',
    [],
  )) as readonly { index: string; id: string; leaf: Uint8Array }[];
  const tree = new Tree();
  for (const { index, id, leaf } of rows) {
    const changed = Buffer.from(
      Buffer.from(leaf).toString('utf8').replace('"decision":"permit"', '"decision":"refuse"'),
    );
    tree.append(leafHash(changed));
    await database.rows('UPDATE log_leaf SET leaf = $2::bytea, leaf_hash = $3::bytea WHERE id = $1::bigint', [
      id,
      changed,
      leafHash(changed),
    ]);
    await database.rows('UPDATE log_entry SET leaf_hash = $2::bytea WHERE index = $1::bigint', [
      index,
      leafHash(changed),
    ]);
  }
  const note = logSigner(issuer, [key]).signCheckpoint({ size: tree.size, root: tree.root() });
  for (const { level, index, hashes } of tree.takeGrown())
    await database.rows('UPDATE log_tile SET hashes = $3::bytea WHERE level = $1::smallint AND index = $2::bigint', [
      level,
      index,
      hashes,
    ]);
  await database.rows('UPDATE log_checkpoint SET note = $2 WHERE size = $1::bigint', [tree.size, note]);
}

describe('AU-03 a log whose newest part is gone', () => {
  it.each([
    [
      'a checkpoint file of no bytes',
      (file: string) => {
        writeFileSync(file, '');
      },
    ],
    [
      'a checkpoint file of one byte',
      (file: string) => {
        writeFileSync(file, 'w');
      },
    ],
  ])(
    'is not started anew: with %s nothing is appended until an operator says so, on record',
    async (_what, spoil) => {
      await tampered(
        ({ world: own }) => {
          spoil(fileOf(own));
          return Promise.resolve();
        },
        async (log, { world: own, replica, late }) => {
          await expectHalted(own, replica);
          expect(await checkpointOf(log)).toBe(late);
          expect((await replica.admin('POST', '/log/recovery', { reason: 'INC-1' })).status).toBe(200);
          await goesOn(own, replica);
          const { text } = await replica.admin('GET', '/log?kind=key&limit=200');
          expect(text).toContain('"what":"log_recovered"');
        },
      );
    },
    60_000,
  );

  it('is not started anew from an emptied database, whose entries are all gone', async () => {
    await tampered(
      async ({ database }) => {
        for (const sql of [
          'DELETE FROM log_entry',
          'DELETE FROM log_tile',
          'DELETE FROM log_checkpoint',
          'UPDATE log_tree SET size = 0',
        ])
          await database.rows(sql, []);
      },
      (_log, { world: own, replica }) => expectHalted(own, replica),
    );
  }, 60_000);
});

async function goesOn(own: World, replica: Awaited<ReturnType<typeof startReplica>>): Promise<void> {
  for (let waited = 0; (await replica.post('/token', await own.form())).status !== 200; waited += 100) {
    if (waited > 10_000) throw new Error('the log does not go on');
    await pause(100);
  }
}

describe('AU-04 a log whose tail was cut off', () => {
  it('is not continued by the process that had signed more', async () => {
    await tampered(
      ({ database, early }) => cutBack(database, early),
      (_log, { world: own, replica }) => expectHalted(own, replica),
    );
  }, 60_000);

  it('is told by a checkpoint that was kept elsewhere, when its own memory was cut off too', async () => {
    await tampered(
      async ({ world: own, database, early }) => {
        await cutBack(database, early);
        rmSync(fileOf(own));
      },
      async (log, { world: own, replica, early, late, key }) => {
        await goesOn(own, replica);
        expect(codes((await judged(log, key, [late])).problems)).toContain('rolled_back');
        expect((await judged(log, key, [early])).isProved).toBe(true);
      },
    );
  }, 60_000);
});

describe('AU-05 a log that was written anew from its beginning', () => {
  it('by who has the database and another key is not continued', async () => {
    await tampered(
      ({ world: own, database }) =>
        chainAgain(database, own.issuer, generateKeyPairSync('ed25519').privateKey).then(() => {
          rmSync(fileOf(own));
        }),
      async (log, { world: own, replica, key }) => {
        await expectHalted(own, replica);
        expect(codes((await judged(log, key)).problems)).toContain('checkpoint_untrusted');
      },
    );
  }, 60_000);

  it('by who has its own key as well is of another history than the copy of a witness', async () => {
    await tampered(
      ({ world: own, database }) =>
        chainAgain(database, own.issuer, createPrivateKey(readFileSync(join(own.config.dataDir, 'log-key')))).then(
          () => {
            rmSync(fileOf(own));
          },
        ),
      async (log, { world: own, replica, early, late, key }) => {
        await goesOn(own, replica);
        for (const copy of [early, late])
          expect(codes((await judged(log, key, [copy])).problems)).toContain('inconsistent');
      },
    );
  }, 60_000);
});

describe('AU-07 the last entries alone', () => {
  it('prove nothing: without a proof to a checkpoint that the key of the log signed they are not believed', async () => {
    for (let n = 0; n < 4; n++) await world.exchange();
    await sequenced(world);
    const key = await keyOf(at(world));
    const size = sizeIn(await checkpointOf(at(world)));
    const bundle = await bundleOf(at(world), `from=${size - 3}&to=${size}`);
    const lines = bundle.trimEnd().split('\n');
    const changed = (change: (lines: string[]) => string[]): string => `${change([...lines]).join('\n')}\n`;
    const edited = (at: number, change: (value: Record<string, unknown>) => object): string =>
      changed((all) =>
        all.map((line, i) => (i === at ? JSON.stringify(change(JSON.parse(line) as Record<string, unknown>)) : line)),
      );
    const runAt = lines.findIndex((line) => line.startsWith('{"run"'));
    expect(
      (
        await judgedBundle(
          changed((all) => all),
          key,
        )
      ).isProved,
    ).toBe(true);

    // A history of their own: the last three entries are real, and everything before them is not.
    const forger = generateKeyPairSync('ed25519').privateKey;
    const tree = new Tree();
    for (let n = 0; n < size - 3; n++) tree.append(leafHash(Buffer.from(`forged ${n}`)));
    for (const line of lines.slice(1, 4))
      tree.append(Buffer.from((JSON.parse(line) as { hash: string }).hash, 'base64url'));
    const forged = logSigner(world.issuer, [forger]).signCheckpoint({ size, root: tree.root() });

    const wrong = [
      edited(0, (head) => ({ ...head, checkpoint: forged })),
      edited(0, (head) => ({
        ...head,
        checkpoint: forged,
        keys: logSigner(world.issuer, [forger]).keys.map(({ text }) => text),
      })),
      edited(0, (head) => ({ ...head, checkpoint: undefined })),
      edited(runAt, (run) => ({ ...run, proof: [] })),
      changed((all) => all.filter((_, i) => i !== runAt)),
    ];
    for (const [n, text] of wrong.entries()) expect([n, (await judgedBundle(text, key)).isProved]).toEqual([n, false]);
  });
});

describe('AU-08 an entry that belongs to something else', () => {
  it('is not that of the token: its record has the token’s digest, decision, arguments and place', async () => {
    const token = tokenOf(
      await world.exchange({ authorization_details: tools(tool('write_file', { arguments: { path: 'a' } })) }),
    );
    const claims = decodeJwt<{
      txn: string;
      authorization_details: object[];
      writ: { leaf: string; decision: string; session: string };
    }>(token);
    await sequenced(world);
    const key = await keyOf(at(world));
    const bundle = await bundleOf(at(world), `txn=${claims.txn}`);
    expect((await judgedBundle(bundle, key)).isProved).toBe(true);
    const entry = JSON.parse(bundle.split('\n')[1] ?? '') as { hash: string; leaf: string };
    const record = JSON.parse(Buffer.from(entry.leaf, 'base64url').toString('utf8')) as {
      facts: Record<string, unknown>;
      outcome: object;
    };
    expect(entry.hash).toBe(claims.writ.leaf);
    const digest = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(claims.jti ?? ''))).toString(
      'base64url',
    );
    expect(record).toMatchObject({
      facts: {
        txn: claims.txn,
        decision: claims.writ.decision,
        token: { hash: digest },
        tools: [
          {
            name: 'write_file',
            arguments_sha256: (claims.authorization_details[0] as { arguments_sha256: string }).arguments_sha256,
          },
        ],
      },
      outcome: { decision: 'permit', session: claims.writ.session },
    });
  });

  it('cannot take the place of another: entries that are swapped are both named', async () => {
    for (let n = 0; n < 3; n++) await world.exchange();
    await sequenced(world);
    const key = await keyOf(at(world));
    const size = sizeIn(await checkpointOf(at(world)));
    const [head, first = '', second = '', ...rest] = (await bundleOf(at(world), `from=${size - 2}&to=${size}`)).split(
      '\n',
    );
    const [one, two] = [JSON.parse(first), JSON.parse(second)] as [
      { index: number; leaf: string; hash: string },
      { index: number; leaf: string; hash: string },
    ];
    const put = (a: object, b: object): string => [head, JSON.stringify(a), JSON.stringify(b), ...rest].join('\n');
    const leaves = await judgedBundle(put({ ...one, leaf: two.leaf }, { ...two, leaf: one.leaf }), key);
    expect(leaves.problems.map(({ code, entry }) => [code, entry])).toEqual([
      ['entry_altered', one.index],
      ['entry_altered', two.index],
    ]);
    const whole = await judgedBundle(put({ ...two, index: one.index }, { ...one, index: two.index }), key);
    expect(codes(whole.problems)).toContain('run_altered');
  });
});

describe.each(databaseKinds.filter((kind) => kind === 'server'))('AU-10 a log that cannot be written (%s)', (kind) => {
  const refused = ({ status, headers, body }: Reply): unknown => [status, headers.get('retry-after'), body];
  const UNAVAILABLE = [503, '1', { error: 'temporarily_unavailable', error_description: expect.any(String) }];
  type Broken = Readonly<{ own: World; sql: (text: string) => Promise<unknown> }>;
  const during = async (work: (broken: Broken) => Promise<void>): Promise<void> => {
    const own = await startWorld({ kind });
    const client = new pg.Client({ connectionString: own.config.databaseUrl });
    await client.connect();
    try {
      await work({ own, sql: (text) => client.query(text) });
      expect(new Set(own.faults.map((fault) => (fault as { code?: unknown }).code))).toEqual(
        new Set(['database_unavailable']),
      );
    } finally {
      await client.end();
      await own.close();
    }
  };
  const countOf = async ({ writ }: World): Promise<number> =>
    writ.database.prisma.logLeaf.count({ where: { kind: 'exchange' } });

  it.each([
    ['log_leaf', '53100'],
    ['log_leaf', '58030'],
    ['log_leaf', '25006'],
    ['log_pending', '53100'],
    ['log_pending', '58030'],
  ])(
    'grants nothing while %s answers with SQLSTATE %s, and goes on by itself',
    async (table, state) => {
      await during(async ({ own, sql }) => {
        expect((await own.exchange()).status).toBe(200);
        const before = await countOf(own);
        await sql(
          `CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '${state}'; END $$`,
        );
        await sql(`CREATE TRIGGER broken BEFORE INSERT ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION broken()`);
        for (let n = 0; n < 3; n++) expect(refused(await own.exchange())).toEqual(UNAVAILABLE);
        expect(await countOf(own)).toBe(before);
        await sql(`DROP TRIGGER broken ON ${table}`);
        expect((await own.exchange()).status).toBe(200);
        expect(await countOf(own)).toBe(before + 1);
      });
    },
    30_000,
  );

  it('grants nothing on a database that can only be read, and goes on by itself', async () => {
    await during(async ({ own, sql }) => {
      const name = new URL(own.config.databaseUrl ?? '').pathname.slice(1);
      const others =
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()';
      expect((await own.exchange()).status).toBe(200);
      await sql(`ALTER DATABASE "${name}" SET default_transaction_read_only = on`);
      await sql(others);
      for (let n = 0; n < 3; n++) expect(refused(await own.exchange())).toEqual(UNAVAILABLE);
      await sql('SET default_transaction_read_only = off');
      await sql(`ALTER DATABASE "${name}" RESET default_transaction_read_only`);
      await sql(others);
      await eventually(async () => (await own.exchange()).status === 200);
    });
  }, 30_000);

  it.each(['log_entry', 'log_tile', 'log_checkpoint', 'log_tree'])(
    'keeps every record while the tree cannot grow in %s, and then has each once',
    async (table) => {
      await during(async ({ own, sql }) => {
        await sequenced(own);
        await sql(
          `CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$`,
        );
        await sql(
          `CREATE TRIGGER broken BEFORE INSERT OR UPDATE ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION broken()`,
        );
        const before = sizeIn(await checkpointOf(at(own)));
        for (let n = 0; n < 4; n++) expect((await own.exchange()).status).toBe(200);
        await eventually(async () =>
          /^writ_log_failures_total(\{[^}]*\})? [1-9]/m.test((await request(`${own.issuer}/metrics`, {})).text),
        );
        expect(sizeIn(await checkpointOf(at(own)))).toBe(before);
        await sql(`DROP TRIGGER broken ON ${table}`);
        await sequenced(own);
        const verdict = await judged(at(own), await keyOf(at(own)));
        expect([verdict.problems, verdict.checkpoint?.size]).toEqual([[], before + 4]);
      });
    },
    30_000,
  );
});

describe.each(databaseKinds.filter((kind) => kind === 'server'))('AU-11 a process that is killed (%s)', (kind) => {
  it('leaves no effect without its record, and no record without its effect', async () => {
    const compiled = compileSource();
    const own = await startWorld({ kind });
    await own.writ.close();
    const { dataDir, databaseUrl: url } = own.config;
    const env = {
      ...{ WRIT_ISSUER: own.issuer, WRIT_ADMIN_TOKEN: ADMIN_TOKEN, WRIT_TRUST_DOMAIN: 'trust.example' },
      ...{ WRIT_DATA_DIR: dataDir, DATABASE_URL: url, WRIT_POLICIES: 'test/support/policies' },
      WRIT_REQUESTS_PER_CLIENT: '1000000',
    };
    const received = new Set<string>();
    try {
      for (let round = 0; round < 2; round++) {
        const child = await spawnWrit(compiled, env);
        const forms = await Promise.all(Array.from({ length: 60 }, () => own.form()));
        const asked = forms.map(async (form) => {
          const answer = await own.post('/token', form).catch(() => undefined);
          if (answer?.status === 200) received.add(sha256(String(decodeJwt(tokenOf(answer)).jti)));
          if (received.size > round * 60 + 15) child.child.kill('SIGKILL');
        });
        await Promise.all(asked);
        child.child.kill('SIGKILL');
        await child.exited();
      }
      const database = await openDatabase({ url, dataDir });
      const ledger: Parameters<typeof examine>[1] = {
        tokens: received,
        personTokens: new Map(),
        uses: [],
        revoked: new Set(),
        exchangeSpends: new Set(),
      };
      const found = await examine(
        async (sql, values) => (await database.rows(sql, values)) as object[],
        ledger,
      ).finally(() => database.close());
      expect(received.size).toBeGreaterThan(15);
      expect(found).toMatchObject({ lost: 0, orphans: 0, by: {} });
    } finally {
      await own.close();
      compiled.remove();
    }
  }, 90_000);
});

async function eventually(isSo: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; !(await isSo()); waited += 50) {
    if (waited > 15_000) throw new Error('not in time');
    await pause(50);
  }
}

describe('AU-13 a person who is erased', () => {
  it('is nowhere any more, and what was proved before is proved still', async () => {
    const token = tokenOf(await world.exchange({ subject_token: await world.personToken('carol-to-be-forgotten') }));
    await sequenced(world);
    const { session } = decodeJwt<{ writ: { session: string } }>(token).writ;
    const key = await keyOf(at(world));
    const before = await bundleOf(at(world), `session=${session}`);
    const person = String(decodeJwt(token).sub);
    expect((await judgedBundle(before, key)).isProved).toBe(true);
    expect((await world.admin('DELETE', `/persons/${person}`)).status).toBe(200);
    await sequenced(world);
    const after = await bundleOf(at(world), `session=${session}`);
    expect((await judgedBundle(after, key)).isProved).toBe(true);
    expect((await judgedBundle(before, key)).isProved).toBe(true);
    expect((await judged(at(world), key)).problems).toEqual([]);
    const everything = [
      after,
      (await request(`${at(world).url}/export`, auditor)).text,
      (await world.admin('GET', '/log?limit=200')).text,
    ];
    for (const text of [...everything, leavesIn(after)]) expect(text).not.toContain('carol-to-be-forgotten');
    expect(leavesIn(after)).toContain(person);
    const found = await world.admin(
      'GET',
      `/persons?issuer=${encodeURIComponent(COMPANY)}&subject=carol-to-be-forgotten`,
    );
    expect(found.body).toEqual({ items: [] });
  });
});

const leavesIn = (bundle: string): string =>
  bundle
    .split('\n')
    .map((line) => /"leaf":"([\w-]+)"/.exec(line)?.[1] ?? '')
    .map((leaf) => Buffer.from(leaf, 'base64url').toString('utf8'))
    .join('\n');

describe('AU-14 the log of another deployment', () => {
  it('says nothing of this one: its proofs are not found there, and its auditors are nobody here', async () => {
    const token = tokenOf(await world.exchange());
    const { txn, writ } = decodeJwt<{ txn: string; writ: { leaf: string; session: string } }>(token);
    await sequenced(world);
    await sequenced(other);
    const ask = async (log: Log, path: string): Promise<number> =>
      (await request(`${log.url}/${path}`, auditor)).status;
    for (const path of [`proof/inclusion?leaf=${writ.leaf}`, `transactions/${txn}`])
      expect([path, await ask(at(world), path), await ask(at(other), path)]).toEqual([path, 200, 404]);
    expect(await bundleOf(at(other), `session=${writ.session}`)).not.toContain('"leaf"');
    const bundle = await bundleOf(at(world), `txn=${txn}`);
    const verdict = await judgedBundle(bundle, await keyOf(at(other)));
    expect([verdict.isProved, codes(verdict.problems)]).toEqual([
      false,
      expect.arrayContaining(['checkpoint_untrusted']),
    ]);
    for (const path of ['export', 'events', 'findings', 'bundle?from=0&to=1', 'tile/entries/000']) {
      const wrong = await request(`${at(world).url}/${path}`, { headers: { authorization: `Bearer ${token}` } });
      expect([path, wrong.status]).toEqual([path, 401]);
    }
  });
});
