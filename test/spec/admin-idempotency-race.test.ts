import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Compiled, compileSource } from '../support/compiled.js';
import { databaseKinds, freshDatabase, type TestDatabase } from '../support/databases.js';
import { temporaryDirectory } from '../support/postgres.js';
import { spawnWrit, type WritProcess } from '../support/process.js';
import { ADMIN_TOKEN, freePort, type Reply, request } from '../support/writ.js';

const ROUNDS = 40;

describe.each(databaseKinds.filter((kind) => kind === 'server'))('two processes on one database (%s)', (kind) => {
  let compiled: Compiled;
  let fresh: TestDatabase;
  let ports: number[];
  const started: WritProcess[] = [];

  beforeAll(async () => {
    compiled = compileSource();
    fresh = await freshDatabase(kind);
    ports = [await freePort(), await freePort()];
    const dataDir = temporaryDirectory('idempotency');
    for (const port of ports) {
      const writ = await spawnWrit(compiled, {
        WRIT_ISSUER: `http://127.0.0.1:${String(ports[0])}`,
        WRIT_PORT: String(port),
        WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
        WRIT_DATA_DIR: dataDir,
        DATABASE_URL: fresh.options.url,
      });
      started.push(writ);
    }
  });
  afterAll(async () => {
    for (const { child } of started) child.kill('SIGKILL');
    await fresh.drop();
    compiled.remove();
  });

  const ask = (port: number | undefined, method: string, path: string, more: Partial<Init> = {}): Promise<Reply> =>
    request(`http://127.0.0.1:${String(port)}/admin/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${ADMIN_TOKEN}`,
        ...(more.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(more.key === undefined ? {} : { 'idempotency-key': more.key }),
      },
      ...(more.body === undefined ? {} : { body: JSON.stringify(more.body) }),
    });
  type Init = Readonly<{ key: string; body: object }>;

  it('do a change once for one idempotency key in each of 40 simultaneous rounds, and answer the same', async () => {
    const agent = {
      client_id: 'agt_a',
      name: 'A',
      owner: 'https://people.example#ada',
      sponsor: 'https://people.example#bob',
      purpose: 'tests',
      authentication: { method: 'client_secret_basic' },
    };
    expect((await ask(ports[0], 'PUT', '/agents/agt_a', { body: agent })).status).toBe(201);
    for (let round = 0; round < ROUNDS; round++) {
      const key = randomUUID();
      const make = (port: number | undefined): Promise<Reply> => ask(port, 'POST', '/agents/agt_a/secret', { key });
      const both = await Promise.all(ports.map(make));
      const won = both.filter(({ status }) => status === 201);
      const lost = both.filter(({ status }) => status !== 201);
      expect(won.length).toBeGreaterThanOrEqual(1);
      for (const { status, body } of lost)
        expect([status, body]).toEqual([409, expect.objectContaining({ code: 'idempotency_key_in_use' })]);
      for (const again of [...won, ...(await Promise.all(ports.map(make)))]) expect(again.body).toEqual(won[0]?.body);
    }
    const { body } = await ask(ports[1], 'GET', '/log?kind=registry&limit=200');
    const made = (body as { items: { facts: { secret_set: boolean } }[] }).items.filter(
      ({ facts }) => facts.secret_set,
    );
    expect(made).toHaveLength(ROUNDS);
  });
});
