// What tests import as @jest/globals while mutants are tried: it collects the tests instead of running them.
import { bind } from 'jest-each';
import { expect } from 'expect';

const suite = (name, parent) => ({
  name,
  parent,
  children: [],
  before: [],
  after: [],
  beforeEach: [],
  afterEach: [],
  isReady: false,
});

/** The loader gives each importer the same module, under its own address: the tests are kept in one place. */
export const collected = globalThis.__mutationTests ?? { root: suite('', undefined), file: '', at: undefined };
collected.at ??= collected.root;

export const describe = (name, body) => {
  const made = suite(name, collected.at);
  collected.at.children.push(made);
  collected.at = made;
  body();
  collected.at = made.parent;
};
export const it = (name, run) => collected.at.children.push({ name, run, parent: collected.at, file: collected.file });
describe.each = bind(describe, false);
it.each = bind(it, false);
export const test = it;
export const beforeAll = (work) => collected.at.before.push(work);
export const afterAll = (work) => collected.at.after.unshift(work);
export const beforeEach = (work) => collected.at.beforeEach.push(work);
export const afterEach = (work) => collected.at.afterEach.unshift(work);
export { expect };

/** The full title, as Jest prints it. */
export function idOf(node) {
  const names = [];
  for (let at = node; at?.parent !== undefined; at = at.parent) names.unshift(at.name);
  return names.join(' ');
}
