import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** A whole HTTP/1.1 request as it goes over the wire, made before anything is measured. */
export type Request = Buffer;

/** What one phase of load saw. Times are milliseconds, sorted. */
export type Seen = Readonly<{ answered: number; failed: number; seconds: number; times: readonly number[] }>;

export type Aim = Readonly<{ port: number; host?: string }>;

/** Keeps so many requests in flight until the time is over or the requests are. */
export async function fullLoad(
  aim: Aim,
  requests: readonly Request[],
  { connections, seconds }: Readonly<{ connections: number; seconds: number }>,
): Promise<Seen> {
  const lines = await open(aim, connections);
  const tally = new Tally();
  const until = tally.started + seconds * 1_000;
  let next = 0;
  await Promise.all(
    lines.map(async (line) => {
      for (let request = requests[next++]; request !== undefined; request = requests[next++]) {
        const sent = performance.now();
        if (sent >= until) return;
        tally.note(await line.ask(request), sent);
      }
    }),
  );
  return close(lines, tally);
}

/** Sends at a steady rate, whether answers come or not; a wait for a free connection counts as the server's. */
export async function steadyLoad(
  aim: Aim,
  requests: readonly Request[],
  { rate, seconds, connections }: Readonly<{ rate: number; seconds: number; connections: number }>,
): Promise<Seen> {
  const all = await open(aim, connections);
  const free = [...all];
  const tally = new Tally();
  const wanted = Math.min(requests.length, Math.floor(rate * seconds));
  const waiting: Promise<void>[] = [];
  const send = (line: Line, request: Request, dueAt: number): void => {
    const work = line.ask(request).then((status) => {
      tally.note(status, dueAt);
      free.push(line);
    });
    waiting.push(work);
  };
  let sent = 0;
  // Twice the time is enough for any server that keeps up; what is not sent by then counts as failed.
  for (let passed = 0; sent < wanted && passed < 2 * seconds; passed = (performance.now() - tally.started) / 1_000) {
    for (const due = Math.min(wanted, Math.floor(passed * rate)); sent < due && free.length > 0; sent++) {
      const [line, request] = [free.pop(), requests[sent]];
      if (line !== undefined && request !== undefined) send(line, request, tally.started + (sent / rate) * 1_000);
    }
    await pause(1);
  }
  await Promise.all(waiting);
  return close(all, tally);
}

/** So many clients connect in the same moment and ask one thing each; the time runs from before they connect. */
export async function rush(aim: Aim, requests: readonly Request[]): Promise<Seen> {
  const tally = new Tally();
  const lines = await Promise.all(
    requests.map(async (request) => {
      const sent = performance.now();
      const line = await Line.open(aim);
      tally.note(await line.ask(request), sent);
      return line;
    }),
  );
  return close(lines, tally);
}

/** One request, with the body of its answer. */
export async function askOnce(aim: Aim, request: Request): Promise<Readonly<{ status: number; body: string }>> {
  const line = await Line.open(aim);
  const status = await line.ask(request);
  const body = line.body;
  line.end();
  return { status, body };
}

/** The value below which this share of the times lies. */
export const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

/** The middle one, or between the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low = Number.NaN, high = Number.NaN] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return (low + high) / 2;
}

class Tally {
  readonly started = performance.now();
  readonly #times: number[] = [];
  #failed = 0;

  note(status: number, sent: number): void {
    if (status === 200) this.#times.push(performance.now() - sent);
    else this.#failed++;
  }

  seen(): Seen {
    return {
      answered: this.#times.length,
      failed: this.#failed,
      seconds: (performance.now() - this.started) / 1_000,
      times: this.#times.sort((a, b) => a - b),
    };
  }
}

const open = (aim: Aim, connections: number): Promise<readonly Line[]> =>
  Promise.all(Array.from({ length: connections }, () => Line.open(aim)));

function close(lines: readonly Line[], tally: Tally): Seen {
  const seen = tally.seen();
  for (const line of lines) line.end();
  return seen;
}

/** One keep-alive connection with at most one request under way. Reads what our servers send: a Content-Length. */
class Line {
  readonly #socket: Socket;
  #settle: ((status: number) => void) | undefined;
  #held: Buffer = Buffer.alloc(0);
  body = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      this.#take(chunk);
    });
    const lost = (): void => {
      this.#done(0);
    };
    socket.on('error', lost).on('close', lost);
  }

  static open({ port, host = '127.0.0.1' }: Aim): Promise<Line> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host });
      socket.once('error', reject);
      socket.once('connect', () => {
        resolve(new Line(socket));
      });
    });
  }

  ask(request: Request): Promise<number> {
    return new Promise((settle) => {
      if (this.#socket.destroyed) {
        settle(0);
        return;
      }
      this.#settle = settle;
      this.#socket.write(request);
    });
  }

  end(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const head = this.#held.indexOf('\r\n\r\n');
    if (head < 0) return;
    const text = this.#held.toString('latin1', 0, head);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0);
    if (this.#held.length < head + 4 + length) return;
    this.body = this.#held.toString('utf8', head + 4, head + 4 + length);
    this.#held = this.#held.subarray(head + 4 + length);
    this.#done(Number(text.slice(9, 12)));
  }

  #done(status: number): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.(status);
  }
}
