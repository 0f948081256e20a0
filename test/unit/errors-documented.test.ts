import { expect, it } from '@jest/globals';
import { errorFlaws } from '../../scripts/proofs/errors.js';

it('explains every error and reason in src/exchange/README.md, and no other', () => {
  expect(errorFlaws()).toEqual([]);
});
