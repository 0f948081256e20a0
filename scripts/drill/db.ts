import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { challengeOf, Person, refreshForm } from './code-flow.js';
import { type Fault, faultsOf } from './faults.js';
import { examine } from './invariants.js';
import { Ledger } from './ledger.js';
import type { Line, Reply } from './line.js';
import { textOf } from './line.js';
import { exchange, redeem, revoke, type Sender, use } from './load.js';
import { Proxy } from './proxy.js';
import { type Bounds, DATABASE, openRig, type Rig, withDatabase } from './rig.js';

export type DbResult = Readonly<{
  faults: number;
  partial_effects: number;
  wrong_answers: number;
  /** The longest that anybody waited for an answer during a fault. */
  slowest_ms: number;
  /** The longest from the end of a fault until everything worked again. */
  recovery_ms: number;
  answers: Readonly<{ served: number; unavailable: number }>;
  /** Refresh tokens that were spent although the answer was an outage: the person has to sign in again. */
  stranded: number;
  found: Readonly<Record<string, number>>;
}>;

/** Answers must come within this, whatever the database does, and everything must work so soon after it is back. */
export const BOUNDS_MS = { answer: 6_000, recovery: 2_000 } as const;

/** Something happens to the database under load, ends, and leaves nothing half done. */
export async function db({ rounds, seconds, say }: Bounds): Promise<DbResult> {
  const opened: { proxy?: Proxy } = {};
  const rig = await openRig({
    database: 'postgres',
    servers: 1,
    reach: async (postgres, closing, folder) => {
      opened.proxy = await Proxy.open(postgres, join(folder, 'proxy'), closing);
      return opened.proxy.urlOf(DATABASE);
    },
  });
  const { proxy } = opened;
  if (rig.postgres === undefined || proxy === undefined) throw new Error('this drill is for PostgreSQL');
  const watch = new Watch(say);
  const sender = { line: rig.servers[0].line, cast: rig.cast, ledger: new Ledger() };
  const began = performance.now();
  let [faults, recovery] = [0, 0];
  let found: Readonly<Record<string, number>> = {};
  try {
    await recovered(rig, sender);
    for (let round = 0; round < rounds; round++) {
      for (const fault of faultsOf(rig.postgres, proxy)) {
        if (performance.now() - began > seconds * 1_000) break;
        watch.fault = fault.name;
        const took = await suffer(fault, rig, sender, watch);
        const bug = rig.servers[0].lastBug;
        if (bug !== undefined) say(`${fault.name}: taken for a bug: ${bug.slice(0, 400)}`);
        const findings = await examineAll(rig, sender.ledger);
        found = { ...found, ...findings };
        faults++;
        recovery = Math.max(recovery, took);
        say(`${fault.name}: ${watch.since()}, working again after ${Math.round(took)} ms${listOf(findings)}`);
      }
    }
  } finally {
    await rig.closing.close();
  }
  const partial = Object.values(found).reduce((sum, number) => sum + number, 0);
  return { faults, partial_effects: partial, recovery_ms: Math.round(recovery), ...watch.result(), found };
}

/** Answers how long it took from the end of the fault until everything worked again. */
async function suffer(fault: Fault, rig: Rig, sender: Sender, watch: Watch): Promise<number> {
  let over = false;
  const isOver = (): boolean => over;
  const clients = [
    ...Array.from({ length: 10 }, () => traffic(sender, watch, isOver)),
    ...Array.from({ length: 2 }, () => signedIn(sender, watch, isOver)),
    ...Array.from({ length: 2 }, () => pushing(sender, watch, isOver)),
    reading(rig, watch, isOver),
    visiting(rig, watch, isOver),
  ];
  await pause(400);
  await fault.begin();
  await pause(fault.holdMs);
  await fault.end();
  const took = await recovered(rig, sender);
  over = true;
  await Promise.all(clients);
  return took;
}

async function recovered(rig: Rig, sender: Sender): Promise<number> {
  const began = performance.now();
  while (performance.now() - began < 30_000) {
    const issued = await exchange(sender);
    const token = issued.status === 200 ? textOf(issued, 'access_token') : undefined;
    const replies =
      token === undefined
        ? []
        : await Promise.all([use(sender, token), push(sender), rig.servers[0].isReady().then(okIf)]);
    if (replies.length > 0 && replies.every(isServed)) return performance.now() - began;
    await pause(20);
  }
  throw new Error(`nothing works again: ${rig.servers[0].said}`);
}

const okIf = (is: boolean): Reply => ({ status: is ? 200 : 503, retryAfter: undefined, body: {}, ms: 0 });
const isServed = ({ status, body }: Reply): boolean => status >= 200 && status < 400 && body['active'] !== false;

/** An outage says so, says when to come back, and says nothing about the request. */
const isOutage = ({ status, retryAfter, body }: Reply): boolean =>
  status === 503 &&
  retryAfter !== undefined &&
  (body['error'] === 'temporarily_unavailable' || body['code'] === 'unavailable' || 'text' in body);

/** Judges every answer of a fault. */
class Watch {
  fault = '';
  readonly #say: (line: string) => void;
  #slowest = 0;
  #stranded = 0;
  #served = 0;
  #unavailable = 0;
  #wrong = 0;
  #before = { served: 0, unavailable: 0, wrong: 0, stranded: 0 };

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** True when it was served. */
  judge(what: string, reply: Reply): boolean {
    this.#slowest = Math.max(this.#slowest, reply.ms);
    const inTime = reply.ms <= BOUNDS_MS.answer;
    const [served, outage] = [isServed(reply), isOutage(reply)];
    if (served) this.#served++;
    if (outage) this.#unavailable++;
    if (!inTime || (!served && !outage)) {
      this.#wrong++;
      const { status, retryAfter = '-', body, ms, why } = reply;
      if (this.#wrong - this.#before.wrong <= 5)
        this.#say(
          `${this.fault}: wrong answer to ${what} after ${Math.round(ms)} ms: ${status}, Retry-After ${retryAfter}, ${why ?? JSON.stringify(body).slice(0, 200)}`,
        );
    }
    return served;
  }

  strand(): void {
    this.#stranded++;
  }

  since(): string {
    const now = {
      served: this.#served,
      unavailable: this.#unavailable,
      wrong: this.#wrong,
      stranded: this.#stranded,
    };
    const { served, unavailable, wrong, stranded } = this.#before;
    this.#before = now;
    return `${now.served - served} served, ${now.unavailable - unavailable} unavailable, ${now.wrong - wrong} wrong, ${now.stranded - stranded} stranded`;
  }

  result(): Pick<DbResult, 'wrong_answers' | 'slowest_ms' | 'answers' | 'stranded'> {
    const answers = { served: this.#served, unavailable: this.#unavailable };
    return { wrong_answers: this.#wrong, slowest_ms: Math.round(this.#slowest), answers, stranded: this.#stranded };
  }
}

type Client = (sender: Sender, watch: Watch, isOver: () => boolean) => Promise<void>;

const traffic: Client = async (sender, watch, isOver) => {
  while (!isOver()) {
    const issued = await exchange(sender);
    if (watch.judge('an exchange', issued)) {
      const token = textOf(issued, 'access_token');
      if (Math.random() < 0.5) watch.judge('a use', await use(sender, token));
      else watch.judge('a revocation', await revoke(sender, token));
    }
    await pause(10);
  }
};

/** Keeps a refresh token in use. What an outage answered is sent again with a fresh assertion. */
const signedIn: Client = async (sender, watch, isOver) => {
  const person = new Person(sender.cast);
  while (!isOver()) {
    let form = await person.codeForm().catch(() => undefined);
    let wasUnavailable = false;
    while (form !== undefined && !isOver()) {
      const reply = await redeem(sender, form);
      if (wasUnavailable && reply.body['error'] === 'invalid_grant') {
        watch.strand();
        form = undefined;
      } else {
        const served = watch.judge('a refresh', reply);
        wasUnavailable = !served;
        if (served) form = refreshForm(textOf(reply, 'refresh_token'));
      }
      await pause(10);
    }
    await pause(50);
  }
};

const pushing: Client = async (sender, watch, isOver) => {
  while (!isOver()) {
    watch.judge('a pushed request', await push(sender));
    await pause(20);
  }
};

const push = ({ line, cast }: Sender): Promise<Reply> =>
  line.post('/request', { ...cast.pushed(challengeOf('verifier')), ...cast.authentication('agt_planner') });

async function reading({ servers: [{ line }], adminToken }: Rig, watch: Watch, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    watch.judge('a look at the log', await line.json('GET', '/admin/v1/log?limit=1', adminToken));
    await pause(50);
  }
}

/** A person who opens an agent's link. */
async function visiting({ servers: [{ line }], cast }: Rig, watch: Watch, isOver: () => boolean): Promise<void> {
  const query = new URLSearchParams(cast.pushed(challengeOf('verifier'))).toString();
  while (!isOver()) {
    watch.judge('a link of an agent', await page(line, `/auth?${query}`));
    await pause(50);
  }
}

const page = (line: Line, path: string): Promise<Reply> => line.get(path, { accept: 'text/html' });

/** Statements that the server gave up on may still run. */
function examineAll({ postgres }: Rig, ledger: Ledger): Promise<Readonly<Record<string, number>>> {
  if (postgres === undefined) throw new Error('there is no server');
  return withDatabase(postgres, async (client) => {
    for (let waited = 0; waited < 5_000; waited += 50) {
      if ((await client.query(AT_WORK)).rows.length === 0) break;
      await pause(50);
    }
    const waiting = await unsequenced(client);
    const { by } = await examine(
      async (sql, parameters) => (await client.query<object>(sql, [...parameters])).rows,
      ledger,
    );
    return waiting === 0 ? by : { ...by, unsequenced: waiting };
  });
}

/** Leaves that are not in the tree although it had 5 s for them. */
async function unsequenced(client: Pick<pg.Client, 'query'>): Promise<number> {
  let waiting = 0;
  for (let waited = 0; waited <= 5_000; waited += 100) {
    const { rows } = await client.query<{ waiting: number }>('SELECT count(*)::int AS waiting FROM log_pending');
    waiting = rows[0]?.waiting ?? 0;
    if (waiting === 0) break;
    await pause(100);
  }
  return waiting;
}

const AT_WORK = `SELECT 1 FROM pg_stat_activity WHERE application_name = 'writ' AND state <> 'idle'`;

const listOf = (findings: Readonly<Record<string, number>>): string =>
  Object.keys(findings).length === 0 ? '' : `, ${JSON.stringify(findings)}`;
