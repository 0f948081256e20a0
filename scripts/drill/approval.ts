import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { Browser } from '../demo/browser.js';
import { ALICE } from '../demo/company.js';
import { claimsOf } from './cast.js';
import { Person } from './code-flow.js';
import { type Act, atOnce, saidBy, succeeded, type Verdict } from './contest.js';
import { type Form, type Reply, textOf } from './line.js';
import { type Bounds, openRig, type Rig, withDatabase } from './rig.js';
import { note, type Tally } from './verdicts.js';

export type ApprovalResult = Tally & Readonly<{ seconds: number; things: Readonly<Record<string, Tally>> }>;

const LANES = 8;

const POLICIES = `
@id("people") permit (principal is Person, action, resource);
@id("agents") permit (principal is Agent, action, resource);
@id("writes-ask") @requires("approval") forbid (principal, action in Action::"write", resource);
`;

/**
 * Two processes, one database: of approving, denying and running out of time, at once, one thing happens to a request and
 * nothing after its end; and of an approval that is fetched at both processes there is one token.
 */
export async function approval({ rounds, seconds, say }: Bounds): Promise<ApprovalResult> {
  const rig = await openRig({
    ...{ database: 'postgres', servers: 2 },
    env: { WRIT_DEFERRED_TOKEN_RESPONSE: 'draft-01' },
    beside: (_closing, folder) => {
      const policies = join(folder, 'policies');
      mkdirSync(policies);
      writeFileSync(join(policies, 'all.cedar'), POLICIES);
      return Promise.resolve({ policies });
    },
  });
  const { postgres } = rig;
  if (postgres === undefined) throw new Error('a race needs PostgreSQL');
  try {
    await pause(1_500); // until the second process has read the registry that the first was given
    return await withDatabase(postgres, async (client) => {
      const stage = await Stage.open(rig, client);
      const things = { answers: newTally(), redemptions: newTally() };
      const began = performance.now();
      const elapsed = (): number => (performance.now() - began) / 1_000;
      let begun = 0;
      const lane = async (): Promise<void> => {
        while (begun < 2 * rounds && elapsed() < seconds) {
          const name = begun++ % 2 === 0 ? 'answers' : 'redemptions';
          const { winners, said } = await (name === 'answers' ? stage.answers() : stage.redemptions());
          if (!note(winners, things[name])) say(`${name}: ${winners} winners: ${said}`);
          if (begun % 500 === 0) say(`${begun} races in ${Math.round(elapsed())} s`);
        }
      };
      await Promise.all(Array.from({ length: LANES }, lane));
      const [answers, redemptions] = [things.answers, things.redemptions];
      return {
        rounds: answers.rounds + redemptions.rounds,
        double_wins: answers.double_wins + redemptions.double_wins,
        no_winner: answers.no_winner + redemptions.no_winner,
        ...{ seconds: Math.round(elapsed()), things },
      };
    });
  } finally {
    await rig.closing.close();
  }
}

const newTally = (): Tally => ({ rounds: 0, double_wins: 0, no_winner: 0 });

/** RFC 9470's five minutes, and some left. */
const SIGNED_IN_FOR_MS = 200_000;
const ENDS: readonly string[] = ['refused', 'expired', 'withdrawn'];

type Device = Readonly<{ browser: Browser; until: number }>;
type Asked = Readonly<{ id: string; code: string; at: number }>;

/** Alice with two devices, and an agent of hers. */
class Stage {
  readonly #rig: Rig;
  readonly #client: pg.Client;
  readonly #devices = new Map<number, Promise<Device>>();
  #token: Readonly<{ text: string; until: number }>;
  #count = 0;
  #queries: Promise<unknown> = Promise.resolve();

  private constructor(rig: Rig, client: pg.Client, token: string) {
    [this.#rig, this.#client] = [rig, client];
    this.#token = { text: token, until: performance.now() + SIGNED_IN_FOR_MS };
  }

  static async open(rig: Rig, client: pg.Client): Promise<Stage> {
    return new Stage(rig, client, await tokenOf(rig));
  }

  /** Two of the three at once, whichever, at two processes: the records of the request say which came first, and that it was alone. */
  async answers(): Promise<Verdict> {
    const asked = await this.#ask();
    const [one, other] = PAIRS[Math.floor(Math.random() * PAIRS.length)] ?? PAIRS[0];
    if (one === 'expire' || other === 'expire') await this.#endSoon(asked);
    const [act, react] = [await this.#doing(one, asked, 0), await this.#doing(other, asked, 1)];
    if (one === 'expire' || other === 'expire') await nextSecond();
    const replies = await atOnce(this.#rig, act, react);
    const states = await this.#records(asked);
    // What was approved is fetched, so that it does not count as open for the next ones.
    await this.#poll(asked)(this.#rig.servers[0].line);
    const [first, ...later] = states;
    // What was approved and not fetched runs out of time too, later on.
    const isAlone = later.length === 0 || (first === 'granted' && later.length === 1 && ENDS.includes(later[0] ?? ''));
    const said = `${one} ${other}: ${states.join(', ')}: ${saidBy(replies).slice(0, 400)}`;
    return { winners: first === undefined ? 0 : isAlone ? 1 : 2, said };
  }

  /** Both processes answer whoever lost the answer: with the one token that there is. */
  async redemptions(): Promise<Verdict> {
    const asked = await this.#ask();
    const approve = await this.#doing('approve', asked, 0);
    const approved = await approve(this.#rig.servers[0].line);
    if (!succeeded(approved)) return { winners: 0, said: saidBy([approved]) };
    const replies = await atOnce(this.#rig, this.#poll(asked), this.#poll(asked));
    const tokens = replies.filter(succeeded).map((reply) => String(claimsOf(textOf(reply, 'access_token'))['jti']));
    const permits = await this.#permits(asked);
    const winners = tokens.length === 0 ? 0 : Math.max(new Set(tokens).size, permits);
    return { winners, said: `${String(permits)} permits: ${saidBy(replies).slice(0, 400)}` };
  }

  async #ask(): Promise<Asked> {
    if (performance.now() > this.#token.until) {
      this.#token = { text: await tokenOf(this.#rig), until: performance.now() + SIGNED_IN_FOR_MS };
    }
    const { cast, servers } = this.#rig;
    const form = cast.exchange('nobody');
    const [detail] = JSON.parse(form['authorization_details'] ?? '[]') as Record<string, unknown>[];
    const exact = { ...detail, arguments: { path: `/tmp/${String(++this.#count)}` } };
    const reply = await servers[0].line.post('/token', {
      ...form,
      ...{ subject_token: this.#token.text, completion_mode: 'deferred' },
      authorization_details: JSON.stringify([exact]),
      ...cast.authentication('agt_planner'),
    });
    const page = textOf(reply, 'interaction_uri');
    return { id: page.split('/').at(-1) ?? '', code: textOf(reply, 'deferral_code'), at: Date.now() };
  }

  #poll({ code }: Asked): Act<Reply> {
    const { cast } = this.#rig;
    return (line) =>
      line.post('/token', {
        grant_type: 'urn:ietf:params:oauth:grant-type:deferred',
        deferral_code: code,
        ...cast.authentication('agt_planner'),
      });
  }

  /** One of the three, ready to be done: an answer by a form of the page of this device, or a look at the time by the agent. */
  async #doing(what: Answer, asked: Asked, device: number): Promise<Act<Reply>> {
    if (what === 'expire') return this.#poll(asked);
    const { browser } = await this.#device(device);
    const address = `${this.#rig.cast.issuer}/approvals/${asked.id}`;
    const { body } = await browser.get(address);
    const hidden = (name: string): string => new RegExp(`name="${name}" value="([^"]*)"`).exec(body)?.[1] ?? '';
    const form: Form = { token: hidden('token'), shown: hidden('shown'), action: what };
    return (line) => line.post(`/approvals/${asked.id}`, form, { cookie: browser.cookieHeader(address) });
  }

  async #device(n: number): Promise<Device> {
    const known = await this.#devices.get(n);
    if (known !== undefined && performance.now() < known.until) return known;
    const made = signedIn(this.#rig.cast.issuer);
    this.#devices.set(n, made);
    return made;
  }

  /** As if it had been asked five minutes ago, less the rest of this second. */
  async #endSoon({ id }: Asked): Promise<void> {
    await this.#query(
      `UPDATE approval SET expires_at = date_trunc('second', clock_timestamp()) + interval '1 second' WHERE id = $1`,
      [id],
    );
  }

  /** What became of it, in the order of the log. */
  async #records({ id }: Asked): Promise<readonly string[]> {
    const sql = `
      SELECT convert_from(leaf, 'UTF8')::jsonb -> 'facts' ->> 'what' AS what FROM log_leaf
      WHERE kind = 'approval' AND convert_from(leaf, 'UTF8')::jsonb -> 'facts' ->> 'approval' = $1 ORDER BY id`;
    const rows = await this.#query<{ what: string }>(sql, [id]);
    return rows.map(({ what }) => what).filter((what) => what !== 'asked');
  }

  /** One after the other: a connection of pg does one thing at a time. */
  #query<Row extends pg.QueryResultRow>(sql: string, values: readonly string[]): Promise<readonly Row[]> {
    const done = this.#queries.then(() => this.#client.query<Row>(sql, [...values])).then(({ rows }) => rows);
    this.#queries = done.catch(() => undefined);
    return done;
  }

  async #permits({ id }: Asked): Promise<number> {
    const sql = `
      SELECT count(*)::int AS number FROM log_leaf
      WHERE token_hash IS NOT NULL AND convert_from(leaf, 'UTF8')::jsonb -> 'facts' ->> 'approval' = $1`;
    const rows = await this.#query<{ number: number }>(sql, [id]);
    return rows[0]?.number ?? Number.NaN;
  }
}

type Answer = 'approve' | 'deny' | 'expire';
const PAIRS: readonly [readonly [Answer, Answer], ...(readonly [Answer, Answer])[]] = [
  ['approve', 'deny'],
  ['approve', 'expire'],
  ['deny', 'expire'],
  ['approve', 'approve'],
];

const nextSecond = (): Promise<void> => pause(1_000 - (Date.now() % 1_000) - 2);

async function tokenOf({ cast, servers }: Rig): Promise<string> {
  const form = {
    ...(await new Person(cast).codeForm('files:read files:write')),
    ...cast.authentication('agt_planner'),
  };
  return textOf(await servers[0].line.post('/token', form), 'access_token');
}

async function signedIn(issuer: string): Promise<Device> {
  const browser = new Browser();
  const atCompany = await browser.submit(await browser.get(`${issuer}/approvals`), {});
  const { email, password } = ALICE;
  const back = await browser.submit(atCompany, { email, password });
  if (!back.body.includes('<h1>Approvals</h1>')) throw new Error(`not signed in: ${back.body.slice(0, 200)}`);
  return { browser, until: performance.now() + SIGNED_IN_FOR_MS };
}
