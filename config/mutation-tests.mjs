// The tests of a room, loaded once and run as often as there are mutants.
import { register } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { TestStatus } from '@stryker-mutator/api/test-runner';
import { collected, idOf } from './mutation-globals.mjs';

export class Tests {
  #files;
  #suites;
  #stray;

  /** `change` is what the loader does to a source file beside taking its types out: see mutation-loader.mjs. */
  constructor(files, change) {
    this.#files = files;
    register('./mutation-loader.mjs', import.meta.url, {
      data: { globals: new URL('./mutation-globals.mjs', import.meta.url).href, change },
    });
    const note = (error) => (this.#stray ??= error);
    process.on('uncaughtException', note);
    process.on('unhandledRejection', note);
  }

  async load() {
    if (this.#suites !== undefined) return;
    for (const test of this.#files) {
      collected.file = join('test', `${test}.test.ts`);
      await import(pathToFileURL(join(process.cwd(), collected.file)).href);
    }
    this.#suites = collected.root;
  }

  async run(filter, onTest = () => undefined, bail = false) {
    await this.load();
    const wanted = filter && new Set(filter);
    const results = [];
    const isDone = () => bail && results.some(({ status }) => status === TestStatus.Failed);
    const visit = async (suite) => {
      const mine = suite.children.filter((child) => has(child, wanted));
      if (mine.length === 0) return;
      let broken;
      if (!suite.isReady) {
        suite.isReady = true;
        broken = await this.#attempt(suite.before);
        suite.isReady = broken === undefined;
      }
      for (const child of mine) {
        if (isDone()) return;
        if (child.children !== undefined) {
          await visit(child);
          continue;
        }
        const id = idOf(child);
        onTest(id);
        const started = performance.now();
        const error =
          broken ?? (await this.#attempt([...hooks(child, 'beforeEach'), child.run, ...hooks(child, 'afterEach')]));
        const about = { id, name: id, fileName: child.file, timeSpentMs: Math.round(performance.now() - started) };
        results.push(
          error === undefined
            ? { ...about, status: TestStatus.Success }
            : { ...about, status: TestStatus.Failed, failureMessage: String(error?.stack ?? error) },
        );
      }
    };
    await visit(this.#suites);
    return results;
  }

  /** What one of these throws, or what came loose meanwhile. */
  async #attempt(works) {
    this.#stray = undefined;
    try {
      for (const work of works) await work();
    } catch (error) {
      return error ?? new Error('thrown: nothing');
    }
    return this.#stray;
  }

  /** Ends what the suites have started; the next run starts it anew. */
  async dispose() {
    const visit = async (suite) => {
      for (const child of suite.children) if (child.children !== undefined) await visit(child);
      if (suite.isReady) await this.#attempt(suite.after);
      suite.isReady = false;
    };
    if (this.#suites !== undefined) await visit(this.#suites);
  }
}

function hooks({ parent }, name) {
  const own = [];
  for (let suite = parent; suite !== undefined; suite = suite.parent) own.unshift(...suite[name]);
  return own;
}

const has = (node, wanted) =>
  wanted === undefined ||
  (node.children === undefined ? wanted.has(idOf(node)) : node.children.some((child) => has(child, wanted)));
