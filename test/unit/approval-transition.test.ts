import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type Approval,
  type ApprovalEvent,
  type Approver,
  asked,
  discharged,
  FRESH,
  mayAnswer,
  standing,
  transition,
} from '../../src/approval/index.js';
import { aBinding, frozen, NOW, OTHER_TEXT, TEXT } from '../support/approvals.js';

const END = NOW + 600;
const OWN = { policy: 'deletions', text: TEXT, approvers: [] };
const FINANCE = { policy: 'money', text: TEXT, approvers: ['finance', 'board'] };
const SECURITY = { policy: 'secrets', text: TEXT, approvers: ['security'] };
const ofDemands = (...demands: object[]): Approval => asked(frozen(aBinding({ demands })));
const somebody = (person: string, groups: readonly string[] = [], verifiedAt = NOW): Approver => ({
  person,
  groups,
  verifiedAt,
});
const alice = somebody('prs_alice', ['finance', 'security']);
const bob = somebody('prs_bob', ['finance']);
const carol = somebody('prs_carol', ['security', 'board']);
const says = (event: 'grant' | 'refuse', by: Approver, of: Approval): ApprovalEvent => ({
  event,
  by,
  sha256: of.frozen.sha256,
});
const step = (one: Approval, event: ApprovalEvent, now = NOW): Approval => {
  const next = transition(one, event, now);
  if (!next.ok) throw new Error(next.error.reason);
  return next.value;
};
const own = ofDemands(OWN);
const use = (of: Approval): ApprovalEvent => ({ event: 'use', call: of.frozen.call });
const withdraw = (by: string): ApprovalEvent => ({ event: 'withdraw', by });
const granted = step(own, says('grant', alice, own));
const no = (reason: string, state: string) => ({ ok: false, error: { reason, state } });

describe('a request to people', () => {
  it('is granted by the person whom it is about, and used once', () => {
    expect(granted).toEqual({
      ...own,
      state: 'granted',
      answers: [{ policy: 'deletions', person: 'prs_alice', at: NOW }],
    });
    const used = step(granted, use(granted), END - 1);
    expect(used).toEqual({ ...granted, state: 'used' });
    expect(transition(used, use(used), NOW)).toEqual(no('over', 'used'));
  });

  it('is refused by the person whom it is about, however long ago they signed in', () => {
    const late = somebody('prs_alice', [], NOW - 10 * FRESH);
    expect(transition(own, says('refuse', late, own), NOW)).toEqual({ ok: true, value: { ...own, state: 'refused' } });
  });

  it.each([
    ['the agent that asked', 'agt_a'],
    ['the person it asked for', 'prs_alice'],
  ])('is withdrawn by %s, also after a grant', (_, by) => {
    expect(step(own, withdraw(by))).toEqual({ ...own, state: 'withdrawn' });
    expect(step(granted, withdraw(by))).toEqual({ ...granted, state: 'withdrawn' });
  });

  it.each(['agt_b', 'prs_bob', ''])('is not withdrawn by somebody else: %j', (by) => {
    expect(transition(own, withdraw(by), NOW)).toEqual(no('another_request', 'asked'));
    expect(transition(granted, withdraw(by), NOW)).toEqual(no('another_request', 'granted'));
  });

  it('is ended by Writ once a grant counts no more, and only then', () => {
    expect(step(granted, { event: 'lapse' })).toEqual({ ...granted, state: 'withdrawn' });
    expect(transition(own, { event: 'lapse' }, NOW)).toEqual(no('not_granted', 'asked'));
    expect(transition(granted, { event: 'lapse' }, END)).toEqual(no('over', 'expired'));
  });

  it('is not used before it is granted', () => {
    expect(transition(own, use(own), NOW)).toEqual(no('not_granted', 'asked'));
  });

  it('AP-02: is used for no other call than the one that was approved', () => {
    const other = asked(frozen(aBinding({}, { session: 'ses_2' })));
    expect(transition(granted, use(other), NOW)).toEqual(no('another_request', 'granted'));
  });

  it('AP-01: is not answered by who was shown another one', () => {
    const other = asked(frozen(aBinding({ expiresAt: END + 1 })));
    expect(transition(own, says('grant', alice, other), NOW)).toEqual(no('another_request', 'asked'));
    expect(transition(own, says('refuse', alice, other), NOW)).toEqual(no('another_request', 'asked'));
  });

  it('AP-09: is not answered by somebody else', () => {
    expect(transition(own, says('grant', bob, own), NOW)).toEqual(no('not_an_approver', 'asked'));
    expect(transition(own, says('refuse', bob, own), NOW)).toEqual(no('not_an_approver', 'asked'));
  });

  it('is not refused any more once all have granted; it can be withdrawn', () => {
    expect(transition(granted, says('refuse', alice, own), NOW)).toEqual(no('already_granted', 'granted'));
    expect(transition(granted, says('grant', alice, own), NOW)).toEqual(no('already_granted', 'granted'));
  });
});

describe('AP-16: who grants was verified just now', () => {
  it.each([
    ['in this second', NOW, true],
    ['as long ago as may be', NOW - FRESH, true],
    ['a second longer ago', NOW - FRESH - 1, false],
    ['by a clock that is a little ahead', NOW + 30, true],
    ['in the future', NOW + 31, false],
  ])('%s', (_, verifiedAt, isEnough) => {
    const next = transition(own, says('grant', somebody('prs_alice', [], verifiedAt), own), NOW);
    expect(next.ok ? next.value.state : next).toEqual(isEnough ? 'granted' : no('verify_again', 'asked'));
  });
});

describe('AP-07: a time-out means no', () => {
  it.each([
    ['asked', own],
    ['granted', granted],
  ])('and what is %s is over in the second of its end', (state, one) => {
    expect(standing(one, END - 1)).toBe(one);
    expect(standing(one, END)).toEqual({ ...one, state: 'expired' });
    expect(transition(one, withdraw('agt_a'), END - 1).ok).toBe(true);
    for (const event of [says('grant', alice, one), says('refuse', alice, one), withdraw('agt_a'), use(one)])
      expect([state, transition(one, event, END)]).toEqual([state, no('over', 'expired')]);
  });

  it('for ever, whatever a clock says later', () => {
    const over = standing(own, END);
    expect(transition(over, says('grant', somebody('prs_alice', [], NOW), own), NOW)).toEqual(no('over', 'expired'));
  });

  it.each(['refused', 'withdrawn', 'used'] as const)('and changes nothing of what was %s', (state) => {
    expect(standing({ ...own, state }, END)).toEqual({ ...own, state });
  });
});

describe('four eyes', () => {
  it.each<[string, Approver, object, boolean]>([
    ['somebody of the group', bob, FINANCE, true],
    ['somebody of another of its groups', carol, FINANCE, true],
    ['somebody of another group', bob, SECURITY, false],
    ['somebody of no group', somebody('prs_dave'), FINANCE, false],
    ['the person themself, who is of the group', alice, FINANCE, false],
    ['the person themself, where no group is named', alice, OWN, true],
    ['somebody else, where no group is named', bob, OWN, false],
  ])('%s', (_, by, demand, may) => {
    const one = ofDemands(demand);
    const state = may ? 'granted' : undefined;
    const next = transition(one, says('grant', by, one), NOW);
    expect(next.ok ? next.value.state : undefined).toBe(state);
    expect(next.ok || next.error).toEqual(may ? true : { reason: 'not_an_approver', state: 'asked' });
  });

  it('needs every demand granted, each by its own approver', () => {
    const one = ofDemands(OWN, FINANCE, SECURITY);
    const first = step(one, says('grant', bob, one));
    expect(first).toEqual({ ...one, answers: [{ policy: 'money', person: 'prs_bob', at: NOW }] });
    expect(transition(first, says('grant', bob, one), NOW)).toEqual(no('already_granted', 'asked'));
    expect(transition(first, use(one), NOW)).toEqual(no('not_granted', 'asked'));
    const second = step(first, says('grant', alice, one), NOW + 1);
    expect(second.state).toBe('asked');
    expect(step(second, says('grant', carol, one), NOW + 2)).toEqual({
      ...one,
      state: 'granted',
      answers: [
        { policy: 'money', person: 'prs_bob', at: NOW },
        { policy: 'deletions', person: 'prs_alice', at: NOW + 1 },
        { policy: 'secrets', person: 'prs_carol', at: NOW + 2 },
      ],
    });
  });

  it('lets one person who is of both groups grant both at once', () => {
    const one = ofDemands(FINANCE, SECURITY);
    const both = step(one, says('grant', carol, one));
    expect([both.state, both.answers.map(({ policy }) => policy)]).toEqual(['granted', ['money', 'secrets']]);
  });

  it('is ended by one no, also of who granted before', () => {
    const one = ofDemands(OWN, FINANCE);
    const half = step(one, says('grant', bob, one));
    expect(step(half, says('refuse', alice, one))).toEqual({ ...half, state: 'refused' });
    expect(step(half, says('refuse', bob, one))).toEqual({ ...half, state: 'refused' });
    expect(transition(half, says('refuse', somebody('prs_dave'), one), NOW)).toEqual(no('not_an_approver', 'asked'));
  });
});

describe('AP-19: what a grant lifts, when the active policy set may be another one', () => {
  const one = ofDemands(FINANCE, SECURITY);
  const both = step(one, says('grant', carol, one));
  it.each<[string, [string, string][], string[]]>([
    [
      'all that says what it said',
      [
        ['money', TEXT],
        ['secrets', TEXT],
        ['new', TEXT],
      ],
      ['money', 'secrets'],
    ],
    [
      'not what says something else now',
      [
        ['money', OTHER_TEXT],
        ['secrets', TEXT],
      ],
      ['secrets'],
    ],
    ['not what is gone', [['money', TEXT]], ['money']],
    ['nothing of another set', [['new', TEXT]], []],
  ])('%s', (_, active, lifted) => {
    expect(discharged(both, new Map(active))).toEqual(lifted);
  });

  it('is nothing before it is granted whole, and nothing once it is over', () => {
    const active = new Map([
      ['money', TEXT],
      ['secrets', TEXT],
    ]);
    const half = step(one, says('grant', bob, one));
    expect([one, half, step(both, use(one)), standing(both, END)].map((each) => discharged(each, active))).toEqual([
      [],
      [],
      [],
      [],
    ]);
  });

  it('is nothing that nobody granted, whatever the state says', () => {
    expect(discharged({ ...both, answers: [] }, new Map([['money', TEXT]]))).toEqual([]);
    const active = new Map(both.frozen.binding.demands.map(({ policy, text }) => [policy, text]));
    const [first] = both.answers;
    expect(first).toBeDefined();
    expect(discharged({ ...both, answers: both.answers.slice(0, 1) }, active)).toEqual([first?.policy]);
  });
});

describe('whatever is tried, in whatever order and at whatever time', () => {
  const one = ofDemands(OWN, FINANCE, SECURITY);
  const other = asked(frozen(aBinding({ demands: [OWN, FINANCE, SECURITY] }, { tool: 'wipe' })));
  const person = fc.constantFrom(alice, bob, carol, somebody('prs_dave'));
  const of = fc.oneof({ weight: 9, arbitrary: fc.constant(one) }, { weight: 1, arbitrary: fc.constant(other) });
  const event: fc.Arbitrary<ApprovalEvent> = fc.oneof(
    { weight: 8, arbitrary: fc.tuple(person, of).map(([by, which]) => says('grant', by, which)) },
    { weight: 1, arbitrary: fc.tuple(person, of).map(([by, which]) => says('refuse', by, which)) },
    { weight: 1, arbitrary: fc.constantFrom('agt_a', 'agt_b', 'prs_alice').map(withdraw) },
    { weight: 3, arbitrary: of.map(use) },
    { weight: 1, arbitrary: fc.constant<ApprovalEvent>({ event: 'lapse' }) },
  );
  const time = fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: NOW, max: NOW + FRESH }) },
    { weight: 1, arbitrary: fc.integer({ min: END - 2, max: END + 2 }) },
  );
  const tries = fc.array(fc.tuple(event, time), { maxLength: 24 });
  /** All that ever was, beginning with what was asked. */
  const historyOf = (all: readonly (readonly [ApprovalEvent, number])[]): readonly Approval[] =>
    all.reduce<readonly Approval[]>(
      (past, [what, now]) => {
        const before = past.at(-1) ?? one;
        const next = transition(before, what, now);
        return [...past, next.ok ? next.value : standing(before, now)];
      },
      [one],
    );
  const isOver = ({ state }: Approval): boolean => state !== 'asked' && state !== 'granted';

  it('AP-10: what is over remains what it is', () => {
    fc.assert(
      fc.property(tries, (all) => {
        const history = historyOf(all);
        const end = history.findIndex(isOver);
        const after = end < 0 ? [] : history.slice(end);
        expect(new Set(after.map(({ state }) => state)).size).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('AP-11: it is used at most once, and only after it was granted', () => {
    fc.assert(
      fc.property(tries, (all) => {
        const states = historyOf(all).map(({ state }) => state);
        const used = states.indexOf('used');
        if (used >= 0) expect(states[used - 1]).toBe('granted');
      }),
    );
  });

  it('AP-16: it is granted only when somebody who may has answered each demand, once', () => {
    const known = new Map([alice, bob, carol].map((each) => [each.person, each]));
    fc.assert(
      fc.property(tries, (all) => {
        for (const {
          state,
          answers,
          frozen: { binding },
        } of historyOf(all)) {
          const of = new Map(answers.map(({ policy, person: by }) => [policy, known.get(by) ?? somebody(by)]));
          expect(of.size).toBe(answers.length);
          for (const demand of binding.demands) {
            const by = of.get(demand.policy);
            expect(by === undefined || mayAnswer(by, demand, 'prs_alice')).toBe(true);
            expect(by !== undefined || (state !== 'granted' && state !== 'used')).toBe(true);
          }
        }
      }),
    );
  });

  it('reaches every state, so that the properties above say something', () => {
    const reached = new Set(
      fc
        .sample(tries, { numRuns: 2_000, seed: 7 })
        .flatMap((all) => historyOf(all))
        .map(({ state }) => state),
    );
    expect([...reached].sort()).toEqual(['asked', 'expired', 'granted', 'refused', 'used', 'withdrawn']);
  });
});
