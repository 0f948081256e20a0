// A test runner for Stryker that loads the tests of a room once and switches mutants on and off in the loaded code.
// Jest builds a new world of modules for each mutant, which is most of its time; here a mutant costs what its tests cost,
// and a server that a suite starts is started once. What that could spoil is checked: a test that failed under a mutant
// has to pass without it, or the process counts as spoilt and the next mutant gets a new one.
import { declareClassPlugin, PluginKind } from '@stryker-mutator/api/plugin';
import {
  determineHitLimitReached,
  DryRunStatus,
  TestStatus,
  toMutantRunResult,
} from '@stryker-mutator/api/test-runner';
import { rooms } from './mutation-rooms.mjs';
import { Tests } from './mutation-tests.mjs';

const context = (globalThis.__stryker__ ??= {});

class Runner {
  #tests;
  #spoilt = false;
  #ran = false;

  init() {
    this.#tests = new Tests(rooms[process.env.MUTATION_ROOM].tests);
  }

  capabilities() {
    return { reloadEnvironment: false };
  }

  async dryRun() {
    const results = await this.#tests.run(undefined, (id) => (context.currentTestId = id));
    context.currentTestId = undefined;
    const mutantCoverage = structuredClone(context.mutantCoverage);
    // What fails when it is run again cannot judge a second mutant.
    const again = await this.#tests.run(undefined);
    const once = again.filter(({ status }) => status === TestStatus.Failed).map(({ id }) => id);
    const tests = results.filter(({ id, status }) => status === TestStatus.Failed || !once.includes(id));
    for (const { id } of results.filter((one) => !tests.includes(one))) {
      console.log(`left out, since it passes once only: ${id}`);
      delete mutantCoverage?.perTest[id];
    }
    return { status: DryRunStatus.Complete, tests, mutantCoverage };
  }

  async mutantRun({ activeMutant, testFilter, hitLimit, disableBail, mutantActivation }) {
    if (this.#spoilt) throw new Error('an earlier mutant spoilt this process');
    const isFirst = !this.#ran;
    this.#ran = true;
    if (mutantActivation === 'runtime') await this.#tests.load();
    Object.assign(context, { activeMutant: activeMutant.id, hitCount: hitLimit ? 0 : undefined, hitLimit });
    let tests;
    try {
      tests = await this.#tests.run(testFilter, () => undefined, !disableBail);
    } catch (error) {
      return { status: 'error', errorMessage: String(error?.stack ?? error) };
    }
    const endless = determineHitLimitReached(context.hitCount, context.hitLimit);
    Object.assign(context, { activeMutant: undefined, hitCount: undefined, hitLimit: undefined });
    const failed = tests.filter(({ status }) => status === TestStatus.Failed).map(({ id }) => id);
    if (mutantActivation === 'runtime' && failed.length > 0) {
      this.#spoilt = !(await this.#passes(failed)) && !(await this.#passesAnew(failed));
      if (this.#spoilt && !isFirst) throw new Error('the tests fail without the mutant too: try it in a new process');
    }
    return endless ?? toMutantRunResult({ status: DryRunStatus.Complete, tests }, disableBail);
  }

  async #passes(tests) {
    const sober = await this.#tests.run(tests);
    return sober.every(({ status }) => status !== TestStatus.Failed);
  }

  /** What a mutant leaves in a server or its database ends with it. */
  async #passesAnew(tests) {
    await this.#tests.dispose();
    return this.#passes(tests);
  }

  dispose() {
    return this.#tests?.dispose();
  }
}

export const strykerPlugins = [declareClassPlugin(PluginKind.TestRunner, 'room', Runner)];
