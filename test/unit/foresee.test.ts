import { describe, expect, it } from '@jest/globals';
import { foresee, type LiveToken } from '../../src/policy/index.js';

const token = (name: string, lineage: readonly string[] = []): LiveToken => ({
  ...{ tokenHash: name, decision: `dec_${name}`, policy: 'set', session: 'ses_1', agent: 'agt_1', person: 'prs_1' },
  ...{ lineage: [`token:${name}`, 'agent:agt_1', ...lineage], actors: [], server: 'https://mcp.example' },
  ...{ heir: undefined, isForDomain: false, tools: [], scopes: [], isBound: false, expiresAt: 2_000 },
  brought: undefined,
});
const outlook = (
  page: (after: string) => Readonly<{ tokens: readonly LiveToken[]; read: number; next: string | undefined }>,
) => {
  const asked: string[] = [];
  const live = {
    page: (_before: number, { after }: Readonly<{ after: string }>) => {
      asked.push(after);
      return Promise.resolve(page(after));
    },
  };
  const inputs = { of: () => Promise.resolve([]) };
  return { asked, of: { live, inputs, since: 0, most: 600, hasTime: () => true, turn: () => Promise.resolve() } };
};

describe('what a change would end', () => {
  it('is looked for in so many records at most, and not in so many tokens that live among them', async () => {
    const { asked, of } = outlook((after) => ({ tokens: [], read: 200, next: String(Number(after) + 200) }));
    expect(await foresee({ cutOff: ['agent:agt_1'], rules: undefined }, of)).toEqual({
      ...{ considered: 0, isWhole: false, ended: [] },
    });
    expect(asked).toEqual(['0', '200', '400']);
  });

  it('is whatever is cut off, and what was made from that, on whichever page', async () => {
    const pages: Record<string, Readonly<{ tokens: readonly LiveToken[]; read: number; next: string | undefined }>> = {
      '0': { tokens: [token('parent', ['tool:t'])], read: 1, next: '1' },
      '1': { tokens: [token('child', ['token:parent']), token('other')], read: 2, next: undefined },
    };
    const { of } = outlook((after) => pages[after] ?? { tokens: [], read: 0, next: undefined });
    const { ended, ...rest } = await foresee({ cutOff: ['tool:t'], rules: undefined }, of);
    expect(rest).toEqual({ considered: 3, isWhole: true });
    expect(ended.map(({ token: { tokenHash }, because }) => [tokenHash, because])).toEqual([
      ['parent', 'cut_off'],
      ['child', 'derived'],
    ]);
  });
});
