import { describe, expect, it } from '@jest/globals';
import { foresee, type LivePage, type LiveToken } from '../../src/policy/index.js';

const token = (name: string, lineage: readonly string[] = []): LiveToken => ({
  ...{ tokenHash: name, decision: `dec_${name}`, policy: 'set', session: 'ses_1', agent: 'agt_1', person: 'prs_1' },
  ...{ lineage: [`token:${name}`, 'agent:agt_1', ...lineage], actors: [], server: 'https://mcp.example' },
  ...{ heir: undefined, isForDomain: false, tools: [], scopes: [], isBound: false, expiresAt: 2_000 },
  brought: undefined,
});
const PARENT = token('parent', ['tool:t']);
const PAGES: Readonly<Record<string, LivePage>> = {
  '0': { tokens: [PARENT], read: 1, next: '1' },
  '1': { tokens: [token('child', ['token:parent']), token('other', ['token:innocent'])], read: 2, next: '3' },
  '3': { tokens: [token('grandchild', ['token:child', 'token:parent'])], read: 1, next: undefined },
};
const NARROWING = { cutOff: ['tool:t'], rules: undefined };

/** `turns`: so many looks there is time for. */
const outlook = (page: (after: string) => LivePage | undefined, turns = 1_000) => {
  const [asked, named]: [string[], string[][]] = [[], []];
  let left = turns;
  const live = {
    page: (_before: number, { after }: Readonly<{ after: string }>) => {
      asked.push(after);
      return Promise.resolve(page(after) ?? { tokens: [], read: 0, next: undefined });
    },
    among: (hashes: readonly string[]) => {
      named.push([...hashes]);
      return Promise.resolve([PARENT, token('innocent')].filter(({ tokenHash }) => hashes.includes(tokenHash)));
    },
  };
  const turn = (): Promise<void> => {
    left--;
    return Promise.resolve();
  };
  const inputs = { of: () => Promise.resolve([]) };
  return { asked, named, of: { live, inputs, since: 0, most: 600, hasTime: () => left > 0, turn } };
};

describe('what a change would end', () => {
  it('is looked for in so many records at most, and not in so many tokens that live among them', async () => {
    const { asked, of } = outlook((after) => ({ tokens: [], read: 200, next: String(Number(after) + 200) }));
    expect(await foresee(NARROWING, of)).toEqual({ considered: 0, isWhole: false, ended: [], next: '600' });
    expect(asked).toEqual(['0', '200', '400']);
  });

  it('is whatever is cut off, and what was made from that, on whichever page', async () => {
    const { named, of } = outlook((after) => PAGES[after]);
    const { ended, ...rest } = await foresee(NARROWING, of);
    expect(rest).toEqual({ considered: 4, isWhole: true, next: undefined });
    expect(ended.map(({ token: { tokenHash }, because }) => [tokenHash, because])).toEqual([
      ['parent', 'cut_off'],
      ['child', 'derived'],
      ['grandchild', 'derived'],
    ]);
    expect(named).toEqual([]);
  });

  it('is the same for whoever goes on from a place, with what was made from what ended before it', async () => {
    const { named, of } = outlook((after) => PAGES[after]);
    const { ended, ...rest } = await foresee(NARROWING, of, '1');
    expect(rest).toEqual({ considered: 3, isWhole: true, next: undefined });
    expect(ended.map(({ token: { tokenHash }, because }) => [tokenHash, because])).toEqual([
      ['child', 'derived'],
      ['grandchild', 'derived'],
    ]);
    expect(named).toEqual([['parent', 'innocent'], []]);
  });

  it.each([
    ['before the second page: it is gone on with', 2, { considered: 1, isWhole: false, next: '1' }],
    ['at once: nothing is looked at', 0, { considered: 0, isWhole: false, next: '0' }],
    [
      'within the first page: what was seen is all that there is',
      1,
      { considered: 0, isWhole: false, next: undefined },
    ],
  ])('is cut short when time is over %s', async (_, turns, wanted) => {
    const { ended, ...rest } = await foresee(NARROWING, outlook((after) => PAGES[after], turns).of);
    expect(rest).toEqual(wanted);
    expect(ended).toHaveLength(wanted.considered);
  });
});
