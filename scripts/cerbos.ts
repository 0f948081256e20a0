import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { stringify } from 'yaml';

const READY_WITHIN_MS = 60_000;

export type CerbosOptions = Readonly<{
  /** An empty folder of its own. */
  folder: string;
  ports: readonly [http: number, grpc: number];
  policy: object;
}>;

/** The Cerbos that its npm package ships, as a process that can be killed, stopped and started again. */
export class Cerbos {
  /** Where it is asked; also its identifier as an AuthZEN decision point. */
  readonly address: string;
  readonly #config: string;
  #child: ChildProcess | undefined;
  #said = '';

  constructor({ folder, ports: [http, grpc], policy }: CerbosOptions) {
    this.address = `http://127.0.0.1:${http}`;
    this.#config = join(folder, 'cerbos.yaml');
    const directory = join(folder, 'policies');
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'tool.yaml'), stringify(policy));
    writeFileSync(
      this.#config,
      stringify({
        server: { httpListenAddr: `127.0.0.1:${http}`, grpcListenAddr: `127.0.0.1:${grpc}` },
        storage: { driver: 'disk', disk: { directory, watchForChanges: false } },
        telemetry: { disabled: true },
      }),
    );
  }

  async start(): Promise<void> {
    const began = performance.now();
    const child = spawn(binary(), ['server', `--config=${this.#config}`], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        this.#said = (this.#said + chunk.toString('utf8')).slice(-8_000);
      });
    this.#child = child;
    while (!(await this.#isServing())) {
      if (child.exitCode !== null || performance.now() - began > READY_WITHIN_MS)
        throw new Error(`Cerbos does not serve: ${this.#said}`);
      await pause(10);
    }
  }

  /** SIGSTOP, SIGCONT: its connections stay. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** As a crash ends it. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** For a process that ends and may not wait. */
  killNow(): void {
    this.#child?.kill('SIGKILL');
  }

  async #isServing(): Promise<boolean> {
    try {
      const { status, body } = await fetch(`${this.address}/_cerbos/health`, { signal: AbortSignal.timeout(1_000) });
      await body?.cancel();
      return status === 200;
    } catch {
      return false;
    }
  }
}

/** Not by the package's own starter: what is killed here has to be Cerbos itself. */
function binary(): string {
  const require = createRequire(createRequire(import.meta.url).resolve('cerbos/package.json'));
  return require.resolve(`@cerbos/cerbos-${process.platform}-${process.arch}`);
}

/** `expr`: CEL over `R` (the tool) and `P` (the person), what it says yes to. */
export const permitting = (expr: string): object => ({
  apiVersion: 'api.cerbos.dev/v1',
  resourcePolicy: {
    resource: 'tool',
    version: 'default',
    rules: [{ actions: ['tools/call'], effect: 'EFFECT_ALLOW', roles: ['*'], condition: { match: { expr } } }],
  },
});
