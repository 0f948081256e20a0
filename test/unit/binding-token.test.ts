import { describe, expect, it } from '@jest/globals';
import { bindingTokens } from '../../src/authzen/binding-token.js';

const ISSUER = 'https://writ.example';
const KEY = new Uint8Array(32).fill(1);
const OTHER = new Uint8Array(32).fill(2);
const NOW = 1_800_000_000;
const question = {
  subject: { type: 'identity', id: 'prs_a', properties: { act: 'agt_a' } },
  action: { name: 'tools/call', properties: {} },
  resource: { type: 'tool', id: 'write_file', properties: {} },
  context: { arguments: { path: '/a' }, note: 'anything' },
};
const denial = { evaluation: 'dec_a', client: 'srv_a', agents: ['agt_a'] };
const tokens = bindingTokens(ISSUER, [KEY]);
const given = tokens.give(denial, question, NOW) ?? { token: '', expiresAt: '' };
const asked = { question, client: 'srv_a', agents: ['agt_a'], expiresAt: given.expiresAt };
const bound = { ok: true, value: { evaluation: 'dec_a', jti: expect.stringMatching(/^bnd_/) as unknown } };
const unbound = { ok: false, error: 'invalid_denial_binding' };

describe('the proof of a denial (ARAP, binding token integrity)', () => {
  it('is good for five minutes', () => {
    expect(given.expiresAt).toBe(new Date((NOW + 300) * 1000).toISOString());
    expect(tokens.read(given.token, asked, NOW + 299)).toEqual(bound);
  });

  it('is of no use after its end', () => {
    expect(tokens.read(given.token, asked, NOW + 300)).toEqual({ ok: false, error: 'expired_denial' });
  });

  it('is read by a server whose encryption key was changed since, as long as it has the earlier one', () => {
    expect(bindingTokens(ISSUER, [OTHER, KEY]).read(given.token, asked, NOW)).toEqual(bound);
    expect(bindingTokens(ISSUER, [OTHER]).read(given.token, asked, NOW)).toEqual(unbound);
  });

  it('is of one issuer', () => {
    expect(bindingTokens('https://other.example', [KEY]).read(given.token, asked, NOW)).toEqual(unbound);
  });

  it.each<[string, object]>([
    ['another caller', { client: 'srv_b' }],
    ['another chain', { agents: ['agt_a', 'agt_b'] }],
    ['another end', { expiresAt: new Date((NOW + 301) * 1000).toISOString() }],
    ['another person', { question: { ...question, subject: { ...question.subject, id: 'prs_b' } } }],
    ['another action', { question: { ...question, action: { name: 'tools/list', properties: {} } } }],
    ['a property more', { question: { ...question, resource: { ...question.resource, properties: { a: 1 } } } }],
    ['other arguments', { question: { ...question, context: { arguments: { path: '/b' } } } }],
    ['a key more', { question: { ...question, context: { ...question.context, cnf: { jkt: 'A' } } } }],
  ])('is not for %s', (_what, change) => {
    expect(tokens.read(given.token, { ...asked, ...change }, NOW)).toEqual(unbound);
  });

  it('lets the actor stand elsewhere, and notes beside the question differ', () => {
    const subject = { ...question.subject, properties: {} };
    const context = { arguments: { path: '/a' }, business_justification: 'month end' };
    expect(tokens.read(given.token, { ...asked, question: { ...question, subject, context } }, NOW)).toEqual(bound);
  });

  it.each<[string, (token: string) => string]>([
    ['no text', () => ''],
    ['two parts', (token) => token.split('.').slice(0, 2).join('.')],
    ['four parts', (token) => `${token}.A`],
    ['another header', (token) => token.replace(/^[^.]+/, Buffer.from('{"alg":"none"}').toString('base64url'))],
    ['another spelling of its signature', (token) => `${token}=`],
    ['a bit less of its signature', (token) => token.slice(0, -4)],
  ])('is unreadable with %s', (_what, change) => {
    expect(tokens.read(change(given.token), asked, NOW)).toEqual(unbound);
  });

  it('is not made of what has no RFC 8785 form', () => {
    const lone = { ...question, context: { arguments: { path: '\ud800' } } };
    expect(tokens.give(denial, lone, NOW)).toBeUndefined();
  });
});
