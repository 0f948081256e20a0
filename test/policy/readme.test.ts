import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { parseYaml } from '../../src/config/index.js';
import { compilePolicySet, PolicyCases, type PolicyTool } from '../../src/policy/index.js';
import { FACTS } from '../../src/policy/set/facts.js';
import { aTool, transfer } from '../support/policies.js';

const README = readFileSync('src/policy/README.md', 'utf8');
const blocks = (language: string): string[] =>
  [...README.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 'gs'))].map(([, text = '']) => text);

const TOOLS: readonly PolicyTool[] = [
  transfer,
  aTool({ server: 'https://mcp.example.com/payroll', data: 'confidential' }),
  aTool({ name: 'change_salary', action: 'write', data: 'confidential' }),
];

describe('src/policy/README.md', () => {
  it('has policies that compile as they stand', () => {
    const files = blocks('cedar').map((text, index) => ({ path: `${String(index)}.cedar`, text }));
    expect(files).toHaveLength(2);
    expect(compilePolicySet(files, TOOLS)).toMatchObject({ ok: true });
  });

  it('has a file of cases that is understood', () => {
    const documents = blocks('yaml').map((text) => parseYaml(text));
    expect(documents.map((one) => one.ok && PolicyCases.safeParse(one.value[0]).success)).toEqual([true]);
  });

  it('names every fact of the context', () => {
    for (const { path } of FACTS) expect(README).toContain(`\`${path.join('.')}\``);
  });
});
