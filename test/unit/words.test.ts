import { describe, expect, it } from '@jest/globals';
import {
  Act,
  ClientId,
  flattenAct,
  formatScope,
  Identifier,
  isLoopback,
  isSecureUrl,
  Issuer,
  McpToolCalls,
  MayAct,
  nestAct,
  parseScope,
  ResourceUri,
  ScopeToken,
  ToolName,
  wellKnown,
} from '../../src/protocol/index.js';

const takes = (schema: { safeParse(value: unknown): { success: boolean } }) => (value: unknown) =>
  schema.safeParse(value).success;

describe('RFC 8707 section 2: a resource has one spelling', () => {
  it.each([
    'https://mcp.example',
    'https://mcp.example/files',
    'https://mcp.example:8443/a/b',
    'http://127.0.0.1:3000/mcp',
    'http://[::1]:3000/mcp',
  ])('%s', (uri) => {
    expect(takes(ResourceUri)(uri)).toBe(true);
  });
  it.each([
    ['a fragment', 'https://mcp.example/files#x'],
    ['an empty fragment', 'https://mcp.example/files#'],
    ['a query', 'https://mcp.example/files?x=1'],
    ['a trailing slash', 'https://mcp.example/files/'],
    ['the slash of the root', 'https://mcp.example/'],
    ['upper case', 'https://MCP.example/files'],
    ['the default port', 'https://mcp.example:443/files'],
    ['dot segments', 'https://mcp.example/a/../files'],
    ['escaped dot segments', 'https://mcp.example/a/%2e%2e/files'],
    ['user information', 'https://a:b@mcp.example/files'],
    ['http elsewhere', 'http://mcp.example/files'],
    ['http at a name that only looks local', 'http://127.0.0.1.example/files'],
    ['another scheme', 'ftp://mcp.example/files'],
    ['no scheme', 'mcp.example/files'],
    ['a backslash', 'https:\\\\mcp.example\\files'],
    ['a space', ' https://mcp.example/files'],
    ['a short address', 'http://127.1/files'],
  ])('not with %s', (_, uri) => {
    expect(takes(ResourceUri)(uri)).toBe(false);
  });
});

describe('RFC 6749 section 3.3: scope', () => {
  it('is split at single spaces, and order and doubles mean nothing', () => {
    expect(parseScope('b a b')).toEqual(['b', 'a']);
    expect(formatScope(['b', 'a', 'b'])).toBe('a b');
  });
  it.each(['', ' ', 'a  b', ' a', 'a ', 'a\tb', 'a\nb', 'a"b', 'a\\b', 'ü', 'a\u00a0b', 'x'.repeat(129)])(
    'is not %j',
    (text) => {
      expect(parseScope(text)).toBeUndefined();
    },
  );
  it('has at most 256 tokens', () => {
    expect(parseScope(Array.from({ length: 257 }, (_, n) => `s${n}`).join(' '))).toBeUndefined();
  });
  it.each(['repo:read', '!', '~', '[a]'])('token %s', (token) => {
    expect(takes(ScopeToken)(token)).toBe(true);
  });
});

describe('names', () => {
  it.each(['read_file', 'a.b-C_9', 'x'.repeat(128)])('tool %.20s', (name) => {
    expect(takes(ToolName)(name)).toBe(true);
  });
  it.each(['', 'a b', 'ä', 'a/b', 'x'.repeat(129), 'a\n', 'а'])('no tool %.20j', (name) => {
    expect(takes(ToolName)(name)).toBe(false);
  });
  it.each(['https://mcp.example', 'a/b', 'a b', 'a:b', ''])(
    'no client id %j: none looks like a server or an instance',
    (id) => {
      expect(takes(ClientId)(id)).toBe(false);
    },
  );
  it.each(['', 'a\u0000b', 'a\nb', 'a\u007f', '\ud800', 'x'.repeat(513), 1, null, {}])('no identifier %.20j', (id) => {
    expect(takes(Identifier)(id)).toBe(false);
  });
});

describe('addresses', () => {
  it.each([
    ['https://writ.example', true],
    ['http://localhost:4455', true],
    ['http://127.0.0.2', true],
    ['http://writ.example', false],
    ['https://a@writ.example', false],
    ['https://writ.example#', false],
    ['javascript:alert(1)', false],
    ['', false],
  ])('%j is safe for keys and tokens: %p', (url, safe) => {
    expect(isSecureUrl(url)).toBe(safe);
  });
  it('RFC 8414 section 2: an issuer has no query', () => {
    expect(takes(Issuer)('https://writ.example/tenant')).toBe(true);
    expect(takes(Issuer)('https://writ.example?x')).toBe(false);
  });
  it('RFC 8414 section 3.1, RFC 9728 section 3.1: the well-known part stands before the path', () => {
    expect(wellKnown('oauth-authorization-server', 'https://writ.example/tenant')).toBe(
      'https://writ.example/.well-known/oauth-authorization-server/tenant',
    );
    expect(wellKnown('oauth-protected-resource', 'https://mcp.example')).toBe(
      'https://mcp.example/.well-known/oauth-protected-resource',
    );
  });
  it.each(['0.0.0.0', '10.0.0.1', 'localhost.example', '127.0.0.1.example', '::1'])('%s is not loopback', (host) => {
    expect(isLoopback(host)).toBe(false);
  });
});

const ISS = 'https://writ.example';
const chain = [
  { sub: 'agt_c', iss: ISS, sub_profile: 'ai_agent' as const },
  { sub: 'agt_b', iss: ISS },
  { sub: 'agt_a', iss: 'https://other.example', sub_profile: 'service' as const },
];

describe('RFC 8693 section 4.1: act', () => {
  it('has the current actor outside and the first one innermost', () => {
    expect(nestAct(chain)).toEqual({ ...chain[0], act: { ...chain[1], act: chain[2] } });
  });
  it('comes back from nesting as it went in', () => {
    for (let length = 0; length <= chain.length; length++)
      expect(flattenAct(nestAct(chain.slice(0, length)))).toEqual(chain.slice(0, length));
  });
  it.each([
    ['without iss', { sub: 'agt_a' }],
    ['without sub', { iss: ISS }],
    ['with an actor inside that has no issuer', { sub: 'agt_b', iss: ISS, act: { sub: 'agt_a' } }],
    ['of an unknown profile', { sub: 'agt_a', iss: ISS, sub_profile: 'user' }],
    ['that is a list', [{ sub: 'agt_a', iss: ISS }]],
  ])('is not one %s', (_, act) => {
    expect(takes(Act)(act)).toBe(false);
  });
  it('section 4.4: may_act has identifying members only', () => {
    expect(takes(MayAct)({ sub: 'agt_a', iss: ISS })).toBe(true);
    expect(takes(MayAct)({ sub: 'agt_a', iss: ISS, exp: 1 })).toBe(false);
    expect(takes(MayAct)({ sub: 'agt_a' })).toBe(false);
  });
});

describe('RFC 9396: authorization details of a token', () => {
  const one = {
    type: 'mcp_tool_call',
    locations: ['https://mcp.example'],
    actions: ['tools/call'],
    identifier: 'a',
    max_uses: 1,
  };
  it.each([
    ['nothing', []],
    ['33 tools', Array(33).fill(one)],
    ['another type', [{ ...one, type: 'payment' }]],
    ['two locations', [{ ...one, locations: ['https://a.example', 'https://b.example'] }]],
    ['another action', [{ ...one, actions: ['tools/list'] }]],
    ['an unknown member', [{ ...one, privileges: ['admin'] }]],
    ['the arguments themselves', [{ ...one, arguments: {} }]],
    ['a short digest', [{ ...one, arguments_sha256: 'abc' }]],
    ['no uses', [{ ...one, max_uses: 0 }]],
    ['part of a use', [{ ...one, max_uses: 1.5 }]],
  ])('are not %s', (_, details) => {
    expect(takes(McpToolCalls)([one])).toBe(true);
    expect(takes(McpToolCalls)(details)).toBe(false);
  });
});
