import { setTimeout as pause } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { RESOURCE } from './cast.js';
import { BOUND_MS, type Ended, Following } from './following.js';
import { textOf } from './line.js';
import { type Bounds, openRig, type Rig } from './rig.js';
import type { ServerProcess } from './server.js';

export type RevokeResult = Readonly<{
  revocations: number;
  verifiers: number;
  kills: number;
  /** Calls that ran, or were let through, too long after their revocation; see {@link isMissed}. */
  missed: number;
  /** Of the calls, one for each revocation and verifier: those that ran until their revocation stopped them. */
  measured: number;
  /** Calls that their verifier ended, or never began, because it had heard nothing for as long as it may. */
  stopped_blind: number;
  /** Calls with a good token, not yet revoked, that a verifier with a young feed refused or ended. */
  false_refusals: number;
  /** From the request that revoked to the end of the call, at verifiers that were connected all that time. */
  p50_ms: number;
  p99_ms: number;
  /** The longest at a verifier that was cut off meanwhile, and had to find the other process first. */
  cut_off_ms: number;
  /** The longest that this process, in which all verifiers are, stood still: no verifier is blamed for that. */
  stood_still_ms: number;
}>;

const TOKENS = 10;
/** Between two revocations of a storm. */
const EVERY_MS = 100;
/** What a verifier that is connected promises. */
const CONNECTED_MS = 1_000;
/** How often a verifier looks at its calls, and a little. */
const LOOK_MS = 200;
const KINDS = ['session', 'token', 'transaction', 'person'] as const;
type Kind = (typeof KINDS)[number];

/** Verifiers that follow the feed of two processes over one database; one process is killed in the middle of each storm of revocations. */
export async function revoke({ rounds, seconds, say }: Bounds, verifiers: number): Promise<RevokeResult> {
  const rig = await openRig({ database: 'postgres', servers: 2 });
  const all = Array.from({ length: verifiers }, (_, n) => new Following(rig, n));
  const stills = new Stills();
  const watch = setInterval(() => {
    stills.tick();
  }, Stills.EVERY_MS);
  try {
    await pause(1_500); // until the second process has read the registry that the first was given
    const began = performance.now();
    const tally = new Tally(say, stills);
    for (let round = 0; round < rounds && performance.now() - began < seconds * 1_000; round++) {
      await storm(rig, round, all, tally);
      say(`${round + 1} kills: ${JSON.stringify(tally.result())}`);
    }
    const result = { ...tally.result(), verifiers };
    for (const flaw of flawsOf(result)) say(flaw);
    return result;
  } finally {
    clearInterval(watch);
    await Promise.all(all.map((verifier) => verifier.close()));
    await rig.closing.close();
  }
}

/** Why a drill with this result has failed. One that measured little has shown nothing. */
export function flawsOf(result: RevokeResult): readonly string[] {
  const { revocations, verifiers, measured, missed, false_refusals: refused, p99_ms: p99 } = result;
  const wanted = Math.ceil((revocations * verifiers) / 4);
  return [
    ...(revocations === 0 ? ['nothing was revoked'] : []),
    ...(measured < wanted ? [`only ${measured} refusals were measured, and ${wanted} are needed`] : []),
    ...(missed > 0 ? [`${missed} calls outlived their revocation`] : []),
    ...(refused > 0 ? [`${refused} calls were refused that nothing was against`] : []),
    ...(p99 > CONNECTED_MS ? [`p99 is ${p99} ms, above ${CONNECTED_MS} ms`] : []),
  ];
}

async function storm(rig: Rig, round: number, verifiers: readonly Following[], tally: Tally): Promise<void> {
  const tokens = await Promise.all(Array.from({ length: TOKENS }, (_, n) => mint(rig, `${round}-${n}`)));
  const calls = tokens.map((token) => verifiers.map((verifier) => verifier.call(token)));
  await pause(2_000); // until every call runs
  const victim: ServerProcess = rig.servers[round % rig.servers.length] ?? rig.servers[0];
  const revoked = tokens.map(async (token, n) => {
    await pause(n * EVERY_MS);
    const revocation = await revokeOne(rig, token, KINDS[n % KINDS.length] ?? 'session');
    tally.revocations++;
    await Promise.all(
      verifiers.map(async (verifier, at) => {
        const ended = await calls[n]?.[at];
        const isAdmitted =
          ended !== undefined &&
          hasRun(ended) &&
          ended.how !== 'late' &&
          ended.ms > revocation.acknowledged &&
          (await verifier.admits(token));
        if (ended !== undefined) tally.note(verifier, at, { ...revocation, ended, isAdmitted });
      }),
    );
  });
  await pause((TOKENS * EVERY_MS) / 2);
  await victim.kill();
  tally.kills++;
  await pause(300);
  await victim.start();
  await Promise.all(revoked);
}

/** `first` is when it was asked for the first time: from then on it may have happened, whoever heard of it. */
type Revocation = Readonly<{ kind: Kind; number: unknown; first: number; from: number; acknowledged: number }>;
type Pair = Revocation & Readonly<{ ended: Ended; isAdmitted: boolean }>;

class Tally {
  revocations = 0;
  kills = 0;
  readonly #say: Bounds['say'];
  readonly #stills: Stills;
  readonly #count = { missed: 0, stopped_blind: 0, false_refusals: 0 };
  readonly #waits: number[] = [];
  readonly #cutOff: number[] = [];

  constructor(say: Bounds['say'], stills: Stills) {
    this.#say = say;
    this.#stills = stills;
  }

  note(verifier: Following, at: number, pair: Pair): void {
    const { ended, from, kind, number, acknowledged } = pair;
    if (isFalse(verifier, pair)) this.#wrong(verifier, at, pair);
    else if (isBlind(ended)) this.#blind(verifier, at, ended);
    else if (ended.how === 'stopped' && ended.ms >= from)
      (verifier.wasConnected(from, ended.ms) ? this.#waits : this.#cutOff).push(ended.ms - from);
    if (!isMissed(verifier, pair, this.#stills)) return;
    this.#count.missed++;
    const [after, silence] = [ended.ms - acknowledged, verifier.silenceMs(ended.ms)].map(Math.round);
    const standing = `${after} ms after, feed ${silence} ms old at ${verifier.position}, follows ${verifier.follows}`;
    this.#say(
      `missed: ${kind} ${String(number)} by ${at}: ${ended.how} ${ended.why} ${standing}, let through: ${pair.isAdmitted}`,
    );
  }

  #wrong(verifier: Following, at: number, { kind, first, ended: { how, why, ms } }: Pair): void {
    this.#count.false_refusals++;
    const standing = `feed ${verifier.silenceMs(ms)} ms old at ${verifier.position}`;
    this.#say(
      `refused: ${kind} by ${at}: ${how} ${why} ${Math.round(first - ms)} ms before it was revoked, ${standing}`,
    );
  }

  #blind(verifier: Following, at: number, { ms, why }: Ended): void {
    if (this.#count.stopped_blind++ % 10 === 0)
      this.#say(`blind: ${at} after ${verifier.silenceMs(ms)} ms at ${verifier.follows}: ${why}`);
  }

  result(): Omit<RevokeResult, 'verifiers'> {
    return {
      revocations: this.revocations,
      kills: this.kills,
      measured: this.#waits.length + this.#cutOff.length,
      ...this.#count,
      p50_ms: rankOf(this.#waits, 0.5),
      p99_ms: rankOf(this.#waits, 0.99),
      cut_off_ms: rankOf(this.#cutOff, 1),
      stood_still_ms: Math.round(this.#stills.since(-Infinity)),
    };
  }
}

const isBlind = ({ how }: Ended): boolean => how === 'blind' || how === 'unbegun';
const hasRun = ({ how }: Ended): boolean => how !== 'refused' && how !== 'unbegun';

/** Before anybody asked for its revocation; and who says that it saw nothing must have heard nothing. */
function isFalse(verifier: Following, { ended, first }: Pair): boolean {
  return ended.ms < first && ended.how !== 'late' && (!isBlind(ended) || verifier.silenceMs(ended.ms) < BOUND_MS / 2);
}

/** A second after the acknowledgement at a verifier that heard the feed all the time; beyond the bound at any. */
function isMissed(verifier: Following, { ended, acknowledged, isAdmitted }: Pair, stills: Stills): boolean {
  const isConnected = verifier.wasConnected(acknowledged, acknowledged + CONNECTED_MS);
  const due = acknowledged + (isConnected ? CONNECTED_MS : BOUND_MS + LOOK_MS) + stills.since(acknowledged);
  return isAdmitted || (hasRun(ended) && ended.ms > due);
}

/** For how long this process stood still, and when: a machine that is busy with something else stops verifiers too. */
class Stills {
  static readonly EVERY_MS = 20;
  readonly #seen: Readonly<{ at: number; ms: number }>[] = [];
  #last = performance.now();

  tick(): void {
    const now = performance.now();
    const ms = now - this.#last - Stills.EVERY_MS;
    if (ms > Stills.EVERY_MS) this.#seen.push({ at: now, ms });
    this.#last = now;
  }

  /** The longest since then. */
  since(from: number): number {
    return this.#seen.reduce((longest, { at, ms }) => (at >= from ? Math.max(longest, ms) : longest), 0);
  }
}

async function mint({ servers, cast }: Rig, person: string): Promise<string> {
  const form = { ...cast.exchange(person), authorization_details: READ, ...cast.authentication('agt_planner') };
  return textOf(await servers[0].line.post('/token', form), 'access_token');
}

const READ = JSON.stringify([
  { type: 'mcp_tool_call', locations: [RESOURCE], actions: ['tools/call'], identifier: 'read_file' },
]);

type Named = Readonly<{ sub: string; jti: string; txn: string; writ: Readonly<{ session: string }> }>;

/** At either process until one says that it is done; answers when the request that was acknowledged began and ended. */
async function revokeOne({ servers, adminToken }: Rig, token: string, kind: Kind): Promise<Revocation> {
  const { sub, jti, txn, writ } = decodeJwt<Named>(token);
  const order = { [kind]: { session: writ.session, token: jti, transaction: txn, person: sub }[kind], reason: 'drill' };
  const first = performance.now();
  for (let tried = 0; ; tried++) {
    const server = servers[Math.floor(Math.random() * servers.length)] ?? servers[0];
    const from = performance.now();
    const { status, body } = await server.line.json('POST', '/admin/v1/revocations', adminToken, order);
    if (status === 201) return { kind, number: body['number'], first, from, acknowledged: performance.now() };
    if (tried === 500) throw new Error(`revoke: ${status} ${JSON.stringify(body)}`);
    await pause(20);
  }
}

function rankOf(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.ceil(sorted.length * part) - 1] ?? 0);
}
