import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LEASE } from '../../src/notice/index.js';
import { openNotices } from '../../src/storage/index.js';
import { type Compiled, compileSource } from '../support/compiled.js';
import { databaseKinds, freshDatabase, type TestDatabase } from '../support/databases.js';
import { temporaryDirectory } from '../support/postgres.js';
import { spawnWrit, type WritProcess } from '../support/process.js';
import { Receiver } from '../support/push-service.js';
import { ADMIN_TOKEN, freePort } from '../support/writ.js';

describe.each(databaseKinds.filter((kind) => kind === 'server'))('two processes that tell one person (%s)', (kind) => {
  let fresh: TestDatabase;
  let compiled: Compiled;
  let service: Receiver;
  let issuer = '';
  const writs: WritProcess[] = [];
  const dataDirs = [temporaryDirectory('tell-a'), temporaryDirectory('tell-b')] as const;

  const start = async (dataDir: string): Promise<void> => {
    const port = await freePort();
    if (issuer === '') issuer = `http://localhost:${String(port)}`;
    const writ = await spawnWrit(compiled, {
      ...{ WRIT_ISSUER: issuer, WRIT_PORT: String(port), WRIT_ADMIN_TOKEN: ADMIN_TOKEN },
      ...{ WRIT_DATA_DIR: dataDir, DATABASE_URL: fresh.options.url, WRIT_DEFERRED_TOKEN_RESPONSE: 'draft-01' },
    });
    writs.push(writ);
  };
  const run = (sql: string): Promise<number> => fresh.database.prisma.$executeRawUnsafe(sql);
  /** Requests that wait, and are to be told, as they are written when they are asked. */
  const ask = async (name: string, count: number): Promise<void> => {
    await run(`
      WITH asked AS (
        INSERT INTO approval (id, state, person_id, client_id, server, tool, call, sha256, policy, code_hash, is_own, groups,
          about, asked_at, expires_at, pause)
        SELECT '${name}' || n, 'asked', 'prs_p', 'agt_a', 'https://mcp.example', 'write', '${name}' || n, '', '',
          '${name}' || n, true, '{}', '{"tier":"medium"}', now(), now() + interval '10 minutes', 5
        FROM generate_series(1, ${String(count)}) AS n RETURNING id
      )
      INSERT INTO notice (approval_id, channel_id, due_at) SELECT asked.id, c.id, now() FROM asked, notice_channel c`);
  };
  const untold = (): Promise<number> => fresh.database.prisma.notice.count({ where: { sentAt: null } });
  const until = async (isSo: () => boolean | Promise<boolean>, seconds: number): Promise<void> => {
    for (let waited = 0; !(await isSo()); waited += 50) {
      if (waited > seconds * 1_000) throw new Error('not in time');
      await pause(50);
    }
  };
  const ids = (): string[] => service.received.map(({ headers }) => String(headers['webhook-id']));

  beforeAll(async () => {
    [compiled, service] = [compileSource(), await Receiver.start()];
    fresh = await freshDatabase(kind);
    await start(dataDirs[0]);
    cpSync(dataDirs[0], dataDirs[1], { recursive: true, filter: (path) => !path.endsWith('/checkpoint') });
    await start(dataDirs[1]);
    await run(`INSERT INTO person (id, issuer, subject) VALUES ('prs_p', 'https://company.example', 'p')`);
    const key = Buffer.from(readFileSync(join(dataDirs[0], 'development-key'), 'utf8').trim(), 'base64url');
    const secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
    const webhook = { kind: 'webhook', url: `${service.url}/hook`, secret } as const;
    await openNotices(fresh.database, [key]).add('prs_p', 'localhost', webhook);
  }, 120_000);
  afterAll(async () => {
    for (const { child } of writs) child.kill('SIGKILL');
    await service.stop();
    await fresh.drop();
    compiled.remove();
    for (const dataDir of dataDirs) rmSync(dataDir, { recursive: true, force: true });
  });

  it('send each message once between them', async () => {
    service.answersAfterMs = 150;
    for (let round = 1; round <= 3; round++) {
      service.received.length = 0;
      await ask(`apr_${String(round)}_`, 240);
      await until(async () => (await untold()) === 0, 20);
      await pause(500);
      expect([ids().length, new Set(ids()).size]).toEqual([240, 240]);
    }
    for (const { out } of writs) expect(out()).toContain('"message":"a person is told"');
  }, 90_000);

  it('lose nothing where one of them is killed while it sends: the other one sends it when the lease is over', async () => {
    const [victim] = writs;
    service.received.length = 0;
    service.silentAt = '/hook';
    await ask('apr_killed_', 40);
    await until(() => ids().length === 40, 10);
    expect(new Set(ids()).size).toBe(40);
    victim?.child.kill('SIGKILL');
    await victim?.exited();
    [service.silentAt, service.answersAfterMs] = [undefined, 0];
    service.received.length = 0;
    await until(async () => (await untold()) === 0, LEASE + 15);
    expect([ids().length, new Set(ids()).size]).toEqual([40, 40]);
  }, 90_000);
});
