import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { guarded } from '../../src/storage/index.js';
import { sha256 } from '../../src/protocol/index.js';
import { databaseKinds } from '../support/databases.js';
import { type Break, Wire } from '../support/wire.js';
import { RS1, startWorld, tool, tools, type World } from '../support/world.js';
import { bearerAssertion, type Form, type Reply, tokenOf } from '../support/writ.js';

const BREAKS: readonly Break[] = [
  'reset before it',
  'reset after it',
  'closed before it',
  'closed after it',
  'cut in the middle of its answer',
  'reset after its answer',
  'terminated by the database before it',
];
const SILENCES: readonly Break[] = ['silent before it', 'silent after it'];

/** ErrorResponse (PostgreSQL, "Message Formats"). */
const fatal = (state: string) => (newcomer: Socket) => newcomer.end(message('E', `SFATAL\0C${state}\0Mx\0\0`));
const says = (type: string, text: string) => (newcomer: Socket) => newcomer.write(message(type, text));
function message(type: string, text: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(4 + Buffer.byteLength(text, 'latin1'));
  return Buffer.concat([Buffer.from(type), length, Buffer.from(text, 'latin1')]);
}

const codesOf = (faults: readonly unknown[]): Set<unknown> =>
  new Set(faults.map((fault) => (fault as { code?: unknown }).code));

/** What may become of a new connection. */
const NEWCOMERS: Readonly<Record<string, (newcomer: Socket) => unknown>> = {
  closed: (newcomer) => newcomer.destroy(),
  reset: (newcomer) => newcomer.resetAndDestroy(),
  'told nothing': () => undefined,
  'told that there are too many (53300)': fatal('53300'),
  'told that the database starts (57P03)': fatal('57P03'),
  'told that there is no such database (3D000)': fatal('3D000'),
  'told that it may not (28P01)': fatal('28P01'),
  'asked for a password that nobody configured': says('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'),
  'asked for a proof that the driver does not know': says('R', '\0\0\0\x0aSCRAM-SHA-9\0\0'),
  'told what no PostgreSQL says': says('!', 'x'),
  'told a row that nobody asked for': says('D', '\0\0'),
};

describe.each(databaseKinds.filter((kind) => kind === 'server'))('a connection to the database (%s)', (kind) => {
  let world: World;
  let wire: Wire;
  let server: Record<string, unknown>;
  const background = new Set<string>();
  beforeAll(async () => {
    world = await startWorld({
      kind,
      reach: async (url) => {
        wire = await Wire.open(url);
        return wire.url;
      },
    });
    server = (await world.admin('GET', `/servers/${encodeURIComponent(RS1)}`)).body as Record<string, unknown>;
    wire.texts.length = 0;
    await pause(1_500);
    for (const text of wire.texts) background.add(text);
  }, 30_000);
  afterAll(async () => {
    await world.close();
    await wire.close();
  });

  const as = async (form: Form, by = world.a1): Promise<Form> => ({
    ...form,
    ...(await bearerAssertion(world.issuer, by)),
  });
  const writable = (): Promise<Reply> => world.exchange({ authorization_details: tools(tool('write_file')) });

  /** What is prepared is asked of a database that answers; what it answers is sent to one that breaks. */
  const requests: Readonly<Record<string, () => Promise<() => Promise<Reply>>>> = {
    revocation: async () => {
      const form = await as({ token: tokenOf(await writable()) });
      return () => world.post('/revoke', form);
    },
    'introspection that consumes': async () => {
      const form = await as({ token: tokenOf(await writable()), consume: 'write_file' }, world.rs1);
      return () => world.post('/introspect', form);
    },
    'an exchange': async () => {
      const form = await world.form();
      return () => world.post('/token', form);
    },
    'an exchange for somebody new': async () => {
      const form = await world.form({ subject_token: await world.personToken(`new-${Math.random()}`) });
      return () => world.post('/token', form);
    },
    'a change of the registry': () =>
      Promise.resolve(() => world.admin('POST', '/apply', { servers: [{ ...server, name: `name ${Math.random()}` }] })),
  };

  /** The statements of a request, in their order, but for those that run by themselves. */
  async function statementsOf(name: string): Promise<readonly string[]> {
    const runs: (readonly string[])[] = [];
    for (let run = 0; run < 3; run++) {
      const send = await requests[name]?.();
      wire.texts.length = 0;
      expect((await send?.())?.status).toBe(200);
      runs.push([...wire.texts]);
    }
    const [last = []] = runs.slice(-1);
    return last.filter((text) => !background.has(text) && runs.every((run) => run.includes(text)));
  }

  /** A transaction that was left in silence holds its locks until its connection is given up. */
  async function recovered(): Promise<void> {
    for (let status = 0; status !== 200;) {
      const send = await requests['revocation']?.();
      status = (await send?.())?.status ?? 0;
    }
  }

  async function broken(name: string, statements: readonly string[], at: number, how: Break): Promise<unknown> {
    const send = await requests[name]?.();
    const [text = ''] = statements.slice(at);
    const skip = statements.slice(0, at).filter((one) => one === text).length;
    const [isSprung, before] = [wire.set(text, how, skip), world.faults.length];
    const reply = await send?.();
    const retryAfter = reply?.headers.get('retry-after');
    return [isSprung(), reply?.status, retryAfter, ...codesOf(world.faults.slice(before))];
  }

  it.each(Object.keys(requests))(
    'that breaks at any statement of %s is an outage',
    async (name) => {
      const all = await statementsOf(name);
      const committed = all.indexOf('COMMIT');
      const statements = committed < 0 ? all : all.slice(0, committed + 1);
      const [begun, found, wanted] = [all.indexOf('BEGIN'), new Map<string, unknown>(), new Map<string, unknown>()];
      for (const at of statements.keys()) {
        // A transaction lives in its connection; what was answered before it, or after it, needs it no more.
        const outlives = begun < 0 || at < begun || at === committed;
        for (const how of BREAKS.filter((one) => !(outlives && one === 'reset after its answer'))) {
          found.set(`statement ${at + 1} ${how}`, await broken(name, statements, at, how));
          wanted.set(`statement ${at + 1} ${how}`, [true, 503, '1', 'database_unavailable']);
        }
      }
      expect(found).toEqual(wanted);
      expect((await world.exchange()).status).toBe(200);
    },
    120_000,
  );

  it.each(SILENCES)(
    'that is %s, in a transaction, is an outage',
    async (how) => {
      const statements = await statementsOf('revocation');
      const answers: unknown[] = [];
      const written = statements.slice(0, statements.indexOf('COMMIT')).at(-1) ?? '';
      for (const text of ['BEGIN', written, 'COMMIT']) {
        const send = await requests['revocation']?.();
        const isSprung = wire.set(text, how);
        const reply = await send?.();
        answers.push([isSprung(), reply?.status, reply?.headers.get('retry-after')]);
        await recovered();
      }
      expect(answers).toEqual(Array.from({ length: 3 }, () => [true, 503, '1']));
      wire.resume();
    },
    120_000,
  );

  it.each(Object.keys(NEWCOMERS))(
    'that cannot be made because it is %s is an outage',
    async (name) => {
      // More than the pool has connections.
      const all = Array.from({ length: 4 }, () => Object.values(requests)).flat();
      const sends = await Promise.all(all.map((prepare) => prepare()));
      const before = world.faults.length;
      wire.cut(NEWCOMERS[name]);
      const replies = await Promise.all(sends.map((send) => send()));
      wire.cut();
      expect(replies.map(({ status, headers }) => [status, headers.get('retry-after')])).toEqual(
        sends.map(() => [503, '1']),
      );
      expect(codesOf(world.faults.slice(before))).toEqual(new Set(['database_unavailable']));
      expect((await world.exchange()).status).toBe(200);
    },
    30_000,
  );

  // A ROLLBACK waits behind the statement that has no answer, for 4.5 s after the 4.5 s of the statement, and is never sent.
  it('that was silent under a transaction is used by nobody afterwards: what is answered is kept', async () => {
    const statements = await statementsOf('revocation');
    const send = await requests['revocation']?.();
    const isSprung = wire.set(statements.at(-2) ?? '', 'silent before it');
    const revoked = send?.();
    await pause(9_200);
    const later = Array.from({ length: 4 }, writable);
    await pause(300);
    wire.resume();
    const replies = await Promise.all(later);
    expect([isSprung(), (await revoked)?.status]).toEqual([true, 503]);
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const tokens = replies.map((reply) => sha256(String(decodeJwt(tokenOf(reply)).jti)));
    const kept = await wire.rows('SELECT token_hash FROM log_leaf WHERE token_hash = ANY($1)', [tokens]);
    expect(kept).toHaveLength(4);
  }, 60_000);

  it('has nothing to do with an answer that Writ cannot read, which is a bug of its own', async () => {
    const { prisma } = world.writ.database;
    const thrown: unknown = await guarded(() => prisma.$queryRawUnsafe('SELECT pg_sleep(0)')).catch((e: unknown) => e);
    expect(thrown).toMatchObject({ code: 'P2010' });
  });
});
