import { describe, expect, it } from '@jest/globals';
import { closeRecord, recordHead } from '../../src/audit/index.js';
import { leafFlaws } from '../../src/audit/schema.js';

const revoked = (more: Readonly<Record<string, number>>): Buffer =>
  closeRecord(
    recordHead('revocation', 1_795_305_600, {
      ...{ what: 'scope', kind: 'agent', id: 'agt_a', number: 7, sessions: 2, consents: 1, by: 'admin-token' },
      ...more,
    }),
    { decision: 'done', reason: 'INC-1', session: null, sequence: null, seen: 0 },
  );

describe('the schema of the records', () => {
  it('reads what was written before: a log outlives the versions that wrote it', () => {
    expect(leafFlaws(revoked({}))).toEqual([]);
    expect(leafFlaws(revoked({ tokens: 3 }))).toEqual([]);
  });

  it('knows no member that no version wrote', () => {
    expect(leafFlaws(revoked({ tokns: 3 }))).toEqual([expect.stringMatching(/^facts: /)]);
  });
});
