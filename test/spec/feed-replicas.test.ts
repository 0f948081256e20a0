import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import pg from 'pg';
import { PrivateJwk } from '../../src/protocol/index.js';
import { createVerifier, type Refused, type Verifier, type VerifierOptions } from '../../src/sdk/verifier/index.js';
import { databaseKinds } from '../support/databases.js';
import { revokeTargets } from '../support/feed.js';
import { RS1, RS2, startWorld, tool, tools, type World } from '../support/world.js';
import { bearerAssertion, startReplica, tokenOf } from '../support/writ.js';

type Seen = Readonly<{ sub: string; writ: Readonly<{ session: string; seen: number }> }>;
type Server = Readonly<{ refused: Refused[]; call(token: string): Promise<Response> }>;

let world: World;
let replica: Awaited<ReturnType<typeof startReplica>>;
const verifiers: Verifier[] = [];

/** Spends no use, however often it is sent. */
const LIST = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';

/** An MCP server that follows, with the key of rs1 unless something else is said. */
function serverOf(options: Partial<VerifierOptions> = {}): Server {
  const jwk = world.rs1.key.privateKey.export({ format: 'jwk' });
  const verifier = createVerifier({
    issuer: world.issuer,
    resource: RS1,
    introspection: { clientId: world.rs1.id, key: PrivateJwk.parse({ ...jwk, kid: 'srv_one-key', alg: 'ES256' }) },
    feed: { maxAgeMs: { exact: 3_000, other: 3_000 } },
    timeoutMs: 10_000,
    outcomes: false,
    ...options,
  });
  verifiers.push(verifier);
  const refused: Refused[] = [];
  const guard = verifier.guard({ onRefused: (why) => refused.push(why) });
  const handle = guard.fetch(() => Promise.resolve(Response.json({ answer: 'ran' })));
  const call = (token: string): Promise<Response> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    return handle(new Request(options.resource ?? RS1, { method: 'POST', body: LIST, headers }));
  };
  return { refused, call };
}

const details = tools(tool('read_file'));
const mint = async (person: string): Promise<string> =>
  tokenOf(await world.exchange({ subject_token: await world.personToken(person), authorization_details: details }));
const until = async (status: number, { call }: Server, token: string): Promise<void> => {
  while ((await call(token)).status !== status) await pause(50);
};
const endSession = async (token: string, by: Pick<World, 'admin'> = world): Promise<void> => {
  const { session } = decodeJwt<Seen>(token).writ;
  expect((await by.admin('POST', `/sessions/${session}/end`, { reason: 'test' })).status).toBe(200);
};

describe.each(databaseKinds.filter((kind) => kind === 'server'))('a verifier that follows (%s)', (kind) => {
  beforeAll(async () => {
    world = await startWorld({ kind });
    replica = await startReplica(world);
  });
  afterEach(async () => {
    await Promise.all(verifiers.splice(0).map((verifier) => verifier.close()));
  });
  afterAll(async () => {
    await replica.close();
    await world.close();
    // Of the outage below, and of nothing else.
    const codes = new Set([...world.faults, ...replica.faults].map((fault) => (fault as { code?: unknown }).code));
    expect([...codes].filter((code) => code !== 'database_unavailable')).toEqual([]);
  });

  it('knows at one process what was revoked at another, and goes on at another when its own is gone', async () => {
    const bases = [world.issuer, replica.base];
    let [at, connection] = [0, new AbortController()];
    const server = serverOf({
      fetch: (url, { signal, ...init }) => {
        const signals = [connection.signal, ...(signal ? [signal] : [])];
        return fetch(url.replace(world.issuer, bases[at] ?? ''), { ...init, signal: AbortSignal.any(signals) });
      },
    });
    for (let round = 0; round < 4; round++) {
      const [there, meanwhile, kept] = [await mint(`a${round}`), await mint(`b${round}`), await mint(`c${round}`)];
      await until(200, server, there);
      await endSession(there, at === 0 ? replica : world);
      await until(401, server, there);
      // Its process is gone, and something is revoked before it has found the other one.
      at = 1 - at;
      connection.abort();
      connection = new AbortController();
      await endSession(meanwhile);
      await until(401, server, meanwhile);
      await until(200, server, kept);
      expect((await server.call(there)).status).toBe(401);
    }
    expect(new Set(server.refused.map(({ reason }) => reason))).toEqual(new Set(['revoked']));
  }, 60_000);

  it('refuses what another process minted while it was being revoked, and nothing that was minted after', async () => {
    const server = serverOf();
    const counts = { refused: 0, taken: 0 };
    for (let round = 0; round < 6; round++) {
      const person = `racer${round}`;
      const first = await mint(person);
      /** Whoever signed in before the person was cut off gets nothing any more. */
      const mintThere = async (): Promise<readonly string[]> => {
        const subject_token = await world.personToken(person);
        const form = await world.form({ subject_token, authorization_details: details });
        const reply = await replica.post('/token', form);
        return reply.status === 200 ? [tokenOf(reply)] : [];
      };
      const before = Array.from({ length: 4 }, mintThere);
      const revoked = revokeTargets(world, `person:${decodeJwt<Seen>(first).sub}`);
      const raced = await Promise.all([...before, ...Array.from({ length: 4 }, mintThere)]);
      const number = await revoked;
      await world.minutePasses();
      const tokens = [first, ...raced.flat(), ...(await mintThere())];
      const canary = await mint('canary');
      await revokeTargets(world, `session:${decodeJwt<Seen>(canary).writ.session}`);
      await until(401, server, canary);
      for (const token of tokens) {
        const isOver = decodeJwt<Seen>(token).writ.seen < number;
        expect((await server.call(token)).status).toBe(isOver ? 401 : 200);
        expect(await isActive(token)).toBe(!isOver);
        counts[isOver ? 'refused' : 'taken']++;
      }
    }
    expect(counts.taken).toBeGreaterThanOrEqual(6);
    expect(counts.refused).toBeGreaterThanOrEqual(6);
  }, 60_000);

  it('refuses when the database cannot be read, and comes back by itself when it can', async () => {
    const server = serverOf({ feed: { maxAgeMs: { exact: 1_500, other: 1_500 } } });
    const [good, bad] = [await mint('good'), await mint('bad')];
    await until(200, server, good);
    const client = new pg.Client({ connectionString: world.config.databaseUrl });
    await client.connect();
    try {
      await client.query('BEGIN');
      await client.query('LOCK TABLE revocation IN ACCESS EXCLUSIVE MODE');
      await until(503, server, good);
      for (let again = 0; again < 5; again++) {
        await pause(200);
        expect((await server.call(good)).status).toBe(503);
      }
      await client.query('COMMIT');
    } finally {
      await client.end();
    }
    await until(200, server, good);
    await endSession(bad);
    await until(401, server, bad);
    expect(server.refused.map(({ reason }) => reason)).toContain('feed_stale');
  }, 60_000);

  it('may prove itself by a secret, and knows nothing with a wrong one', async () => {
    const path = `/servers/${encodeURIComponent(RS2)}`;
    const { body } = await world.admin('GET', path);
    const authentication = { method: 'client_secret_basic' };
    expect((await world.admin('PUT', path, { ...(body as object), authentication })).status).toBe(200);
    const made = await world.admin('POST', `${path}/secret`);
    const { client_secret: secret } = made.body as { client_secret: string };
    const own = { resource: RS2, shapes: ['at+jwt' as const] };
    const server = serverOf({ ...own, introspection: { clientId: world.rs2.id, secret } });
    const wrong = serverOf({
      ...own,
      introspection: { clientId: world.rs2.id, secret: `${secret.slice(0, -1)}_` },
      timeoutMs: 1_000,
    });
    const token = await mintFor(RS2);
    await until(200, server, token);
    expect((await wrong.call(token)).status).toBe(503);
    expect(wrong.refused).toEqual([{ reason: 'feed_stale', tool: undefined }]);
    await endSession(token);
    await until(401, server, token);
    expect(server.refused.at(-1)?.reason).toBe('revoked');
  }, 60_000);
});

async function isActive(token: string): Promise<boolean> {
  const { body } = await world.post('/introspect', { token, ...(await bearerAssertion(world.issuer, world.rs1)) });
  return (body as { active: boolean }).active;
}

/** A token of the agent for a server that it may read at. */
async function mintFor(resource: string): Promise<string> {
  const { body } = await world.admin('GET', '/agents/agt_a1');
  const agent = body as { allow: object[] };
  const allow = [...agent.allow, { resource, scopes: ['repo:read'], tools: ['read_file'] }];
  expect((await world.admin('PUT', '/agents/agt_a1', { ...agent, allow })).status).toBe(200);
  const authorization_details = tools(tool('read_file', {}, resource));
  return tokenOf(await world.exchange({ resource, authorization_details }));
}
