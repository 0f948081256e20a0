import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { tables } from '../../scripts/proofs/documented.js';
import { titlesOf } from '../../scripts/proofs/titles.js';

const README = 'test/spec/README.md';
const NAMED = /`([^`]+\.test\.ts) › ([^`]+)`/g;
const named = [...readFileSync(README, 'utf8').matchAll(NAMED)].map(([, file = '', title = '']) => ({
  file: join('test', file),
  title,
}));

describe('test/spec/README.md', () => {
  it('names tests that exist, by file and title', () => {
    expect(named.length).toBeGreaterThan(150);
    const missing = named.filter(({ file, title }) => !existsSync(file) || !titlesOf(file).has(title));
    expect(missing).toEqual([]);
  });

  it('names a test for each clause', () => {
    const clauses = [...tables(README)].filter(([heading]) => !heading.startsWith('Where'));
    const bare = clauses.flatMap(([heading, rows]) =>
      rows
        .filter((row) => row.at(-1)?.includes('.test.ts › ') !== true)
        .map(([clause]) => `${heading}: ${clause ?? ''}`),
    );
    expect(clauses.length).toBeGreaterThan(10);
    expect(bare).toEqual([]);
  });

  it('claims each specification that Writ stands on', () => {
    const headings = [...tables(README).keys()].join('\n');
    for (const name of [
      '8693',
      '7662',
      '7009',
      '9068',
      '8707',
      '9449',
      '10070',
      '9396',
      '9126',
      '7636',
      '9207',
      '8414',
    ]) {
      expect(headings).toContain(`RFC ${name}`);
    }
    for (const draft of ['transaction-tokens-10', 'transactional-access-tokens-00', 'actor-profile-00'])
      expect(headings).toContain(draft);
  });
});
