import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { admin, asked, type House } from './house.js';
import { fullLoad, quantile, type Request, type Seen, steadyLoad } from './load.js';
import type { Figures } from './log.js';
import { POLICIES, RESOURCE } from './material.js';
import type { DurablePostgres } from './postgres.js';

/** Exchanges in a second while tokens are decided over again: what others wait meanwhile. */
const BESIDE_PER_S = 100;
const LONGEST_S = 60;
/** As many as the policies that follow let go: half. */
const ODD = ['1', '3', '5', '7', '9'].map((digit) => `context.arguments.path like "*${digit}.txt"`).join(' || ');
const NARROWER = `${POLICIES}
  @id("odd") forbid(principal, action == Action::"${RESOURCE}#find_file", resource)
    when { context has arguments && (${ODD}) };`;

type Setup = Readonly<{
  house: House;
  postgres: DurablePostgres;
  database: string;
  tokens: number;
  /** How long others are looked at alone. */
  seconds: number;
  /** Exchanges with arguments that no other has, for the tokens that are decided over again. */
  exchanges(count: number): readonly Request[];
  /** Exchanges that both policy sets permit, beside it. */
  beside(count: number): readonly Request[];
}>;

/** How long a preview and the re-evaluation of so many live tokens take, what others wait meanwhile, and its memory. */
export async function reevaluation(setup: Setup): Promise<Figures> {
  const { house, postgres, database, tokens } = setup;
  const minted = await fullLoad(house, setup.exchanges(tokens), { connections: 32, seconds: LONGEST_S });
  if (minted.answered < tokens) throw new Error(`only ${minted.answered} of ${tokens} tokens were minted`);
  const alone = await whileBusy(setup, () => pause(setup.seconds * 1_000));
  const staged = await admin(house, 'policies', { files: [{ path: 'bench.cedar', text: NARROWER }] });
  const { hash } = z.object({ hash: z.string() }).parse(staged);
  const preview = await whileBusy(setup, () => previewOf(house, hash));
  const ended = (): number => Number(postgres.sql(database, ENDED));
  const before = ended();
  const work = await whileBusy(setup, async () => {
    await admin(house, `policies/${encodeURIComponent(hash)}/activate`, undefined);
    while (ended() - before < preview.done.lost) await pause(100);
  });
  return {
    ...{ tokens: preview.done.considered, lost: preview.done.lost, undecided: preview.done.undecided },
    ...{ preview_ms: preview.ms, preview_mb: preview.mb, work_ms: work.ms, work_mb: work.mb },
    ...{ alone_p99_ms: alone.p99, preview_p99_ms: preview.p99, work_p99_ms: work.p99 },
    ...{ alone_worst_ms: alone.worst, preview_worst_ms: preview.worst, work_worst_ms: work.worst },
  };
}

const ENDED = `SELECT count(*) FROM revocation WHERE target LIKE 'token:%'`;

const Effect = z.object({
  considered: z.number(),
  undecided: z.number(),
  tokens: z.number(),
  next: z.string().nullable(),
});

/** All parts of what the set would end. */
async function previewOf(
  house: House,
  hash: string,
): Promise<Readonly<{ considered: number; lost: number; undecided: number }>> {
  const sum = { considered: 0, lost: 0, undecided: 0 };
  for (let after: string | null = '0'; after !== null;) {
    const part: z.infer<typeof Effect> = Effect.parse(
      await asked(house, `policies/${encodeURIComponent(hash)}/effect?after=${after}`),
    );
    sum.considered += part.considered;
    sum.undecided += part.undecided;
    sum.lost += part.tokens;
    after = part.next;
  }
  return sum;
}

type Busy<T> = Readonly<{ done: T; ms: number; p99: number; worst: number; mb: number }>;

/** Milliseconds that it takes, what exchanges wait meanwhile, and by how much the memory grows at most. */
async function whileBusy<T>({ house, beside }: Setup, work: () => Promise<T>): Promise<Busy<T>> {
  const memory = house.rssMb();
  let [most, isOver] = [memory, false];
  const watch = (async () => {
    while (!isOver) {
      most = Math.max(most, house.rssMb());
      await pause(20);
    }
  })();
  const started = performance.now();
  const waits: Seen[] = [];
  const load = (async () => {
    while (!isOver && performance.now() - started < LONGEST_S * 1_000)
      waits.push(await steadyLoad(house, beside(BESIDE_PER_S), { rate: BESIDE_PER_S, seconds: 1, connections: 64 }));
  })();
  const done = await work().finally(() => (isOver = true));
  const ms = performance.now() - started;
  await Promise.all([watch, load]);
  const failed = waits.reduce((sum, one) => sum + one.failed, 0);
  if (failed > 0) throw new Error(`${failed} exchanges beside it were refused`);
  const times = waits.flatMap((one) => one.times).sort((a, b) => a - b);
  return { done, ms, p99: quantile(times, 0.99), worst: times.at(-1) ?? Number.NaN, mb: most - memory };
}
