import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { type DecisionFigure, DecisionFigures } from './decision-figures.js';
import { furnish, liveSessions, lookAtArguments, multiply, startHouse } from './house.js';
import { bytesPerEntry, type Figures, proofs, recordedExchanges } from './log.js';
import { askOnce, fullLoad, median, quantile, type Request, rush, type Seen, steadyLoad } from './load.js';
import { makeKeys, type Mix, post, presigner, publicJwk } from './material.js';
import { hasChromium, pageTimes } from './pages.js';
import { reevaluation } from './reevaluation.js';
import { type DurablePostgres, startDurablePostgres } from './postgres.js';
import { beside, type Child, CORES, cpuSeconds, freePort, pin, start } from './process.js';

/** How long and how often; every bound of a run is here. */
export type Plan = Readonly<{
  rounds: number;
  seconds: number;
  growth: readonly number[];
  /** Entries of the log in which proofs are asked for. */
  entries: number;
  /** The most requests that one phase may send in a second; so many are signed beforehand. */
  maxRate: number;
  only: (name: string) => boolean;
  /** A main.js of another build, measured beside this one. */
  against: string | undefined;
  profileDir: string | undefined;
  say(line: string): void;
}>;

/** One thing that is measured: medians over the rounds. */
export type Figure = Readonly<{
  name: string;
  /** Answers in a second at full load, 32 in flight. */
  rate: number;
  /** Microseconds of the process' CPU for each answer; that of PostgreSQL apart. */
  cpu: number;
  databaseCpu: number | undefined;
  full: Percentiles;
  half: Percentiles;
  rssMb: number;
  failed: number;
}>;
export type Percentiles = Readonly<{ p50: number; p99: number }>;

export type Results = Readonly<{
  figures: readonly Figure[];
  verify: Readonly<Record<string, number>> | undefined;
  feed: Readonly<Record<string, number>> | undefined;
  audit: Readonly<Record<string, number>> | undefined;
  reevaluation: Readonly<Record<string, number>> | undefined;
  pages: Readonly<Record<string, number>> | undefined;
  decision: readonly DecisionFigure[];
  connect: readonly Readonly<{ name: string; p50: number; p99: number; worst: number }>[];
  growth: readonly Readonly<{ count: number; rate: number; cpu: number; rssMb: number; startSeconds: number }>[];
  processes: Readonly<{ one: number; two: number; ratio: number; oneCpu: number; twoCpu: number }> | undefined;
}>;

type Contender = Readonly<{
  name: string;
  child: Child;
  port: number;
  requests(count: number): readonly Request[];
  databaseCpu?: (() => number) | undefined;
}>;

const IN_FLIGHT = 32;
/** Requests before anything is measured. */
const WARM = 3_000;

/** Runs what the plan asks for. Everything it starts is stopped again, whatever happens. */
export async function measure(plan: Plan): Promise<Results> {
  const bench = await Bench.open(plan);
  try {
    const figures = await bench.compete();
    return {
      figures,
      connect: plan.only('connect') ? await bench.connect() : [],
      verify: plan.only('verify') ? await bench.verify() : undefined,
      feed: plan.only('feed') ? await bench.feed() : undefined,
      audit: plan.only('audit') ? await bench.audit() : undefined,
      reevaluation: plan.only('reevaluation') ? await bench.reevaluation() : undefined,
      pages: plan.only('pages') ? await bench.pages() : undefined,
      decision: plan.only('decision') ? await bench.decision() : [],
      growth: plan.only('growth') ? await bench.growth() : [],
      processes: plan.only('processes') ? await bench.processes() : undefined,
    };
  } finally {
    await bench.close();
  }
}

class Bench {
  readonly #plan: Plan;
  readonly #keys = makeKeys();
  readonly #issuer: string;
  readonly #postgres: DurablePostgres | undefined;
  readonly #children: Child[] = [];
  readonly #answered = new Map<string, number>();
  #databases = 0;
  /** The database of the server that records, and of the one that does not. */
  #logged: Readonly<{ with: string; without: string }> | undefined;
  #bytes: Figures = {};

  private constructor(plan: Plan, issuer: string, postgres: DurablePostgres | undefined) {
    this.#plan = plan;
    this.#issuer = issuer;
    this.#postgres = postgres;
  }

  static async open(plan: Plan): Promise<Bench> {
    const postgres = await startDurablePostgres();
    if (postgres === undefined)
      plan.say('No PostgreSQL programs on this machine: only the embedded database is measured.');
    return new Bench(plan, `http://127.0.0.1:${await freePort()}`, postgres);
  }

  /** Full load and half load for each contender in turn, round after round. */
  async compete(): Promise<readonly Figure[]> {
    const contenders = await this.#contenders();
    const rounds = new Map<string, Round[]>(contenders.map(({ name }) => [name, []]));
    for (const contender of contenders) await this.#warmUp(contender);
    for (let round = 0; round < this.#plan.rounds; round++) {
      for (const contender of contenders) {
        const seen = await this.#round(contender, this.#plan.seconds);
        rounds.get(contender.name)?.push(seen);
        this.#plan.say(
          `round ${round + 1}  ${contender.name.padEnd(28)} ${seen.rate.toFixed(0)}/s  ${seen.cpu.toFixed(0)} µs`,
        );
      }
    }
    if (this.#logged !== undefined && this.#postgres !== undefined) {
      const { with: logged, without } = this.#logged;
      if (recordedExchanges(this.#postgres, without) > 0) throw new Error('what should record nothing has recorded');
      this.#bytes = await bytesPerEntry(this.#postgres, logged);
    }
    await this.#stopAll();
    return contenders.map(({ name }) => figureOf(name, rounds.get(name) ?? []));
  }

  async #contenders(): Promise<readonly Contender[]> {
    const { only, against } = this.#plan;
    const contenders: Contender[] = [];
    const floor = async (name: string, remember: boolean, mix: Mix): Promise<void> => {
      const port = await freePort();
      const { agent, company } = this.#keys;
      const setup = { port, issuer: this.#issuer, remember, agent: publicJwk(agent), company: publicJwk(company) };
      const child = this.#keep(await start({ script: beside('floor'), args: [JSON.stringify(setup)], ready: /ready/ }));
      contenders.push({ name, child, port, requests: (count) => this.#signer.exchanges(count, mix) });
    };
    if (only('exchange') || only('embedded')) {
      await floor('floor fresh', false, { subject: 'fresh' });
      await floor('floor reused', true, { subject: 'reused' });
    }
    if (only('dpop')) await floor('floor dpop', false, { subject: 'fresh', dpop: true });
    if (only('library')) contenders.push(await this.#library());
    if (this.#postgres !== undefined && (only('exchange') || only('dpop') || only('introspection'))) {
      contenders.push(...(await this.#writ('postgres', this.#postgres, undefined)));
      if (against !== undefined) contenders.push(...(await this.#writ('against', this.#postgres, against)));
    }
    if (only('embedded')) contenders.push(...(await this.#writ('embedded', undefined, undefined)));
    if (this.#postgres !== undefined && only('policy')) contenders.push(...(await this.#policies(this.#postgres)));
    if (this.#postgres !== undefined && only('audit')) contenders.push(...(await this.#logs(this.#postgres)));
    if (this.#postgres !== undefined && only('sessions')) contenders.push(...(await this.#sessions(this.#postgres)));
    return contenders;
  }

  /** What the log costs an exchange: beside the same server with a commit that records nothing. */
  async #logs(postgres: DurablePostgres): Promise<readonly Contender[]> {
    const found: Contender[] = [];
    const databases: string[] = [];
    for (const [name, main] of [
      ['logged', undefined],
      ['unlogged', beside('unlogged')],
    ] as const) {
      const databaseUrl = this.#database(postgres);
      databases.push(`bench_${this.#databases}`);
      const house = this.#keep(await startHouse({ issuer: this.#issuer, databaseUrl, main }));
      await furnish(house, this.#keys);
      for (const subject of ['fresh', 'reused'] as const) {
        const requests = (count: number): readonly Request[] => this.#signer.exchanges(count, { subject });
        const databaseCpu = (): number => postgres.cpuSeconds();
        found.push({ name: `${name} ${subject}`, child: house, port: house.port, requests, databaseCpu });
      }
    }
    const [logged = '', unlogged = ''] = databases;
    this.#logged = { with: logged, without: unlogged };
    return found;
  }

  /** What an exchange costs beside live sessions, and with none: the same server twice. */
  async #sessions(postgres: DurablePostgres): Promise<readonly Contender[]> {
    const found: Contender[] = [];
    for (const [name, count] of [
      ['alone', 0],
      ['among', Math.min(100_000, this.#plan.entries)],
    ] as const) {
      const databaseUrl = this.#database(postgres);
      const house = this.#keep(await startHouse({ issuer: this.#issuer, databaseUrl }));
      await furnish(house, this.#keys);
      postgres.sql(`bench_${this.#databases}`, `${liveSessions(count)} VACUUM ANALYZE; CHECKPOINT;`);
      for (const subject of ['fresh', 'reused'] as const) {
        const requests = (n: number): readonly Request[] => this.#signer.exchanges(n, { subject });
        const databaseCpu = (): number => postgres.cpuSeconds();
        found.push({ name: `sessions ${name} ${subject}`, child: house, port: house.port, requests, databaseCpu });
      }
    }
    return found;
  }

  /** What the decision costs an exchange: beside a server that decides nothing, and one that keeps no decision's input. */
  async #policies(postgres: DurablePostgres): Promise<readonly Contender[]> {
    const found: Contender[] = [];
    const kinds = [
      ['policy', {}],
      ['permitting', { main: beside('permitting') }],
      ['not keeping', { settings: { WRIT_DECISION_INPUT_DAYS: '0' } }],
    ] as const;
    for (const [name, options] of kinds) {
      const databaseUrl = this.#database(postgres);
      const house = this.#keep(await startHouse({ issuer: this.#issuer, databaseUrl, ...options }));
      await furnish(house, this.#keys);
      await lookAtArguments(house);
      for (const kind of ['varied', 'repeating'] as const) {
        const requests = (count: number): readonly Request[] =>
          this.#signer.exchanges(count, { subject: 'reused', arguments: kind });
        const databaseCpu = (): number => postgres.cpuSeconds();
        found.push({ name: `${name} ${kind}`, child: house, port: house.port, requests, databaseCpu });
      }
    }
    return found;
  }

  /** The contenders that one Writ is. */
  async #writ(
    name: string,
    postgres: DurablePostgres | undefined,
    main: string | undefined,
  ): Promise<readonly Contender[]> {
    const { only, profileDir } = this.#plan;
    const databaseUrl = postgres && this.#database(postgres);
    const house = this.#keep(await startHouse({ issuer: this.#issuer, databaseUrl, main, profileDir }));
    await furnish(house, this.#keys);
    const { port } = house;
    const databaseCpu = postgres && (() => postgres.cpuSeconds());
    const contender = (kind: string, requests: Contender['requests']): Contender => ({
      name: `exchange ${name} ${kind}`,
      child: house,
      port,
      requests,
      databaseCpu,
    });
    const exchanges = (mix: Mix) => (count: number) => this.#signer.exchanges(count, mix);
    const found: Contender[] = [];
    if (only('exchange') || name === 'embedded') {
      found.push(contender('fresh', exchanges({ subject: 'fresh' })));
      found.push(contender('reused', exchanges({ subject: 'reused' })));
    }
    if (only('dpop') && name !== 'embedded') found.push(contender('dpop', exchanges({ subject: 'fresh', dpop: true })));
    if (only('introspection') && name !== 'embedded') {
      const tokens = await this.#tokens(port, 64);
      const requests = (count: number): readonly Request[] => this.#signer.introspections(count, tokens);
      found.push({ ...contender('', requests), name: `introspect ${name}` });
    }
    return found;
  }

  async #library(): Promise<Contender> {
    const port = await freePort();
    const child = this.#keep(
      await start({ script: beside('library'), args: [JSON.stringify({ port })], ready: /ready/ }),
    );
    const basic = `Basic ${Buffer.from('peer:peer-secret').toString('base64')}`;
    const request = post('/token', { grant_type: 'client_credentials', scope: 'files:read' }, { Authorization: basic });
    return { name: 'oidc-provider', child, port, requests: (count) => Array.from({ length: count }, () => request) };
  }

  /** What an auditor verifies on one core, how fast the log grows, and proofs in a large one. */
  async audit(): Promise<Figures> {
    const postgres = this.#postgres;
    const { rounds, seconds, entries } = this.#plan;
    const figures = { ...this.#bytes, ...(await this.#figures('auditor', { rounds, entries: 50_000 })) };
    if (postgres === undefined) return figures;
    const leaves = Math.ceil(seconds * 8_000);
    const sequencing = await this.#figures('sequencing', { url: this.#database(postgres), rounds, leaves });
    return { ...figures, ...sequencing, ...(await this.#proofs(postgres, entries)) };
  }

  /** Proofs by a server that finds a log of so many entries. */
  async #proofs(postgres: DurablePostgres, entries: number): Promise<Figures> {
    const [databaseUrl, dataDir] = [this.#database(postgres), mkdtempSync(join(tmpdir(), 'writ-bench-log-'))];
    const house = { issuer: this.#issuer, databaseUrl, dataDir };
    try {
      await (await startHouse(house)).stop();
      const { seconds } = await this.#figures('synthetic', {
        url: databaseUrl,
        dataDir,
        issuer: this.#issuer,
        entries,
      });
      this.#plan.say(`a log of ${entries} synthetic entries, made in ${seconds?.toFixed(0)} s`);
      const { port } = this.#keep(await startHouse(house));
      return await proofs(port, { entries, count: Math.ceil(this.#plan.seconds * 1_500) });
    } finally {
      await this.#stopAll();
      rmSync(dataDir, { recursive: true, force: true });
    }
  }

  /** Ten thousand live tokens that are decided over again, or fewer in a short run. */
  async reevaluation(): Promise<Figures | undefined> {
    const postgres = this.#postgres;
    if (postgres === undefined) return undefined;
    const databaseUrl = this.#database(postgres);
    const house = this.#keep(await startHouse({ issuer: this.#issuer, databaseUrl }));
    await furnish(house, this.#keys);
    await lookAtArguments(house);
    const figures = await reevaluation({
      ...{ house, postgres, database: `bench_${this.#databases}`, tokens: Math.min(10_000, this.#plan.entries) },
      seconds: this.#plan.seconds,
      exchanges: (count) => this.#signer.exchanges(count, { subject: 'reused', arguments: 'varied' }),
      beside: (count) => this.#signer.exchanges(count, { subject: 'reused' }),
    });
    await this.#stopAll();
    return figures;
  }

  /** What a script of its own measures. */
  async #figures(script: string, setup: object, core: string = CORES.server): Promise<Figures> {
    const child = this.#keep(await start({ script: beside(script), args: [JSON.stringify(setup)], core }));
    const text = (await child.ended).trim();
    if (text === '') throw new Error(`${script} measured nothing: ${child.complaint()}`);
    return z.record(z.string(), z.number()).parse(JSON.parse(text));
  }

  /** 128 clients that connect in the same moment, again and again. */
  async connect(): Promise<Results['connect']> {
    if (this.#postgres === undefined) return [];
    const house = this.#keep(await startHouse({ issuer: this.#issuer, databaseUrl: this.#database(this.#postgres) }));
    await furnish(house, this.#keys);
    const found: { name: string; p50: number; p99: number; worst: number }[] = [];
    for (const subject of ['fresh', 'reused'] as const) {
      await fullLoad(house, this.#signer.exchanges(WARM, { subject }), { connections: IN_FLIGHT, seconds: 10 });
      const times: number[] = [];
      for (let round = 0; round < this.#plan.rounds * 5; round++) {
        times.push(...(await rush(house, this.#signer.exchanges(128, { subject }))).times);
      }
      times.sort((a, b) => a - b);
      found.push({
        name: subject,
        p50: quantile(times, 0.5),
        p99: quantile(times, 0.99),
        worst: times.at(-1) ?? Number.NaN,
      });
    }
    await this.#stopAll();
    return found;
  }

  async verify(): Promise<Results['verify']> {
    const setup = { rounds: this.#plan.rounds * 2 + 1, milliseconds: this.#plan.seconds * 150 };
    return this.#figures('verifier', setup);
  }

  /** What a verifier keeps of a million revocations, and a thousand followers; fewer of both in a short run. */
  async feed(): Promise<Results['feed']> {
    const { entries: most, seconds } = this.#plan;
    const entries = Math.min(1_000_000, most);
    const kept = await this.#figures('deny-set', { entries, lookups: Math.ceil(seconds * 300_000) });
    const first = await this.#figures('snapshot', { entries });
    const verifiers = Math.min(100, Math.ceil(entries / 1_000));
    const setup = { verifiers, readers: verifiers * 9, revocations: Math.ceil(seconds * 10), seconds };
    const databaseUrl = this.#postgres && this.#database(this.#postgres);
    return { ...kept, ...first, ...(await this.#figures('followers', { ...setup, databaseUrl }, CORES.load)) };
  }

  /** The policy decision in sets of ever more policies and tools. */
  async decision(): Promise<Results['decision']> {
    const setup = { rounds: this.#plan.rounds, count: Math.ceil(this.#plan.seconds * 700) };
    const child = this.#keep(await start({ script: beside('decision'), args: [JSON.stringify(setup)] }));
    return DecisionFigures.parse(JSON.parse((await child.ended).trim()));
  }

  /** The same agent beside ever more others. */
  async growth(): Promise<Results['growth']> {
    if (this.#postgres === undefined) return [];
    const found: { count: number; rate: number; cpu: number; rssMb: number; startSeconds: number }[] = [];
    for (const count of this.#plan.growth) {
      const database = `bench_${++this.#databases}`;
      this.#postgres.create(database);
      const databaseUrl = this.#postgres.urlOf(database);
      const dataDir = mkdtempSync(join(tmpdir(), 'writ-bench-data-'));
      const options = { issuer: this.#issuer, databaseUrl, dataDir };
      const first = await startHouse(options);
      await furnish(first, this.#keys);
      await first.stop();
      // What follows such a change by itself would otherwise be measured with the load.
      this.#postgres.sql(database, `${multiply(count)} VACUUM ANALYZE; CHECKPOINT;`);
      const started = performance.now();
      const house = this.#keep(await startHouse(options));
      const startSeconds = (performance.now() - started) / 1_000;
      const contender: Contender = {
        name: `growth ${count}`,
        child: house,
        port: house.port,
        requests: (n) => this.#signer.exchanges(n, { subject: 'fresh' }),
      };
      await this.#warmUp(contender);
      const rounds: Load[] = [];
      for (let round = 0; round < this.#plan.rounds; round++)
        rounds.push(await this.#load(contender, this.#plan.seconds));
      found.push({
        count,
        rate: median(rounds.map(({ rate }) => rate)),
        cpu: median(rounds.map(({ cpu }) => cpu)),
        rssMb: house.rssMb(),
        startSeconds,
      });
      this.#plan.say(`growth ${count}  ${found.at(-1)?.rate.toFixed(0)}/s  ${found.at(-1)?.cpu.toFixed(0)} µs`);
      await this.#stopAll();
      rmSync(dataDir, { recursive: true, force: true });
    }
    return found;
  }

  /** Two processes on two cores over one database; the load shares the second, so it says less where there are only two. */
  async processes(): Promise<Results['processes']> {
    if (this.#postgres === undefined) return undefined;
    const databaseUrl = this.#database(this.#postgres);
    const first = this.#keep(await startHouse({ issuer: this.#issuer, databaseUrl }));
    await furnish(first, this.#keys);
    const second = this.#keep(
      await startHouse({ issuer: this.#issuer, databaseUrl, dataDir: first.dataDir, core: CORES.load }),
    );
    const both = [first, second];
    const count = Math.floor((this.#plan.maxRate * this.#plan.seconds) / 2);
    const run = async (ports: readonly number[]): Promise<{ rate: number; cpu: number }> => {
      const parts = ports.map(() => this.#signer.exchanges(count, { subject: 'fresh' }));
      const before = both.map(({ pid }) => cpuSeconds(pid));
      const seen = await Promise.all(
        ports.map((port, index) =>
          fullLoad({ port }, parts[index] ?? [], {
            connections: IN_FLIGHT / ports.length,
            seconds: this.#plan.seconds,
          }),
        ),
      );
      const answered = seen.reduce((sum, one) => sum + one.answered, 0);
      const spent = both.reduce((sum, { pid }, index) => sum + cpuSeconds(pid) - (before[index] ?? 0), 0);
      return { rate: seen.reduce((sum, one) => sum + one.answered / one.seconds, 0), cpu: (spent * 1e6) / answered };
    };
    await run([first.port, second.port]);
    const [one, two]: [{ rate: number; cpu: number }[], { rate: number; cpu: number }[]] = [[], []];
    for (let round = 0; round < this.#plan.rounds; round++) {
      one.push(await run([first.port]));
      two.push(await run([first.port, second.port]));
    }
    await this.#stopAll();
    const [rate1, rate2] = [median(one.map(({ rate }) => rate)), median(two.map(({ rate }) => rate))];
    const [cpu1, cpu2] = [median(one.map(({ cpu }) => cpu)), median(two.map(({ cpu }) => cpu))];
    return { one: rate1, two: rate2, ratio: rate2 / rate1, oneCpu: cpu1, twoCpu: cpu2 };
  }

  async pages(): Promise<Results['pages']> {
    const { rounds, say } = this.#plan;
    if (!hasChromium) {
      say('No Chromium on this machine: pages are not measured.');
      return undefined;
    }
    // A browser has both cores, as on a person's own machine; it runs beside the server here, in this process.
    pin(process.pid, `${CORES.server},${CORES.load}`);
    const found = await pageTimes(rounds, say);
    pin(process.pid, CORES.load);
    return found;
  }

  async close(): Promise<void> {
    await this.#stopAll();
    await this.#postgres?.stop();
  }

  get #signer(): ReturnType<typeof presigner> {
    return (this.#presigner ??= presigner(this.#issuer, this.#keys));
  }
  #presigner: ReturnType<typeof presigner> | undefined;

  /** Until the compiler has seen enough; slow machines get ten seconds for it. */
  async #warmUp(contender: Contender): Promise<void> {
    const requests = contender.requests(WARM);
    const { answered, seconds } = await fullLoad(contender, requests, { connections: IN_FLIGHT, seconds: 10 });
    this.#answered.set(contender.name, answered / seconds);
  }

  async #round(contender: Contender, seconds: number): Promise<Round> {
    const full = await this.#load(contender, seconds);
    const rate = full.rate / 2;
    const half = await steadyLoad(contender, contender.requests(Math.ceil(rate * seconds)), {
      rate,
      seconds,
      connections: IN_FLIGHT * 2,
    });
    return { ...full, half, rssMb: contender.child.rssMb() };
  }

  async #load(contender: Contender, seconds: number): Promise<Load> {
    // Twice what it answered last time is enough, and signing more than that takes longer than the load itself.
    const rate = Math.min(this.#plan.maxRate, 2 * (this.#answered.get(contender.name) ?? this.#plan.maxRate / 4));
    const requests = contender.requests(Math.ceil(rate * seconds));
    const [before, databaseBefore] = [contender.child.cpuSeconds(), contender.databaseCpu?.() ?? 0];
    const full = await fullLoad(contender, requests, { connections: IN_FLIGHT, seconds });
    const cpu = ((contender.child.cpuSeconds() - before) * 1e6) / full.answered;
    const databaseCpu = contender.databaseCpu && ((contender.databaseCpu() - databaseBefore) * 1e6) / full.answered;
    this.#answered.set(contender.name, full.answered / full.seconds);
    return { full, rate: full.answered / full.seconds, cpu, databaseCpu };
  }

  /** Tokens of the measured server, to be introspected. */
  async #tokens(port: number, count: number): Promise<readonly string[]> {
    const tokens: string[] = [];
    for (const request of this.#signer.exchanges(count, { subject: 'fresh' })) {
      const { status, body } = await askOnce({ port }, request);
      if (status !== 200) throw new Error(`the exchange was refused: ${status} ${body}`);
      tokens.push(z.object({ access_token: z.string() }).parse(JSON.parse(body)).access_token);
    }
    return tokens;
  }

  #database(postgres: DurablePostgres): string {
    const name = `bench_${++this.#databases}`;
    postgres.create(name);
    return postgres.urlOf(name);
  }

  #keep<C extends Child>(child: C): C {
    this.#children.push(child);
    return child;
  }

  async #stopAll(): Promise<void> {
    for (const child of this.#children.splice(0).reverse()) await child.stop();
  }
}

type Load = Readonly<{ full: Seen; rate: number; cpu: number; databaseCpu: number | undefined }>;
type Round = Load & Readonly<{ half: Seen; rssMb: number }>;

function figureOf(name: string, rounds: readonly Round[]): Figure {
  const mid = (of: (round: Round) => number): number => median(rounds.map(of));
  const percentiles = (of: (round: Round) => Seen): Percentiles => ({
    p50: mid((round) => quantile(of(round).times, 0.5)),
    p99: mid((round) => quantile(of(round).times, 0.99)),
  });
  return {
    name,
    rate: mid(({ rate }) => rate),
    cpu: mid(({ cpu }) => cpu),
    databaseCpu: rounds.some(({ databaseCpu }) => databaseCpu !== undefined)
      ? mid(({ databaseCpu = 0 }) => databaseCpu)
      : undefined,
    full: percentiles(({ full }) => full),
    half: percentiles(({ half }) => half),
    rssMb: mid(({ rssMb }) => rssMb),
    failed: rounds.reduce((sum, { full, half }) => sum + full.failed + half.failed, 0),
  };
}
