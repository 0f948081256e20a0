import { expect, it } from '@jest/globals';
import { parseArguments } from '../../src/protocol/index.js';

it('reads arguments in one pass: sixty thousand escaped quotes, a thousand times over, fit into the time of a test', () => {
  const open = `{"a":"${'\\"'.repeat(29_000)}`;
  for (let round = 0; round < 500; round++) {
    expect(parseArguments(open)).toEqual({ ok: false, error: 'not_json' });
    expect(parseArguments(`${open}"}`).ok).toBe(true);
  }
});
