import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Cerbos, permitting } from '../cerbos.js';
import type { Closing } from './closing.js';
import type { Reply } from './line.js';
import { Proxy } from './proxy.js';
import { type Bounds, openRig, type Rig } from './rig.js';
import { freePorts } from './server.js';

export type PdpResult = Readonly<{
  /** Begun and answered while Cerbos was down. */
  requests: number;
  refused: number;
  max_ms: number;
  /** From the return of Cerbos to the first exchange that it decided, the longest of all faults. */
  recovery_ms: number;
  faults: readonly Readonly<{ name: string; requests: number; refused: number; max_ms: number; recovery_ms: number }>[];
  /** Answers other than a permit or a refusal for want of the decision point, at any time. */
  unexpected: Readonly<Record<string, number>>;
}>;

/** What the issue asks for. */
export const PDP = { requests: 1_000, answerMs: 300, recoveryMs: 1_000 } as const;

const SENDERS = 4;

/** A real Cerbos, and what happens to it for a while. */
type Point = Readonly<{ cerbos: Cerbos; proxy: Proxy }>;
type Fault = Readonly<{ name: string; begin: () => Promise<void>; end: () => Promise<void> }>;

/** Exchanges without a pause while Cerbos, whom they need, is killed, stopped and garbled, and comes back each time. */
export async function pdp({ rounds, seconds, say }: Bounds): Promise<PdpResult> {
  const points: Point[] = [];
  const beside = async (closing: Closing, folder: string): Promise<object> => {
    const point = await openPoint(closing, folder);
    points.push(point);
    return { decisionPoints: [{ id: 'cerbos', discover: point.proxy.address, servers: '*' }] };
  };
  const rig = await openRig({ database: 'postgres', servers: 1, beside });
  try {
    const until = performance.now() + seconds * 1_000;
    const load = new Load(rig);
    const faults: PdpResult['faults'][number][] = [];
    for (let round = 0; round < rounds && performance.now() < until; round++)
      for (const fault of points.flatMap(faultsOf)) {
        const result = await suffer(fault, load, until);
        say(JSON.stringify(result));
        faults.push(result);
      }
    await load.stop();
    const sum = (of: (one: PdpResult['faults'][number]) => number): number =>
      faults.reduce((all, one) => all + of(one), 0);
    return {
      requests: sum(({ requests }) => requests),
      refused: sum(({ refused }) => refused),
      max_ms: Math.max(...faults.map(({ max_ms: ms }) => ms)),
      recovery_ms: Math.max(...faults.map(({ recovery_ms: ms }) => ms)),
      faults,
      unexpected: load.unexpected,
    };
  } finally {
    await rig.closing.close();
  }
}

async function openPoint(closing: Closing, folder: string): Promise<Point> {
  const [http = 0, grpc = 0, at = 0] = await freePorts(3);
  const cerbos = new Cerbos({
    folder: join(folder, 'cerbos'),
    ports: [http, grpc],
    policy: permitting('R.id == "write_file"'),
  });
  closing.add(
    () => cerbos.kill(),
    () => {
      cerbos.killNow();
    },
  );
  await cerbos.start();
  return { cerbos, proxy: await Proxy.before(http, at, closing) };
}

const faultsOf = ({ cerbos, proxy }: Point): readonly Fault[] => [
  { name: 'killed', begin: () => cerbos.kill(), end: () => cerbos.start() },
  {
    name: 'stopped',
    begin: async () => {
      cerbos.signal('SIGSTOP');
      await pause(50);
    },
    end: () => {
      cerbos.signal('SIGCONT');
      return Promise.resolve();
    },
  },
  {
    name: 'garbled',
    begin: () => {
      proxy.garble(garbling());
      return Promise.resolve();
    },
    end: () => {
      proxy.garble();
      return Promise.resolve();
    },
  },
];

/** Noise, an answer that ends in the middle, and a well-formed answer that says something else, in turn. */
function garbling(): (piece: Buffer) => Buffer {
  let count = 0;
  const ways: readonly ((piece: Buffer) => Buffer)[] = [
    (piece) => piece.map((byte) => byte ^ 0x55) as Buffer,
    (piece) => piece.subarray(0, piece.length >> 1),
    (piece) => {
      const end = piece.indexOf('\r\n\r\n');
      return Buffer.concat([piece.subarray(0, end + 4), Buffer.alloc(piece.length - end - 4, '{"decision":1} ')]);
    },
  ];
  return (piece) => ways[count++ % ways.length]?.(piece) ?? Buffer.alloc(0);
}

async function suffer(fault: Fault, load: Load, until: number): Promise<PdpResult['faults'][number]> {
  const permitted = load.permitted;
  await load.reaches(() => load.permitted >= permitted + 20);
  await fault.begin();
  const down = load.enter('down');
  await load.reaches(() => down.length >= PDP.requests / 3 || performance.now() > until);
  load.enter('ending');
  await load.reaches(() => load.underWay('down') === 0);
  await fault.end();
  const returned = performance.now();
  const back = load.enter('back');
  await load.reaches(() => back.some(isPermit));
  return {
    name: fault.name,
    requests: down.length,
    refused: down.filter(isSilence).length,
    max_ms: Math.round(Math.max(...down.map(({ ms }) => ms))),
    recovery_ms: Math.round(performance.now() - returned),
  };
}

const isPermit = ({ status }: Reply): boolean => status === 200;
const isSilence = ({ status, body }: Reply): boolean => status === 400 && body['remedy'] === 'try_again';

/** Exchanges without a pause; each belongs to the phase in which it began. */
class Load {
  permitted = 0;
  readonly unexpected: Record<string, number> = {};
  #phase = 'up';
  #replies: Reply[] = [];
  #isOver = false;
  readonly #underWay = new Map<string, number>();
  readonly #senders: Promise<void>;

  constructor(rig: Rig) {
    this.#senders = Promise.all(Array.from({ length: SENDERS }, () => this.#send(rig))).then(() => undefined);
  }

  /** Begins a phase; what it answers grows as the requests of this phase are answered. */
  enter(phase: string): readonly Reply[] {
    this.#phase = phase;
    this.#replies = [];
    return this.#replies;
  }

  underWay(phase: string): number {
    return this.#underWay.get(phase) ?? 0;
  }

  async reaches(isReached: () => boolean): Promise<void> {
    const deadline = performance.now() + 60_000;
    while (!isReached()) {
      if (performance.now() > deadline) throw new Error(`not reached: ${JSON.stringify(this.unexpected)}`);
      await pause(1);
    }
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#senders;
  }

  async #send({ servers: [server], cast }: Rig): Promise<void> {
    while (!this.#isOver) {
      const [phase, replies] = [this.#phase, this.#replies];
      this.#count(phase, 1);
      const reply = await server.line.post('/token', {
        ...cast.exchange('alice'),
        ...cast.authentication('agt_planner'),
      });
      this.#count(phase, -1);
      replies.push(reply);
      if (isPermit(reply)) this.permitted++;
      else if (!isSilence(reply)) {
        const what = JSON.stringify([reply.status, reply.why ?? reply.body['error_description']]);
        this.unexpected[what] = (this.unexpected[what] ?? 0) + 1;
      }
    }
  }

  #count(phase: string, by: number): void {
    this.#underWay.set(phase, this.underWay(phase) + by);
  }
}
