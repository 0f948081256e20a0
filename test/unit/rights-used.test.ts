import { describe, expect, it } from '@jest/globals';
import { LogRecord, rightsUsedBy } from '../../src/audit/index.js';

const FILES = 'https://files.example';
const EXCHANGE = LogRecord.parse({
  ...{ v: 1, salt: 'salt', kind: 'exchange', at: 1_000 },
  facts: {
    client: { id: 'agt_writer', kind: 'agent', method: 'private_key_jwt', key: 'k' },
    actors: [
      { sub: 'agt_writer/one', iss: 'https://writ.example' },
      { sub: 'agt_planner', iss: 'https://writ.example' },
    ],
    target: { kind: 'server', resource: FILES },
    tools: [{ name: 'write_file', arguments_sha256: null, max_uses: 1 }],
    scope: 'files:write files:read',
  },
  outcome: { decision: 'permit', reason: 'permitted', session: null, sequence: null, seen: 0 },
});
const used = (change: Partial<LogRecord>): readonly string[] =>
  rightsUsedBy({ ...EXCHANGE, ...change }).map(({ client, kind, name }) => `${client} ${kind} ${name}`.trim());
const ALL = ['server', 'tool write_file', 'scope files:write', 'scope files:read'];

describe('the rights that a record shows to be used', () => {
  it('are server, tools and scopes of a permit, of the client and of everybody who handed over to it', () => {
    expect(used({})).toEqual(['agt_writer', 'agt_planner'].flatMap((id) => ALL.map((right) => `${id} ${right}`)));
    expect(rightsUsedBy(EXCHANGE)[0]).toEqual({
      ...{ client: 'agt_writer', resource: FILES, kind: 'server', name: '', at: 1_000 },
    });
  });

  it('are the server alone where a token names no tool and no scope', () => {
    expect(used({ facts: { ...EXCHANGE.facts, actors: null, tools: null, scope: null } })).toEqual([
      'agt_writer server',
    ]);
  });

  it('are those of a decision point that was asked about a call', () => {
    const facts = { what: 'call', agents: ['agt_writer'], server: FILES, tool: 'read_file' };
    expect(used({ kind: 'decision', facts })).toEqual(['agt_writer server', 'agt_writer tool read_file']);
  });

  it.each<[string, Readonly<Record<string, string>>, string]>([
    ['to hand over to the agent that a token is for', { kind: 'agent', clientId: 'agt_other' }, 'hand_over agt_other'],
    ['to tokens for the trust domain', { kind: 'domain', name: 'trust.example' }, 'domain'],
  ])('are the right %s, of the client alone', (_, target, right) => {
    const facts = { ...EXCHANGE.facts, target, tools: null };
    expect(used({ facts })).toEqual([`agt_writer ${right}`]);
  });

  it.each<[string, Partial<LogRecord>]>([
    ['refused', { outcome: { ...EXCHANGE.outcome, decision: 'refuse' } }],
    ['for nobody that is known', { facts: { ...EXCHANGE.facts, target: { kind: 'agent', sha256: 'x' } } }],
    ['no exchange', { kind: 'introspection' }],
  ])('are none of what was %s', (_, change) => {
    expect(used(change)).toEqual([]);
  });
});
