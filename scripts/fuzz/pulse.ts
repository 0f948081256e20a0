import { setTimeout as pause } from 'node:timers/promises';

/** A server that answers `/livez` more slowly than this is busy, or starved of the processor. */
const SLOW_MS = 500;
const EVERY_MS = 250;

/** Asks `/livez` beside the cases: while that comes at once, a case without an answer hangs. */
export class Pulse {
  #isOver = false;
  #asked: number | undefined;
  #lastSlow = -Infinity;

  constructor(port: number) {
    void this.#beat(`http://127.0.0.1:${port}/livez`);
  }

  /** Whether the server was busy at any time since. */
  wasBusy(since: number): boolean {
    const isSlow = this.#asked !== undefined && performance.now() - this.#asked > SLOW_MS;
    return isSlow || this.#lastSlow >= since;
  }

  stop(): void {
    this.#isOver = true;
  }

  async #beat(address: string): Promise<void> {
    while (!this.#isOver) {
      const asked = performance.now();
      this.#asked = asked;
      await fetch(address, { signal: AbortSignal.timeout(30_000) })
        .then((answer) => answer.text())
        .catch(() => undefined);
      this.#asked = undefined;
      const now = performance.now();
      if (now - asked > SLOW_MS) this.#lastSlow = now;
      await pause(EVERY_MS);
    }
  }
}
