import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { textOf } from '../drill/line.js';
import { openRig, type Rig } from '../drill/rig.js';
import { formCase } from './forms.js';
import { headerCase } from './headers.js';
import { jsonCase } from './json.js';
import { jwtCase } from './jwt.js';
import { type Case, DOMAIN, type MakeCase, Material } from './material.js';
import { Pulse } from './pulse.js';
import { Random } from './random.js';
import { type Outcome, send } from './wire.js';

export const MAKERS = { forms: formCase, headers: headerCase, jwt: jwtCase, json: jsonCase } as const satisfies Record<
  string,
  MakeCase
>;
export type Kind = keyof typeof MAKERS;
export const KINDS: readonly Kind[] = ['forms', 'headers', 'jwt', 'json'];

export type FuzzOptions = Readonly<{
  seconds: number;
  seed: string;
  kinds: readonly Kind[];
  /** This one alone, with its request and answer shown. */
  only: number | undefined;
  say: (line: string) => void;
}>;

export type Finding = Readonly<{
  kind: Kind;
  case: number;
  route: string;
  what: string;
  request: string;
  answer: string;
}>;
export type Memory = Readonly<{ heap_mb: number; rss_mb: number }>;
export type FuzzResult = Readonly<{
  seed: string;
  cases: Readonly<Record<string, number>>;
  statuses: Readonly<Record<string, number>>;
  slowest_ms: number;
  found: number;
  findings: readonly Finding[];
  before: Memory;
  after: Memory;
  exchanges_at_end: boolean;
}>;

/** How much more a server may hold after a run than after its first requests. What a database caches counts in `rss`. */
export const MAY_GROW_MB = { heap: 24, rss: 192 } as const;

const AT_ONCE = 8;
const WARM_UP = 1_500;

/** Broken requests without end against a real server; what it must never do is found and told so that it can be had again. */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { seconds, say } = options;
  const env = {
    WRIT_TRUST_DOMAIN: DOMAIN,
    NODE_OPTIONS: `--import=${fileURLToPath(new URL('./memory.js', import.meta.url))}`,
    FUZZ_MEMORY_FILE: join(process.env['TMPDIR'] ?? '/tmp', `writ-fuzz-${process.pid}.json`),
  };
  const rig = await openRig({ database: 'embedded', servers: 1, env });
  const pulse = new Pulse(Number(new URL(rig.servers[0].address).port));
  try {
    const material = new Material(rig.cast, rig.adminToken);
    const run = new Run(options, material, pulse);
    if (!(await exchanges(rig, material))) throw new Error('the server does not exchange to begin with');
    if (options.only !== undefined) await run.show(options.only);
    else await run.cases(0, WARM_UP, Infinity);
    const before = await memoryOf(rig, env.FUZZ_MEMORY_FILE);
    const until = performance.now() + seconds * 1_000;
    for (let from = WARM_UP; options.only === undefined && performance.now() < until; from += EACH) {
      await run.cases(from, from + EACH, until);
      if (!(await exchanges(rig, material)))
        throw new Error(`no exchange after case ${from + EACH}: ${rig.servers[0].said}`);
      say(run.line());
    }
    const sound = await exchanges(rig, material);
    const after = await memoryOf(rig, env.FUZZ_MEMORY_FILE);
    if (run.findings.length > 0) say(rig.servers[0].said);
    return { ...run.result(), before, after, exchanges_at_end: sound };
  } catch (thrown) {
    say(rig.servers[0].said);
    throw thrown;
  } finally {
    pulse.stop();
    await rig.closing.close();
    rmSync(env.FUZZ_MEMORY_FILE, { force: true });
  }
}

const EACH = 2_000;

class Run {
  readonly findings: Finding[] = [];
  readonly #options: FuzzOptions;
  readonly #material: Material;
  readonly #pulse: Pulse;
  readonly #cases: Record<string, number> = {};
  readonly #statuses: Record<string, number> = {};
  #found = 0;
  #slowest = 0;

  constructor(options: FuzzOptions, material: Material, pulse: Pulse) {
    this.#pulse = pulse;
    this.#options = options;
    this.#material = material;
  }

  async cases(from: number, to: number, until: number): Promise<void> {
    let next = from;
    const worker = async (): Promise<void> => {
      while (next < to && performance.now() < until) await this.#one(next++);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }

  async show(n: number): Promise<void> {
    const { made, outcome } = await this.#one(n);
    this.#options.say(
      `${made.bytes.toString('latin1')}\n\n${outcome.status ?? 'no answer'} in ${Math.round(outcome.ms)} ms\n${outcome.head}\n\n${outcome.body}`,
    );
  }

  async #one(n: number): Promise<Readonly<{ made: Case; outcome: Outcome }>> {
    const { kinds, seed } = this.#options;
    const kind = kinds[n % kinds.length] ?? 'forms';
    const make = (): Case => MAKERS[kind](this.#material, new Random(`${seed} ${kind} ${n}`));
    const wasBusy = (since: number): boolean => this.#pulse.wasBusy(since);
    let made = make();
    let began = performance.now();
    let outcome = await send(this.#material.port, made, wasBusy);
    // A busy server tells late ones to come back, and that is what they do.
    for (let again = 0; again < 5 && isToldToComeBack(outcome) && wasBusy(began); again++) {
      await pause(1_000);
      [made, began] = [make(), performance.now()];
      outcome = await send(this.#material.port, made, wasBusy);
    }
    this.#cases[kind] = (this.#cases[kind] ?? 0) + 1;
    const status = String(outcome.status ?? 'none');
    this.#statuses[status] = (this.#statuses[status] ?? 0) + 1;
    this.#slowest = Math.max(this.#slowest, outcome.status === undefined ? 0 : outcome.ms);
    const what = wrongWith(outcome, made);
    if (what !== undefined)
      this.#keep({
        kind,
        case: n,
        route: made.route,
        what,
        request: made.bytes.toString('latin1').slice(0, 6_000),
        answer: `${outcome.head}\n\n${outcome.body}`.slice(0, 2_000),
      });
    return { made, outcome };
  }

  /** The first of its sort is told, and as many as a reader can bear are kept. */
  #keep(finding: Finding): void {
    const { say, seed, kinds } = this.#options;
    this.#found += 1;
    const isNew = !this.findings.some(({ route, what }) => route === finding.route && what === finding.what);
    if (!isNew || this.findings.length >= 20) return;
    this.findings.push(finding);
    const only = kinds.length === 1 ? ` --only ${finding.kind}` : '';
    say(`${finding.what} at ${finding.route}; again by: npm run fuzz -- --seed ${seed}${only} --case ${finding.case}`);
  }

  line(): string {
    const total = Object.values(this.#cases).reduce((sum, count) => sum + count, 0);
    return `${total} cases, ${this.#found} findings, slowest answer ${Math.round(this.#slowest)} ms, by status ${JSON.stringify(this.#statuses)}`;
  }

  result(): Omit<FuzzResult, 'before' | 'after' | 'exchanges_at_end'> {
    return {
      seed: this.#options.seed,
      cases: this.#cases,
      statuses: this.#statuses,
      slowest_ms: Math.round(this.#slowest),
      found: this.#found,
      findings: this.findings,
    };
  }
}

/** After the five seconds that every answer has. */
const isToldToComeBack = ({ status, head, ms }: Outcome): boolean =>
  status === 503 && ms >= 4_500 && /^retry-after:/im.test(head);

/** What no broken request may get: a 5xx, silence, or a look inside. */
function wrongWith({ status, head, body }: Outcome, { isWhole }: Case): string | undefined {
  if (status === undefined) return 'no answer in 5 s';
  if (status === 0) return isWhole ? 'closed without an answer' : undefined;
  if (status >= 500) return `status ${status}`;
  const inside = INSIDE.exec(`${head}\n${body}`)?.[0];
  return inside === undefined ? undefined : `the answer shows ${inside.slice(0, 40)}`;
}

/** Stacks, statements and places in code. */
const INSIDE =
  /\n\s+at \S+ \(|node_modules\/|\bPrisma\w+|\bSELECT [^"]{1,80} FROM\b|\bINSERT INTO\b|file:\/\/\/|\/src\/\w+\//;

/** A server that is busy may say that it is, and be asked again. */
async function exchanges(rig: Rig, material: Material): Promise<boolean> {
  for (let tried = 1; ; tried++) {
    const statuses = await statusesOfExchanges(rig, material);
    if (statuses.every((status) => status === 200)) return true;
    if (tried === MAY_BE_BUSY || !statuses.includes(503)) return false;
    await pause(1_000);
  }
}

const MAY_BE_BUSY = 10;

/** The registry as it was, and sound exchanges: the tokens of them are for the cases to come. */
async function statusesOfExchanges(
  { servers: [server], adminToken }: Rig,
  material: Material,
): Promise<readonly number[]> {
  const applied = await server.line.json('POST', '/admin/v1/apply', adminToken, {
    ...material.registry(),
    prune: true,
  });
  const replies = [];
  for (let n = 0; n < 3; n++) replies.push(await server.line.post('/token', material.exchange()));
  material.issued = replies.filter(({ status }) => status === 200).map((reply) => textOf(reply, 'access_token'));
  return [applied, ...replies].map(({ status }) => status);
}

const Usage = z.object({ heapUsed: z.number(), external: z.number(), rss: z.number() });

/** Asks the server to collect its garbage and say what is left (see memory.ts). */
async function memoryOf({ servers: [{ pid }] }: Rig, file: string): Promise<Memory> {
  rmSync(file, { force: true });
  if (pid === undefined) throw new Error('the server has ended');
  process.kill(pid, 'SIGUSR2');
  for (let waited = 0; waited < 10_000; waited += 50) {
    await pause(50);
    const usage = Usage.safeParse(read(file));
    if (!usage.success) continue;
    const mb = (bytes: number): number => Math.round(bytes / 1_048_576);
    return { heap_mb: mb(usage.data.heapUsed), rss_mb: mb(usage.data.rss) };
  }
  throw new Error('the server does not tell its memory');
}

function read(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
