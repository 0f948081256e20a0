import { describe, expect, it } from '@jest/globals';
import { Agent, cutOffs, isNarrowed, McpServer, type McpServerInput, TrustedIssuer } from '../../src/registry/index.js';
import { makeKey } from '../support/writ.js';
import { reviewedTool } from '../../scripts/reviewed-tool.js';

const RESOURCE = 'https://mcp1.example';
const authentication = { method: 'private_key_jwt', jwks: { keys: [makeKey('k').jwk] } } as const;
const agent = (more: Partial<Agent> = {}): Agent => ({
  ...Agent.parse({
    client_id: 'agt_a',
    name: 'A',
    owner: 'o',
    purpose: 'p',
    authentication,
    allow: [],
    expires_at: '2036-01-01T00:00:00Z',
  }),
  ...more,
});
const read = reviewedTool('read_file', { scopes: ['repo:read'], tier: 'low', action: 'read' });
const server = (more: Partial<McpServerInput> = {}): McpServer =>
  McpServer.parse({
    ...{ resource: RESOURCE, client_id: 'srv_a', name: 'S', owner: 'o', authentication, scopes: ['repo:read'] },
    tools: [read],
    ...more,
  });
/** A document as it is stored. */
const stored = (object: object): unknown => JSON.parse(JSON.stringify(object));

describe('what a change of the registry cuts off', () => {
  const nothing = [
    ['an agent that is new', undefined, agent()],
    ['an agent with another name', stored(agent()), agent({ name: 'B' })],
    ['an agent that was disabled before', stored(agent({ status: 'disabled' })), undefined],
    ['an agent that is enabled again', stored(agent({ status: 'disabled' })), agent()],
    ['a server that is as it was', stored(server()), server()],
    ['a tool that is new', stored(server({ tools: [] })), server()],
    ['a tool of another tier', stored(server()), server({ tools: [{ ...read, tier: 'high' }] })],
    ['a document of another kind', 'no document', agent()],
  ] as const;
  it.each(nothing)('is nothing by %s', (_title, before, after) => {
    expect(cutOffs(before, after)).toEqual([]);
  });

  it.each([
    ['disabled', agent({ status: 'disabled' })],
    ['removed', undefined],
  ] as const)('is an agent that is %s', (_title, after) => {
    expect(cutOffs(stored(agent()), after)).toEqual(['agent:agt_a']);
  });

  it.each([
    ['disabled', server({ status: 'disabled' })],
    ['removed', undefined],
  ] as const)('is a server that is %s, and what it asked of others', (_title, after) => {
    expect(cutOffs(stored(server()), after)).toEqual([`server:${RESOURCE}`, 'agent:srv_a']);
  });

  const issuer: TrustedIssuer = {
    ...TrustedIssuer.parse({
      issuer: 'https://idp.example',
      name: 'I',
      jwks: authentication.jwks,
      accepts: [{ token_type: 'urn:ietf:params:oauth:token-type:access_token', typ: 'at+jwt' }],
      agents: ['agt_a'],
    }),
  };
  it.each([
    ['disabled', { ...issuer, status: 'disabled' as const }],
    ['removed', undefined],
  ] as const)('is a trusted issuer that is %s, and nothing by one that is as it was', (_title, after) => {
    expect(cutOffs(stored(issuer), after)).toEqual(['issuer:https://idp.example']);
    expect(cutOffs(stored(issuer), issuer)).toEqual([]);
  });

  it.each([
    ['narrows one whose stored document nobody can read', { ...issuer, agents: 'agt_a' }, true],
    ['narrows one of whom nothing is known but that it was there', null, true],
    ['narrows none that is new', undefined, false],
    ['narrows none that is as it was', issuer, false],
  ] as const)('%s', (_title, before, narrowed) => {
    expect(isNarrowed(before && stored(before), issuer)).toBe(narrowed);
  });

  const draft = { ...read, reviewed: undefined };
  it('is a tool that is gone', () => {
    expect(cutOffs(stored(server()), server({ tools: [] }))).toEqual([`tool:${RESOURCE}#read_file`]);
  });
  it('is a tool that nobody stands for any more', () => {
    expect(cutOffs(stored(server()), server({ tools: [draft] }))).toEqual([`tool:${RESOURCE}#read_file`]);
  });
  it('is a tool that waits for a review', () => {
    const changed = { sha256: 'A'.repeat(43), seen_by: 'import', seen_at: '2036-01-01T00:00:00Z' } as const;
    expect(cutOffs(stored(server()), server({ tools: [{ ...read, changed }] }))).toEqual([
      `tool:${RESOURCE}#read_file`,
    ]);
  });
});
