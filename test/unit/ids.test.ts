import { expect, it } from '@jest/globals';
import { randomName } from '../../src/base/index.js';

it('a random name is of 128 bits, never the same, and begins with nothing that a command takes for an option', () => {
  const names = Array.from({ length: 5_000 }, () => randomName(16));
  expect(names.filter((name) => !/^[A-Za-z0-9_][\w-]{21}$/.test(name))).toEqual([]);
  expect(new Set(names).size).toBe(names.length);
});
