import { describe, expect, it } from '@jest/globals';
import { effectLines } from '../../src/cli/effect.js';
import { compilePolicySet, type LiveToken, policyTools } from '../../src/policy/index.js';
import { judge } from '../../src/policy/live.js';
import { acceptanceOf } from '../../src/policy/accepted.js';
import { makeSnapshot, TrustedIssuer } from '../../src/registry/index.js';

const ISSUER = 'https://writ.example';
const compiled = compilePolicySet(
  [{ path: 'all.cedar', text: '@id("all") permit(principal, action, resource);' }],
  policyTools([]),
);
if (!compiled.ok) throw new Error('the policy set does not compile');
const registry = makeSnapshot(1, { agents: [], servers: [], issuers: [], policies: undefined });
const rules = { set: compiled.value, registry, issuer: ISSUER, now: 1_000, publishedKeys: () => undefined };

const TOKEN: LiveToken = {
  ...{
    tokenHash: 'hash',
    decision: 'dec_1',
    policy: compiled.value.hash,
    session: 'ses_1',
    agent: 'agt_1',
    person: 'prs_1',
  },
  ...{ lineage: ['token:hash', 'person:prs_1'], actors: [{ sub: 'agt_1', iss: ISSUER }] },
  ...{ server: 'https://mcp.example', heir: undefined, isForDomain: false, tools: [], scopes: [], isBound: false },
  ...{ expiresAt: 2_000, brought: undefined },
};

describe('a token that lives, decided again', () => {
  it('is allowed where it comes of a sign-in here', () => {
    expect(judge(rules, TOKEN, [])).toBe('allowed');
  });

  it('is undecided where it comes of a token from elsewhere that nobody kept', () => {
    expect(judge(rules, { ...TOKEN, lineage: [...TOKEN.lineage, 'foreign:abc'] }, [])).toBe('undecided');
  });
});

describe('a token that came of an issuer whose keys are published at a URL', () => {
  const trusted = TrustedIssuer.parse({
    ...{ issuer: 'https://idp.example', name: 'Company', jwks_uri: 'https://idp.example/jwks', agents: ['agt_1'] },
    accepts: [{ token_type: 'urn:ietf:params:oauth:token-type:access_token', typ: 'at+jwt' }],
  });
  const known = makeSnapshot(1, { agents: [], servers: [], issuers: [trusted], policies: undefined });
  const brought = {
    ...{ issuer: trusted.issuer, tokenType: trusted.accepts[0]?.token_type ?? '', typ: 'at+jwt', audience: ISSUER },
    ...{ parties: [], scopeClaim: 'scope', isScoped: true, key: 'its key', agent: 'agt_1' },
  };
  const published = (at: number, ...keys: string[]) => ({ thumbprints: new Set(keys), at });
  it.each([
    ['accepted by a key that is remembered, also from a while ago', published(100, 'its key'), 'accepted'],
    ['refused by one that is not among those that were read lately', published(990, 'another'), 'refused'],
    ['unknown where they were read longer ago, since it may be new', published(100, 'another'), 'unknown'],
    ['unknown where nothing is remembered', undefined, 'unknown'],
  ])('is %s', (_, remembered, wanted) => {
    const asked: string[] = [];
    const publishedKeys = (uri: string): typeof remembered => {
      asked.push(uri);
      return remembered;
    };
    const now = { ...rules, registry: known, publishedKeys };
    expect(acceptanceOf({ scopes: [], brought }, now)).toBe(wanted);
    expect(asked).toEqual(['https://idp.example/jwks']);
    if (wanted === 'unknown') expect(judge(now, { ...TOKEN, brought }, [])).toBe('undecided');
  });
});

describe('what the command line says of a preview', () => {
  const EFFECT = {
    ...{ considered: 3, complete: true, tokens: 0, undecided: 0, sessions_ended: 0, sessions_narrowed: 0 },
    ...{ losses: [], more: 0 },
  };
  const SHORT = 'there was no time to look at every token that lives: more may end than is said here';
  it.each([
    ['that ends nothing', EFFECT, ['would end no token that lives']],
    ['that had nothing to look at', { ...EFFECT, considered: 0 }, []],
    ['that was cut short, and found nothing by then', { ...EFFECT, complete: false }, [SHORT]],
    ['that was cut short at once', { ...EFFECT, complete: false, considered: 0 }, [SHORT]],
    [
      'that was cut short, and found something',
      { ...EFFECT, complete: false, tokens: 1, sessions_narrowed: 1 },
      ['would end 1 of the first 3 live tokens; sessions: 0 ended, 1 narrowed', SHORT],
    ],
  ])('%s', (_, effect, lines) => {
    expect(effectLines({ effect })).toEqual(lines);
  });
});
