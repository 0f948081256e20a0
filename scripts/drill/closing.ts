/** What has to be ended when a drill is over, however it ends: the last thing begun is the first to go. */
export class Closing {
  readonly #steps: Readonly<{ end: () => Promise<void>; now: () => void }>[] = [];

  constructor() {
    process.once('exit', () => {
      for (const { now } of this.#steps.reverse()) now();
    });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  }

  /** `now` is for a drill that is itself cut short, and may not wait. */
  add(end: () => Promise<void>, now: () => void = () => undefined): void {
    this.#steps.push({ end, now });
  }

  async close(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) await step.end();
  }
}
