// A test runner for Stryker that loads the tests of a room once and switches mutants on and off in the loaded code.
// Jest builds a new world of modules for each mutant, which is most of its time; here a mutant costs what its tests cost,
// and a server that a suite starts is started once. What that could spoil is checked: a test that failed under a mutant
// has to pass without it, or the process counts as spoilt and the next mutant gets a new one.
import { register } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { declareClassPlugin, PluginKind } from '@stryker-mutator/api/plugin';
import {
  determineHitLimitReached,
  DryRunStatus,
  TestStatus,
  toMutantRunResult,
} from '@stryker-mutator/api/test-runner';
import { rooms } from './mutation-rooms.mjs';
import { collected, idOf } from './mutation-globals.mjs';

const context = (globalThis.__stryker__ ??= {});

class Runner {
  #suites;
  #spoilt = false;
  #ran = false;
  #stray;

  init() {
    register('./mutation-loader.mjs', import.meta.url, {
      data: { globals: new URL('./mutation-globals.mjs', import.meta.url).href },
    });
    globalThis.__mutationTests = collected;
    const note = (error) => (this.#stray ??= error);
    process.on('uncaughtException', note);
    process.on('unhandledRejection', note);
  }

  capabilities() {
    return { reloadEnvironment: false };
  }

  async dryRun() {
    const results = await this.#run(undefined, (id) => (context.currentTestId = id));
    context.currentTestId = undefined;
    const mutantCoverage = structuredClone(context.mutantCoverage);
    // What fails when it is run again cannot judge a second mutant.
    const again = await this.#run(undefined);
    const once = again.filter(({ status }) => status === TestStatus.Failed).map(({ id }) => id);
    const tests = results.map((one) =>
      once.includes(one.id) && one.status !== TestStatus.Failed
        ? { ...one, status: TestStatus.Failed, failureMessage: 'passes once, and fails when it is run again' }
        : one,
    );
    return { status: DryRunStatus.Complete, tests, mutantCoverage };
  }

  async mutantRun({ activeMutant, testFilter, hitLimit, disableBail, mutantActivation }) {
    if (this.#spoilt) throw new Error('an earlier mutant spoilt this process');
    const isFirst = !this.#ran;
    this.#ran = true;
    if (mutantActivation === 'runtime') await this.#load();
    Object.assign(context, { activeMutant: activeMutant.id, hitCount: hitLimit ? 0 : undefined, hitLimit });
    let tests;
    try {
      tests = await this.#run(testFilter, () => undefined, !disableBail);
    } catch (error) {
      return { status: 'error', errorMessage: String(error?.stack ?? error) };
    }
    const endless = determineHitLimitReached(context.hitCount, context.hitLimit);
    Object.assign(context, { activeMutant: undefined, hitCount: undefined, hitLimit: undefined });
    const failed = tests.filter(({ status }) => status === TestStatus.Failed).map(({ id }) => id);
    if (mutantActivation === 'runtime' && failed.length > 0) {
      const sober = await this.#run(failed);
      this.#spoilt = sober.some(({ status }) => status === TestStatus.Failed);
      if (this.#spoilt && !isFirst) throw new Error('the tests fail without the mutant too: try it in a new process');
    }
    return endless ?? toMutantRunResult({ status: DryRunStatus.Complete, tests }, disableBail);
  }

  async #load() {
    if (this.#suites !== undefined) return;
    for (const test of rooms[process.env.MUTATION_ROOM].tests) {
      collected.file = join('test', `${test}.test.ts`);
      await import(pathToFileURL(join(process.cwd(), collected.file)).href);
    }
    this.#suites = collected.root;
  }

  async #run(filter, onTest = () => undefined, bail = false) {
    await this.#load();
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

  async dispose() {
    const visit = async (suite) => {
      for (const child of suite.children) if (child.children !== undefined) await visit(child);
      if (suite.isReady) await this.#attempt(suite.after);
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

export const strykerPlugins = [declareClassPlugin(PluginKind.TestRunner, 'room', Runner)];
