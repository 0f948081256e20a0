import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Compiled, compileSource } from '../support/compiled.js';

let compiled: Compiled;
beforeAll(() => {
  compiled = compileSource();
});
afterAll(() => {
  compiled.remove();
});

// Reading the context throws away the optimised code that the engine will return to.
const program = (engine: string): string => `
import { PreparedPolicies } from ${JSON.stringify(engine)};
const policies = new PreparedPolicies({ a: { effect: 'permit', principal: { op: 'All' }, action: { op: 'All' }, resource: { op: 'All' }, conditions: [] } });
class Assumed { value() { return 1; } }
const assumed = new Assumed();
let isOver = false;
const context = {};
Object.defineProperty(context, 'x', { enumerable: true, get() {
  if (isOver) Object.defineProperty(Assumed.prototype, 'value', { value: () => 2, configurable: true });
  return 1;
} });
const uid = (type) => ({ type, id: 'a' });
const question = { principal: uid('Person'), action: uid('Action'), resource: uid('Server'), entities: [], context };
const ask = () => assumed.value() + (policies.evaluate(question).kind === 'allow' ? 1 : 0) + assumed.value();
for (let times = 0; times < 60000; times++) ask();
isOver = true;
console.log(ask() + ask());
`;

describe('the policy engine', () => {
  it('lives when the code that asks it is thrown away while it answers', () => {
    const engine = pathToFileURL(join(compiled.directory, 'src', 'policy', 'set', 'engine.js')).href;
    const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program(engine)], {
      encoding: 'utf8',
      timeout: 120_000,
    });
    expect({ stdout, status }).toEqual({ stdout: '9\n', status: 0 });
  }, 180_000);
});
