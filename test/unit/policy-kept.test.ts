import { describe, expect, it } from '@jest/globals';
import { type DecisionInput, KeptInput, type PolicyTool, withoutArguments } from '../../src/policy/index.js';
import { anInput, aSession, aTool, BANK, setOf, theTransfer, transfer } from '../support/policies.js';

const ALL = `@id("people") permit(principal is Person, action, resource);
@id("agents") permit(principal is Agent, action, resource);\n`;
const TRANSFER = `action == Action::"${BANK}#transfer"`;
const unless = (condition: string, id = 'limit'): string =>
  `@id("${id}") forbid(principal, ${TRANSFER}, resource) unless { context has arguments && ${condition} };\n`;
const AMOUNT = unless('context.arguments.amount.lessThanOrEqual(decimal("500.0"))');
const CANARY = 'canary-of-an-argument';
const payment = { amount: 5, to: CANARY, times: 1 };

/** What this set keeps of its decision, after a journey through JSON as the database makes it. */
function kept(text: string, input: DecisionInput, tools: readonly PolicyTool[] = [aTool(), transfer]): KeptInput {
  const set = setOf(text, tools);
  return KeptInput.parse(JSON.parse(JSON.stringify(set.keep(input, set.decide(input)))));
}
const redecided = (text: string, past: KeptInput, tools: readonly PolicyTool[] = [aTool(), transfer]) =>
  setOf(text, tools).redecide(past);

describe('of the input of a decision', () => {
  it('everything but the arguments is kept', () => {
    const input = anInput({ task: 'T-1', purpose: 'tests', acr: 'urn:a', authTime: 1, session: aSession({ age: 60 }) });
    const { tool, person, agent, chain, now, ip } = input;
    expect(kept(ALL, input)).toEqual({
      ...{ form: 1, outcome: 'allow', fingerprint: expect.stringMatching(/^[\w-]{43}$/) },
      ...{
        tool,
        person,
        agent,
        chain,
        now,
        ip,
        session: { state: 'new', age: 60, depth: 0 },
        task: 'T-1',
        purpose: 'tests',
      },
      ...{ acr: 'urn:a', authTime: 1, senderConstrained: true, discharged: [] },
    });
  });

  it('an argument that some policy names is kept, as policies see it, and no other', () => {
    const past = kept(ALL + AMOUNT, theTransfer(payment));
    expect(past.arguments).toEqual({
      seen: { amount: { __extn: { fn: 'decimal', arg: '5.0' } } },
      covered: { amount: true },
    });
    expect(JSON.stringify(past)).not.toContain(CANARY);
  });

  it('a sensitive argument is not kept although a policy names it, nor where all arguments are named', () => {
    const tools = [aTool(), { ...transfer, sensitive: ['to'] }];
    const named = ALL + AMOUNT + unless('context.arguments.to != "x"', 'to');
    expect(kept(named, theTransfer(payment), tools).arguments).toEqual({
      seen: { amount: { __extn: { fn: 'decimal', arg: '5.0' } } },
      covered: { amount: true },
    });
    const whole = ALL + unless('context.arguments == context.arguments', 'all');
    const past = kept(whole, theTransfer(payment), tools);
    expect(past.arguments).toMatchObject({ covered: { amount: true, times: true, note: true } });
    expect(JSON.stringify(past)).not.toContain(CANARY);
    expect(kept(whole, theTransfer(payment)).arguments).toMatchObject({ seen: { to: CANARY }, covered: true });
  });

  it('of an argument that is only asked whether it is there, that it is there', () => {
    const past = kept(ALL + unless('context.arguments has note'), theTransfer({ ...payment, note: CANARY }));
    expect(past.arguments).toEqual({ seen: { note: true }, covered: { note: {} } });
    expect(redecided(ALL + unless('context.arguments has note'), past)).toMatchObject({ verdict: 'allow' });
    const reading = unless('context.arguments has note && context.arguments.note == "x"');
    expect(redecided(ALL + reading, past)).toEqual({ undecidable: 'not_kept' });
  });

  it('nothing of arguments that could not be read, but what was wrong with them', () => {
    const past = kept(ALL + AMOUNT, theTransfer({ ...payment, times: CANARY }));
    expect([past.outcome, past.arguments]).toEqual(['deny', { problem: 'wrong_type' }]);
    expect(redecided(ALL, past)).toMatchObject({ verdict: 'deny', reason: 'unreadable_arguments' });
    const unfit = kept(ALL + AMOUNT, theTransfer({ ...payment, amount: 0.00001 }));
    expect(unfit.arguments).toEqual({ problem: 'out_of_range' });
    expect(redecided(ALL, unfit)).toEqual({ undecidable: 'not_kept' });
  });

  it('nothing of a tool that the set does not know', () => {
    const input = anInput({ tool: { server: BANK, name: 'nothing' } });
    const set = setOf(ALL);
    expect(set.keep(input, set.decide(input))).toBeUndefined();
  });
});

describe('what was kept is decided again', () => {
  const past = kept(ALL + AMOUNT, theTransfer(payment));

  it.each([
    ['the same set', ALL + AMOUNT, { verdict: 'allow', policies: ['agents', 'people'] }],
    [
      'a stricter one',
      ALL + unless('context.arguments.amount.lessThan(decimal("5.0"))'),
      { verdict: 'deny', reason: 'forbidden', policies: ['limit'] },
    ],
    ['one that names no argument', ALL, { verdict: 'allow' }],
    ['one that only looks whether there are arguments', ALL + unless('true'), { verdict: 'allow' }],
  ])('by %s, as if it had decided then', (_title, text, verdict) => {
    expect(redecided(text, past)).toMatchObject(verdict);
  });

  it('never where the candidate looks at an argument that was not kept, be it there or not', () => {
    const looking = ALL + unless('context.arguments.to == "x"');
    expect(redecided(looking, past)).toEqual({ undecidable: 'not_kept' });
    expect(redecided(looking, withoutArguments(past))).toEqual({ undecidable: 'not_kept' });
    expect(redecided(looking, kept(ALL, theTransfer(undefined)))).toMatchObject({ verdict: 'deny' });
  });

  it('never for a tool that is gone, or was reviewed with another schema or class since', () => {
    expect(redecided(ALL, past, [aTool()])).toEqual({ undecidable: 'tool_gone' });
    const changed = { ...transfer, inputSchema: { ...transfer.inputSchema, additionalProperties: true } };
    expect(redecided(ALL, past, [changed])).toEqual({ undecidable: 'tool_changed' });
    expect(redecided(ALL, past, [{ ...transfer, tier: 'low' }])).toEqual({ undecidable: 'tool_changed' });
  });
});
