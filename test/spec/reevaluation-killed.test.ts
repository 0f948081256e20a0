import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { type Compiled, compileSource } from '../support/compiled.js';
import { databaseKinds } from '../support/databases.js';
import { reevaluated } from '../support/invariants.js';
import { activate } from '../support/policies.js';
import { spawnWrit, type WritProcess } from '../support/process.js';
import { RS1, startWorld, tool, tools, type World } from '../support/world.js';
import { ADMIN_TOKEN, bearerAssertion, freePort, tokenOf } from '../support/writ.js';

const EVERYTHING =
  '@id("people") permit (principal is Person, action, resource);\n@id("agents") permit (principal is Agent, action, resource);\n';
const NO_WRITES = `${EVERYTHING}@id("no-writes") forbid (principal, action == Action::"${RS1}#write_file", resource);\n`;

/** More than one page of a re-evaluation, so that the first is kept when the second is cut off. */
const WRITES = 260;
const PAGE = 200;
const GATE = 7_101;

/**
 * The doomed replica is the only one that takes a re-evaluation as long as it lives, and stops with its second page half
 * written: what it decided is in its transaction, what it revokes is not.
 */
const STAGE = `
  CREATE FUNCTION only_the_doomed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
  CREATE TRIGGER only_the_doomed BEFORE UPDATE ON policy_reevaluation FOR EACH ROW
    WHEN (current_setting('application_name') <> 'doomed') EXECUTE FUNCTION only_the_doomed();
  CREATE FUNCTION stop_the_doomed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT ended > ${String(PAGE)} FROM policy_reevaluation WHERE finished_at IS NULL) THEN
      PERFORM pg_advisory_xact_lock(${String(GATE)});
    END IF;
    RETURN NEW;
  END $$;
  CREATE TRIGGER stop_the_doomed BEFORE INSERT ON revocation FOR EACH ROW
    WHEN (current_setting('application_name') = 'doomed') EXECUTE FUNCTION stop_the_doomed()`;

describe.each(databaseKinds.filter((kind) => kind === 'server'))('a replica that is killed (%s)', (kind) => {
  let compiled: Compiled;
  let world: World;
  let doomed: WritProcess;
  let gate: pg.Client;
  beforeAll(async () => {
    compiled = compileSource();
    world = await startWorld({ kind });
    await activate(world, EVERYTHING);
    await reevaluated(world);
    const { databaseUrl = '', dataDir, trustDomain } = world.config;
    const named = new URL(databaseUrl);
    named.searchParams.set('application_name', 'doomed');
    doomed = await spawnWrit(compiled, {
      WRIT_ISSUER: world.issuer,
      WRIT_PORT: String(await freePort()),
      WRIT_TRUST_DOMAIN: trustDomain,
      WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
      WRIT_DATA_DIR: dataDir,
      DATABASE_URL: named.href,
    });
    gate = new pg.Client({ connectionString: databaseUrl });
    await gate.connect();
  });
  afterAll(async () => {
    doomed.child.kill('SIGKILL');
    await gate.end();
    await world.close();
    compiled.remove();
    expect(world.faults).toEqual([]);
  });

  const isActive = async (token: string): Promise<boolean> => {
    const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token };
    return ((await world.post('/introspect', form)).body as { active: boolean }).active;
  };
  const tokensFor = async (name: string, count: number): Promise<readonly string[]> => {
    const minted: string[] = [];
    for (let left = count; left > 0; left -= 20) {
      const some = Array.from({ length: Math.min(left, 20) }, () =>
        world.exchange({ authorization_details: tools(tool(name)) }),
      );
      minted.push(...(await Promise.all(some)).map(tokenOf));
    }
    return minted;
  };
  const numberOf = async (sql: string): Promise<number> => {
    const { rows } = await gate.query<{ n: number }>(sql);
    return rows[0]?.n ?? 0;
  };
  const until = async (sql: string): Promise<void> => {
    while ((await numberOf(sql)) === 0) await pause(50);
  };
  const REVOKED = `SELECT count(*)::int AS n FROM revocation WHERE target LIKE 'token:%' AND reason = 'policy'`;
  const WAITING = `SELECT count(*)::int AS n FROM pg_stat_activity
    WHERE application_name = 'doomed' AND wait_event_type = 'Lock' AND wait_event = 'advisory'`;
  const CONNECTIONS = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'doomed'`;

  it('in the middle of a re-evaluation is succeeded by another, which ends the rest, and nothing twice', async () => {
    const writes = await tokensFor('write_file', WRITES);
    const reads = await tokensFor('read_file', 5);
    await world.writ.flush();
    await gate.query(STAGE);
    await gate.query(`SELECT pg_advisory_lock(${String(GATE)})`);
    await activate(world, NO_WRITES);
    await until(WAITING);
    const died = once(doomed.child, 'exit');
    doomed.child.kill('SIGKILL');
    expect(await died).toEqual([null, 'SIGKILL']);
    await gate.query(`SELECT pg_advisory_unlock(${String(GATE)})`);
    while ((await numberOf(CONNECTIONS)) > 0) await pause(50);
    // What it had committed is kept, and what it was at is as if it had never been.
    expect(await numberOf(REVOKED)).toBe(PAGE);
    const left = await world.writ.database.prisma.policyReevaluation.findMany({ where: { finishedAt: null } });
    expect(left.map(({ ended, passes }) => [ended, passes])).toEqual([[PAGE, 0]]);

    await gate.query('DROP TRIGGER only_the_doomed ON policy_reevaluation');
    await until(`SELECT count(*)::int AS n FROM policy_reevaluation WHERE finished_at IS NULL AND passes = 1`);
    await reevaluated(world);
    expect(await Promise.all(writes.map(isActive))).toEqual(writes.map(() => false));
    expect(await Promise.all(reads.map(isActive))).toEqual(reads.map(() => true));
    expect(await numberOf(REVOKED)).toBe(WRITES);
    await world.writ.flush();
    const { body } = await world.admin('GET', '/log?kind=policy&limit=200');
    const { items } = body as { items: { facts: { what: string; registry: number; ended: number } }[] };
    const done = items.filter(({ facts }) => facts.what === 'reevaluated');
    const ofThis = done.filter(({ facts }) => facts.registry === Number(left[0]?.version));
    expect(ofThis.map(({ facts }) => facts.ended)).toEqual([WRITES]);
  });
});
