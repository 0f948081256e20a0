import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { freeze, MOST_ARGUMENTS, waitsUntil } from '../../src/approval/index.js';
import { digest, type JsonObject, parseArguments } from '../../src/protocol/index.js';
import { anArguments, aBinding, DEFINITION, frozen, NOW, OTHER_TEXT } from '../support/approvals.js';

describe('a frozen request', () => {
  it('is given back whole, under the digests of its call and of all of it', () => {
    const binding = aBinding();
    const { call, sha256 } = frozen(binding);
    expect(freeze(binding)).toEqual({ ok: true, value: { binding, call, sha256 } });
    expect([call, sha256]).toEqual([expect.stringMatching(/^[\w-]{43}$/), expect.stringMatching(/^[\w-]{43}$/)]);
    expect(call).not.toBe(sha256);
  });

  it('has the digests that anybody computes from the RFC 8785 form', () => {
    const binding = aBinding();
    const { arguments: left, ...call } = binding.call;
    expect(left).toEqual({ path: '/tmp/x' });
    const whole = digest({
      call: valueOf(digest({ ...call })),
      demands: binding.demands.map((demand) => ({ ...demand })),
      expiresAt: binding.expiresAt,
      policySet: binding.policySet,
      version: 1,
    });
    expect(frozen(binding)).toEqual({ binding, call: valueOf(digest({ ...call })), sha256: valueOf(whole) });
  });

  it('stays what it is when its arguments are altered where they came from', () => {
    const binding = aBinding({}, anArguments({ path: '/tmp/x', more: { deep: [1] } }));
    const kept = frozen(binding);
    Object.assign(binding.call.arguments, { path: '/etc/passwd' });
    expect(kept.binding.call.arguments).toEqual({ path: '/tmp/x', more: { deep: [1] } });
  });

  const changed = {
    person: { person: 'prs_bob' },
    'agent that asks': { chain: ['agt_c', 'agt_b'] },
    'agent before it': { chain: ['agt_a', 'agt_c'] },
    'order of the agents': { chain: ['agt_b', 'agt_a'] },
    session: { session: 'ses_2' },
    'session, which is none': { session: null },
    server: { server: 'https://mcp.example/other' },
    tool: { tool: 'Delete' },
    'definition of the tool': { definition: OTHER_TEXT },
    'one argument': anArguments({ path: '/tmp/x ' }),
    'one argument more': anArguments({ path: '/tmp/x', force: true }),
    'a space that looks the same': anArguments({ path: '/tmp/x\u00a0' }),
  };
  it.each(Object.entries(changed))('AP-01, AP-02: is another call with another %s', (_, change) => {
    const [one, other] = [frozen(), frozen(aBinding({}, change))];
    expect(other.call).not.toBe(one.call);
    expect(other.sha256).not.toBe(one.sha256);
  });

  it.each([
    ['policy set', { policySet: `sha256:${OTHER_TEXT}` }],
    ['text of a policy', { demands: [{ policy: 'deletions', text: OTHER_TEXT, approvers: [] }] }],
    ['group of approvers', { demands: [{ policy: 'deletions', text: DEFINITION, approvers: ['finance'] }] }],
    ['end', { expiresAt: NOW + 1 }],
  ])('is the same call and another request with another %s', (_, change) => {
    const [one, other] = [frozen(), frozen(aBinding(change))];
    expect(other.call).toBe(one.call);
    expect(other.sha256).not.toBe(one.sha256);
  });

  it('AP-22: has one digest exactly when its arguments have one', () => {
    const raw = fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom(0, 1, 'a', null, [1], { a: 1 }));
    fc.assert(
      fc.property(raw, raw, (one, other) => {
        const [first, second] = [one, other].map((json) => valueOf(parseArguments(JSON.stringify(json))));
        const [a, b] = [first, second].map((args) => frozen(aBinding({}, argumentsOf(args))));
        expect(a?.call === b?.call).toBe(first?.sha256 === second?.sha256);
      }),
    );
  });

  it.each<[string, unknown, string]>([
    ['of another version (AP-02)', { ...aBinding(), version: 2 }, 'malformed'],
    ['of no version', { ...aBinding(), version: undefined }, 'malformed'],
    ['with a member that nobody knows', { ...aBinding(), always: true }, 'malformed'],
    ['whose call has a member that nobody knows', aBinding({}, { cwd: '/' }), 'malformed'],
    ['that no policy demands', aBinding({ demands: [] }), 'malformed'],
    ['of no agent', aBinding({}, { chain: [] }), 'malformed'],
    ['whose arguments are a list', aBinding({}, { arguments: [] }), 'malformed'],
    ['whose arguments are null', aBinding({}, { arguments: null }), 'malformed'],
    ['whose arguments are text', aBinding({}, { arguments: '{}' }), 'malformed'],
    ['without arguments', aBinding({}, { arguments: undefined }), 'malformed'],
    ['with other arguments than its digest says', aBinding({}, { arguments: { path: '/tmp/y' } }), 'arguments_altered'],
    ['with half a surrogate pair', aBinding({}, { arguments: { path: '\ud800' } }), 'lone_surrogate'],
    ['with a number that is not exact', aBinding({}, { arguments: { n: 2 ** 53 } }), 'unsafe_number'],
    [
      'with one policy twice',
      aBinding({ demands: [...aBinding().demands, ...aBinding().demands] }),
      'same_policy_twice',
    ],
    ['that nobody could read', aBinding({}, anArguments({ path: 'x'.repeat(MOST_ARGUMENTS - 10) })), 'too_long'],
  ])('is refused %s', (_, candidate, error) => {
    expect(freeze(candidate)).toEqual({ ok: false, error });
  });

  it('may have arguments that are just short enough', () => {
    const most = anArguments({ path: 'x'.repeat(MOST_ARGUMENTS - 11) });
    expect(JSON.stringify(most.arguments)).toHaveLength(MOST_ARGUMENTS);
    expect(freeze(aBinding({}, most)).ok).toBe(true);
  });
});

describe('how long a request waits', () => {
  it.each([
    ['as long as it may', [NOW + 900, NOW + 700], NOW + 600],
    ['no longer than the token', [NOW + 200, NOW + 700], NOW + 200],
    ['no longer than the session', [NOW + 900, NOW + 100], NOW + 100],
    ['as long as it may, where neither ends', [], NOW + 600],
  ])('%s', (_, ends, until) => {
    expect(waitsUntil(NOW, 600, ends)).toBe(until);
  });
});

function valueOf<T>(result: { ok: true; value: T } | { ok: false; error: string }): T {
  if (!result.ok) throw new Error(result.error);
  return result.value;
}

const argumentsOf = (args: { arguments: JsonObject; sha256: string } | undefined) => ({
  arguments: args?.arguments,
  argumentsSha256: args?.sha256,
});
