import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parseYaml } from '../../src/config/index.js';
import { compilePolicySet, PolicyCases, runCases, toolsOf } from '../../src/policy/index.js';

const DIRECTORY = join('config', 'policies');
const named = (ending: string): string[] => readdirSync(DIRECTORY).filter((name) => name.endsWith(ending));
const read = (name: string): string => readFileSync(join(DIRECTORY, name), 'utf8');

function casesOf(name: string): PolicyCases {
  const documents = parseYaml(read(name));
  if (!documents.ok) throw new Error(documents.error);
  return PolicyCases.parse(documents.value[0]);
}

describe.each(named('.test.yaml'))('config/policies/%s', (name) => {
  const cases = casesOf(name);
  const files = named('.cedar').map((path) => ({ path, text: read(path) }));
  const set = compilePolicySet(files, toolsOf(cases));
  if (!set.ok) throw new Error(JSON.stringify(set.error));

  it.each(runCases(set.value, cases))('$name', ({ differences }) => {
    expect(differences).toEqual([]);
  });

  it('uses every policy of the set', () => {
    const used = cases.cases.flatMap(({ record }) => record?.['policies'] ?? []);
    expect(set.value.policies.map(({ id }) => id).filter((id) => !used.includes(id))).toEqual([]);
  });
});

describe('the default set', () => {
  it('compiles over no tools at all, as on the first start', () => {
    const files = named('.cedar').map((path) => ({ path, text: read(path) }));
    expect(compilePolicySet(files, [])).toMatchObject({ ok: true });
  });
});

describe('a case', () => {
  const set = compilePolicySet(
    [{ path: 'a.cedar', text: '@id("all") permit(principal, action, resource);' }],
    [
      {
        server: 'https://a',
        name: 't',
        action: 'read',
        data: 'public',
        tier: 'low',
        inputSchema: undefined,
        sensitive: [],
      },
    ],
  );
  const results = (more: object) => {
    if (!set.ok) throw new Error('refused');
    const one = { name: 'x', request: { tool: 'https://a#t' }, ...more };
    return runCases(set.value, PolicyCases.parse({ cases: [one] }))[0]?.differences;
  };

  it('is as wanted when decision, reason and record are', () => {
    expect(results({ decision: 'allow', reason: 'allow', record: { policies: ['all'] } })).toEqual([]);
  });

  it.each([
    [{ decision: 'deny' }, 'decision: wanted "deny", got "allow"'],
    [{ decision: 'allow', reason: 'forbidden' }, 'reason: wanted "forbidden", got "allow"'],
    [{ decision: 'allow', record: { policies: ['none'] } }, 'record.policies: wanted ["none"], got ["all"]'],
    [{ decision: 'allow', record: { term: 'policy' } }, 'record.term: wanted "policy", got nothing'],
  ])('says what is otherwise: %j', (want, difference) => {
    expect(results(want)).toEqual([`${difference}; the record is {"policies":["all"],"verdict":"allow"}`]);
  });

  it('with a word that is not known is refused, not passed over', () => {
    expect(() => results({ decision: 'allow', reasn: 'x' })).toThrow('Unrecognized key');
  });
});
