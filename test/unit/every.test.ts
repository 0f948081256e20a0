import { describe, expect, it } from '@jest/globals';
import { Fault } from '../../src/base/index.js';
import { inParts } from '../../src/every.js';

const slow = new Fault('database_unavailable', 'The database does not answer (57014).');
const failing = (thrown: Error) => (): Promise<void> => Promise.reject(thrown);

async function round(parts: Readonly<Record<string, () => Promise<void>>>): Promise<readonly unknown[]> {
  const reported: unknown[] = [];
  await inParts(parts, (thrown) => reported.push(thrown))();
  return reported;
}

describe('a round of housekeeping', () => {
  it('does every part, also after one that failed, in turn', async () => {
    const done: string[] = [];
    const part = (name: string) => (): Promise<void> => Promise.resolve(void done.push(name));
    await round({ first: part('first'), slow: failing(slow), bug: failing(new Error('bug')), last: part('last') });
    expect(done).toEqual(['first', 'last']);
  });

  it('reports each part that failed, by its name and with its cause, though the database answers others', async () => {
    const bug = new Error('bug');
    expect(await round({ fine: () => Promise.resolve(), sessions: failing(slow), findings: failing(bug) })).toEqual([
      new Fault('database_unavailable', 'sessions: The database does not answer (57014).', { cause: slow }),
      new Fault('internal', 'findings failed', { cause: bug }),
    ]);
  });

  it('waits out an outage of the database, of which every request tells', async () => {
    expect(await round({ sessions: failing(slow), findings: failing(slow) })).toEqual([]);
  });
});
