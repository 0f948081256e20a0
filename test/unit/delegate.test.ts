import { describe, expect, it } from '@jest/globals';
import { delegate, type Presenter, type Subject, type Wanted } from '../../src/delegation/index.js';
import type { Actor } from '../../src/protocol/index.js';
import { delegation, ISS, NOW, presenter, RS, server, subject, wanted } from '../support/delegations.js';

const actor = (sub: string, iss = ISS): Actor => ({ sub, iss, sub_profile: 'ai_agent' });
type Parts = Readonly<{ subject?: Subject; presenter?: Presenter; wanted?: Wanted; maxActors?: number }>;
const outcome = ({ maxActors = 5, ...parts }: Parts): unknown => {
  const made = delegate(
    { subject: subject(), presenter: presenter(), wanted: wanted(), ...parts },
    { issuer: ISS, maxActors },
  );
  return made.ok ? 'delegated' : made.error;
};

describe('who may exchange it (DESIGN 2)', () => {
  it('only the one that it is for', () => {
    expect(outcome({ presenter: presenter('agt_b') })).toEqual({ reason: 'not_exchangeable_by_caller' });
    expect(outcome({})).toBe('delegated');
  });

  it.each([
    ['another agent', { sub: 'agt_c', iss: ISS }, { reason: 'may_act_names_another' }],
    [
      'the same name of another issuer',
      { sub: 'agt_b', iss: 'https://evil.example' },
      { reason: 'may_act_names_another' },
    ],
    ['the caller', { sub: 'agt_b', iss: ISS }, 'delegated'],
  ])('RFC 8693 §4.4: may_act that names %s', (_, mayAct, wantedOutcome) => {
    expect(outcome({ subject: subject({ exchangeableBy: 'agt_b', mayAct }), presenter: presenter('agt_b') })).toEqual(
      wantedOutcome,
    );
  });

  it('RFC 8693 §4.4: may_act alone is not enough', () => {
    const mayAct = { sub: 'agt_b', iss: ISS };
    expect(outcome({ subject: subject({ mayAct }), presenter: presenter('agt_b') })).toEqual({
      reason: 'not_exchangeable_by_caller',
    });
  });
});

describe('the key that it is bound to (RFC 9449)', () => {
  const transaction = { kind: 'transaction' as const, exchangeableBy: 'srv_files' };
  it.each<[string, Parts, unknown]>([
    ['is kept', { subject: subject({ jkt: 'k1' }), presenter: presenter('agt_a', { jkt: 'k1' }) }, 'k1'],
    ['is raised', { presenter: presenter('agt_a', { jkt: 'k1' }) }, 'k1'],
    ['may be absent in both', {}, undefined],
    [
      'becomes the server’s own, which cannot hold its caller’s',
      { subject: subject({ ...transaction, jkt: 'k1' }), presenter: server({ jkt: 'k2' }) },
      'k2',
    ],
    [
      'is any key where a hand-over only says that there must be one',
      { subject: subject({ mustBind: true }), presenter: presenter('agt_a', { jkt: 'k3' }) },
      'k3',
    ],
  ])('%s', (_, parts, jkt) => {
    expect(delegation(parts).jkt).toBe(jkt);
  });

  it.each<[string, Parts, string]>([
    ['without a proof', { subject: subject({ jkt: 'k1' }) }, 'proof_required'],
    [
      'by another key',
      { subject: subject({ jkt: 'k1' }), presenter: presenter('agt_a', { jkt: 'k2' }) },
      'proof_of_another_key',
    ],
    [
      'of a server without a proof',
      { subject: subject({ ...transaction, jkt: 'k1' }), presenter: server() },
      'proof_required',
    ],
    ['of a hand-over without a proof', { subject: subject({ mustBind: true }) }, 'proof_required'],
    [
      'of a person’s token by a server’s key',
      { subject: subject({ exchangeableBy: 'srv_files', jkt: 'k1' }), presenter: server({ jkt: 'k2' }) },
      'proof_of_another_key',
    ],
    [
      'of a transaction’s token by another key of an agent',
      { subject: subject({ kind: 'transaction', jkt: 'k1' }), presenter: presenter('agt_a', { jkt: 'k2' }) },
      'proof_of_another_key',
    ],
  ])('is never lowered: refused %s', (_, parts, reason) => {
    expect(outcome(parts)).toEqual({ reason });
  });
});

describe('the chain (RFC 8693 section 4.1, Actor Profile)', () => {
  const handed = (actors: readonly Actor[], by: string): Subject =>
    subject({ kind: 'hand-over', exchangeableBy: by, actors });

  it('begins with the agent that presents the person’s token', () => {
    expect(delegation({}).actors).toEqual([actor('agt_a')]);
  });
  it('nests what was there, unchanged, inside a new presenter', () => {
    const parts = { subject: handed([actor('agt_a')], 'agt_b'), presenter: presenter('agt_b') };
    expect(delegation(parts).actors).toEqual([actor('agt_b'), actor('agt_a')]);
  });
  it('stays what it is when the same actor goes on', () => {
    const chain = [actor('agt_b'), actor('agt_a')];
    expect(delegation({ subject: handed(chain, 'agt_b'), presenter: presenter('agt_b') }).actors).toEqual(chain);
  });
  it('stays what it is when a server asks for a transaction token: the call chain says who asked', () => {
    const parts = {
      subject: subject({ kind: 'transaction', exchangeableBy: 'srv_files', actors: [actor('agt_a')] }),
      presenter: server(),
      wanted: wanted({ target: { kind: 'domain', name: 'trust.example' } }),
    };
    expect(delegation(parts).actors).toEqual([actor('agt_a')]);
    expect(delegation(parts).callChain).toEqual([{ wl: RS }]);
  });
  it('grows by the server that goes on to another server with its caller’s token', () => {
    const parts = {
      subject: subject({ kind: 'transaction', exchangeableBy: 'srv_files', actors: [actor('agt_a')] }),
      presenter: server(),
      wanted: wanted({ target: { kind: 'server', resource: 'https://mcp2.example' } }),
    };
    expect(delegation(parts).actors).toEqual([server().actor, actor('agt_a')]);
  });
  it('grows by the sub-agent that asks for a transaction token with what was handed to it', () => {
    const parts = {
      subject: handed([actor('agt_a')], 'agt_b'),
      presenter: presenter('agt_b'),
      wanted: wanted({ target: { kind: 'domain', name: 'trust.example' } }),
    };
    expect(delegation(parts).actors).toEqual([actor('agt_b'), actor('agt_a')]);
  });
  it('grows by another instance of the same client, which may come once', () => {
    const [one, two] = [actor('agt_a/one'), actor('agt_a/two')];
    const by = (sub: string) => presenter('agt_a', { actor: actor(sub) });
    expect(delegation({ subject: handed([one], 'agt_a'), presenter: by('agt_a/two') }).actors).toEqual([two, one]);
    expect(outcome({ subject: handed([two, one], 'agt_a'), presenter: by('agt_a/three') })).toEqual({
      reason: 'actor_loop',
      actor: 'agt_a/three',
    });
  });
  it('may never return to an actor that is in it', () => {
    expect(outcome({ subject: handed([actor('agt_b'), actor('agt_a')], 'agt_a') })).toEqual({
      reason: 'actor_loop',
      actor: 'agt_a',
    });
  });
  it('tells actors apart by issuer and subject together', () => {
    const parts = { subject: handed([actor('agt_b'), actor('agt_a', 'https://other.example')], 'agt_a') };
    expect(delegation(parts).actors).toHaveLength(3);
    const namesake = handed([actor('agt_a', 'https://other.example')], 'agt_a');
    expect(delegation({ subject: namesake }).actors).toEqual([actor('agt_a'), actor('agt_a', 'https://other.example')]);
  });

  const chainOf = (length: number): Actor[] => Array.from({ length }, (_, n) => actor(`agt_${n}`));
  it.each([
    ['one less than the limit', 4, 5, 'delegated'],
    ['the limit', 5, 5, { reason: 'chain_too_long', depth: 6, limit: 5 }],
    ['more than the limit, before anything is added', 6, 5, { reason: 'chain_too_long', depth: 6, limit: 5 }],
    ['the hard cap, whatever is configured', 8, 100, { reason: 'chain_too_long', depth: 9, limit: 8 }],
    ['a limit of one', 1, 1, { reason: 'chain_too_long', depth: 2, limit: 1 }],
  ])('with %s of actors', (_, length, maxActors, wantedOutcome) => {
    expect(outcome({ subject: handed(chainOf(length), 'agt_z'), presenter: presenter('agt_z'), maxActors })).toEqual(
      wantedOutcome,
    );
  });
});

describe('the call chain', () => {
  const tool = (name: string) => ({
    name,
    arguments: undefined,
    argumentsSha256: undefined,
    definitionSha256: undefined,
    maxUses: undefined,
  });
  it.each([
    ['a server', wanted(), [{ wl: 'agt_a' }, { wl: RS }]],
    ['one tool', wanted({ tools: [tool('read')] }), [{ wl: 'agt_a' }, { wl: RS, tool: 'read' }]],
    ['several tools', wanted({ tools: [tool('read'), tool('list')] }), [{ wl: 'agt_a' }, { wl: RS }]],
    ['a sub-agent', wanted({ target: { kind: 'agent', clientId: 'agt_b' } }), [{ wl: 'agt_a' }]],
  ])('names where the call goes: %s', (_, wish, chain) => {
    expect(delegation({ wanted: wish }).callChain).toEqual(chain);
  });
  it.each([
    ['which is the second', [{ wl: 'agt_a' }, { wl: RS }]],
    ['which is further on', [{ wl: 'agt_a' }, { wl: 'https://mcp0.example' }, { wl: RS }]],
  ])('names nobody twice in a row: the last, %s', (_, callChain) => {
    const parts = {
      subject: subject({ kind: 'transaction', exchangeableBy: 'srv_files', callChain }),
      presenter: server(),
      wanted: wanted({ target: { kind: 'server', resource: 'https://mcp2.example' } }),
    };
    expect(delegation(parts).callChain).toEqual([...callChain, { wl: 'https://mcp2.example' }]);
  });
  it('ends: more than sixteen hops are refused', () => {
    const after = (length: number): unknown =>
      outcome({ subject: subject({ callChain: Array.from({ length }, (_, n) => ({ wl: `w${n}` })) }) });
    expect(after(14)).toBe('delegated');
    expect(after(15)).toEqual({ reason: 'chain_too_long', depth: 17, limit: 16 });
  });
});

describe('CH-03: a tool that the transaction has called', () => {
  const MCP2 = 'https://mcp2.example';
  const tool = (name: string) => ({
    name,
    arguments: undefined,
    argumentsSha256: undefined,
    definitionSha256: undefined,
    maxUses: undefined,
  });
  const called = (changes: Partial<Subject> = {}): Subject =>
    subject({
      kind: 'transaction',
      exchangeableBy: 'srv_two',
      callChain: [{ wl: 'agt_a' }, { wl: RS, tool: 'read' }, { wl: MCP2 }],
      ...changes,
    });
  const next = (changes: Partial<Wanted>, of: Subject = called()): unknown =>
    outcome({
      subject: of,
      presenter: presenter('srv_two', { kind: 'server', workload: MCP2 }),
      wanted: wanted(changes),
    });

  it.each<[string, Partial<Wanted>, Subject, string]>([
    ['by its name', { tools: [tool('read')] }, called(), 'read'],
    ['among others', { tools: [tool('list'), tool('read')] }, called(), 'read'],
    ['by a request that names none', {}, called(), 'read'],
    [
      'and that the chain does not name',
      { tools: [tool('list')] },
      called({ callChain: [{ wl: 'agt_a' }, { wl: RS }, { wl: MCP2 }] }),
      '*',
    ],
  ])('is not called again %s', (_, changes, of, again) => {
    expect(next(changes, of)).toEqual({ reason: 'call_loop', tool: again });
  });

  it.each<[string, Partial<Wanted>, Subject]>([
    ['another tool of that server', { tools: [tool('list')] }, called()],
    [
      'the tool of that name of another server',
      { target: { kind: 'server', resource: `${RS}/b` }, tools: [tool('read')] },
      called(),
    ],
    ['no tool, only the trust domain', { target: { kind: 'domain', name: 'trust.example' } }, called()],
    [
      'the server that the transaction began at, as who asks and not as who was called',
      { tools: [tool('read')] },
      called({ callChain: [{ wl: RS, tool: 'read' }, { wl: MCP2 }] }),
    ],
    ['the same tool with a token that is no transaction’s', { tools: [tool('read')] }, called({ kind: 'hand-over' })],
  ])('leaves the way open to %s', (_, changes, of) => {
    expect(next(changes, of)).toBe('delegated');
  });
});

describe('what the transaction is for', () => {
  const of = (task: string | undefined, purpose: string | undefined) => ({ task, purpose });
  it.each([
    ['is said by the first request', of(undefined, undefined), { task: 'T-1', purpose: 'p' }, of('T-1', 'p')],
    ['is inherited when a later one says nothing', of('T-1', 'p'), {}, of('T-1', 'p')],
    ['may be said again', of('T-1', 'p'), { task: 'T-1', purpose: 'p' }, of('T-1', 'p')],
    ['may be completed', of('T-1', undefined), { purpose: 'p' }, of('T-1', 'p')],
  ])('%s', (_, context, said, after) => {
    expect(delegation({ subject: subject({ context }), wanted: wanted(said) }).context).toEqual(after);
  });
  it.each(['task', 'purpose'] as const)('does not change: another %s is refused', (member) => {
    expect(outcome({ subject: subject({ context: of('a', 'a') }), wanted: wanted({ [member]: 'b' }) })).toEqual({
      reason: 'context_changed',
      member,
    });
  });
});

describe('its end', () => {
  it.each([
    [undefined, NOW + 600],
    [NOW + 60, NOW + 60],
    [NOW + 6_000, NOW + 600],
  ])('is the earlier of subject and actor (actor: %p)', (expiresAt, notAfter) => {
    expect(delegation({ presenter: presenter('agt_a', { expiresAt }) }).notAfter).toBe(notAfter);
  });
});
