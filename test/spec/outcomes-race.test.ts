import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Compiled, compileSource } from '../support/compiled.js';
import { databaseKinds } from '../support/databases.js';
import { recordsAfter, stateOf } from '../support/invariants.js';
import { answersOf, callId, outcomeOf, report } from '../support/outcomes.js';
import { spawnWrit, type WritProcess } from '../support/process.js';
import { startWorld, tool, tools, type World } from '../support/world.js';
import { ADMIN_TOKEN, freePort, tokenOf } from '../support/writ.js';

const ROUNDS = 30;

describe.each(databaseKinds.filter((kind) => kind === 'server'))('two processes on one database (%s)', () => {
  let compiled: Compiled;
  const bases: string[] = [];
  const started: WritProcess[] = [];
  let world: World;

  beforeAll(async () => {
    compiled = compileSource();
    world = await startWorld({ kind: 'server' });
    const { config, issuer } = world;
    while (bases.length < 2) {
      const port = await freePort();
      bases.push(`http://127.0.0.1:${String(port)}`);
      started.push(
        await spawnWrit(compiled, {
          WRIT_ISSUER: issuer,
          WRIT_PORT: String(port),
          WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
          WRIT_TRUST_DOMAIN: config.trustDomain,
          WRIT_DATA_DIR: config.dataDir,
          DATABASE_URL: config.databaseUrl,
        }),
      );
    }
  });
  afterAll(async () => {
    for (const { child } of started) child.kill('SIGKILL');
    await world.close();
    compiled.remove();
    expect(world.faults).toEqual([]);
  });

  it(`record a call once that is reported to both at once, in each of ${String(ROUNDS)} rounds`, async () => {
    const { issuer, rs1, exchange } = world;
    const { lastRecord } = await stateOf(world);
    const token = tokenOf(await exchange({ authorization_details: tools(tool('read_file', { max_uses: 100 })) }));
    const leaves: (string | undefined)[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      // Half of the rounds say the same, in the other half the two contradict each other.
      const batch = Array.from({ length: 5 }, () => outcomeOf(token));
      const other = round % 2 === 0 ? batch : batch.map((one) => ({ ...one, duration_ms: 1_000 }));
      const answers = await Promise.all([
        report({ issuer, base: bases[0] ?? '' }, batch, rs1),
        report({ issuer, base: bases[1] ?? '' }, [...other].reverse(), rs1),
      ]);
      const [one, two] = answers.map(answersOf);
      for (const { call } of one ?? []) {
        const said = [one, two].map((list) => list?.find((answer) => answer.call === call));
        const results = said.map((answer) => answer?.result).sort();
        expect(results).toEqual(round % 2 === 0 ? ['recorded', 'recorded'] : ['conflict', 'recorded']);
        const [leaf, ...more] = new Set(said.map((answer) => answer?.leaf).filter((found) => found !== undefined));
        expect(more).toEqual([]);
        leaves.push(leaf);
      }
    }
    const records = (await recordsAfter(world, lastRecord)).filter(({ kind: kept }) => kept === 'outcome');
    expect(records.map((record) => (record as unknown as { leaf_hash: string }).leaf_hash).sort()).toEqual(
      leaves.sort(),
    );
    expect(records).toHaveLength(ROUNDS * 5);
  });

  it('tell each other nothing apart: a call of one is the call of the other', async () => {
    const { issuer, rs1, exchange } = world;
    const call = callId();
    const outcome = outcomeOf(tokenOf(await exchange({ authorization_details: tools(tool('write_file')) })), { call });
    const first = answersOf(await report({ issuer, base: bases[0] ?? '' }, [outcome], rs1));
    expect(answersOf(await report({ issuer, base: bases[1] ?? '' }, [outcome], rs1))).toEqual(first);
  });
});
