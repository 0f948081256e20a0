import { describe, expect, it } from '@jest/globals';
import { parseRequest } from '../../src/exchange/request.js';
import { digest } from '../../src/protocol/index.js';

const RS = 'https://mcp.example/files';
const TYPE = 'urn:ietf:params:oauth:token-type:';
const call = (changes: Record<string, unknown> = {}): string =>
  JSON.stringify([{ type: 'mcp_tool_call', locations: [RS], identifier: 'read', ...changes }]);

type Changes = Readonly<Record<string, string | readonly string[] | undefined>>;
const parse = (changes: Changes = {}) => {
  const form: Record<string, string | readonly string[] | undefined> = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: 'a.b.c',
    subject_token_type: `${TYPE}access_token`,
    resource: RS,
    ...changes,
  };
  const entries = Object.entries(form).flatMap(([name, value]): [string, readonly string[]][] =>
    value === undefined ? [] : [[name, typeof value === 'string' ? [value] : value]],
  );
  return parseRequest(new Map(entries), 'trust.example');
};
const refusal = (changes: Changes): unknown => {
  const parsed = parse(changes);
  return parsed.ok ? 'parsed' : parsed.error;
};
const request = (changes: Changes = {}) => {
  const parsed = parse(changes);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  return parsed.value;
};

describe('RFC 8693 section 2.1 in our words', () => {
  it('is read whole', () => {
    const sha256 = digest({ path: '/a' });
    expect(
      request({
        scope: 'b a',
        requested_token_type: `${TYPE}txn_access_token`,
        actor_token: 'd.e.f',
        actor_token_type: `${TYPE}jwt`,
        authorization_details: call({ arguments: { path: '/a' }, max_uses: 1 }),
        request_details: '{"task":"T-1","txn":"mine"}',
        request_context: '{"txn":"mine"}',
        unknown_parameter: 'x',
      }),
    ).toEqual({
      subjectToken: 'a.b.c',
      subjectTokenType: `${TYPE}access_token`,
      actor: { token: 'd.e.f', type: `${TYPE}jwt` },
      requestedType: `${TYPE}txn_access_token`,
      wanted: {
        target: { kind: 'server', resource: RS },
        scopes: ['b', 'a'],
        tools: [{ name: 'read', arguments: { path: '/a' }, argumentsSha256: sha256.ok && sha256.value, maxUses: 1 }],
        task: 'T-1',
        purpose: undefined,
      },
      ignored: ['request_details.txn', 'request_context.txn'],
    });
  });

  it.each(['subject_token', 'subject_token_type'])(
    'refuses a request without %s, or with an empty one',
    (parameter) => {
      for (const value of [undefined, '']) {
        expect(refusal({ [parameter]: value })).toEqual({ reason: 'parameter_missing', parameter });
      }
    },
  );

  it.each<[string, Changes, string]>([
    ['token', { actor_token_type: `${TYPE}jwt` }, 'actor_token'],
    ['type', { actor_token: 'x' }, 'actor_token_type'],
  ])('refuses half an actor: no %s', (_, changes, parameter) => {
    expect(refusal(changes)).toEqual({ reason: 'parameter_missing', parameter });
  });

  it.each<[string, Changes]>([
    ['subject_token_type', { subject_token_type: `${TYPE}refresh_token` }],
    ['subject_token_type', { subject_token_type: `${TYPE}saml2` }],
    ['subject_token_type', { subject_token_type: 'access_token' }],
    ['actor_token_type', { actor_token: 'x', actor_token_type: `${TYPE}access_token` }],
    ['requested_token_type', { requested_token_type: `${TYPE}refresh_token` }],
    ['requested_token_type', { requested_token_type: `${TYPE}id_token` }],
    ['requested_token_type', { requested_token_type: `${TYPE}jwt` }],
    ['requested_token_type', { requested_token_type: '' }],
  ])('refuses a %s that it does not know: %j', (parameter, changes) => {
    expect(refusal(changes)).toEqual({ reason: 'unsupported_token_type', parameter });
  });

  it.each(['scope', 'subject_token', 'request_details', 'authorization_details', 'client_id'])(
    'RFC 6749 §3.2: refuses %s twice, even the same',
    (parameter) => {
      expect(refusal({ [parameter]: ['x', 'x'] })).toEqual({ reason: 'parameter_repeated', parameter });
    },
  );
});

describe('the target', () => {
  it.each<[string, Changes, object]>([
    ['a server', {}, { kind: 'server', resource: RS }],
    ['the trust domain', { resource: undefined, audience: 'trust.example' }, { kind: 'domain', name: 'trust.example' }],
    ['a sub-agent', { resource: undefined, audience: 'agt_b' }, { kind: 'agent', clientId: 'agt_b' }],
  ])('is %s', (_, changes, target) => {
    expect(request(changes).wanted.target).toEqual(target);
  });
  it.each<[string, Changes]>([
    ['none', { resource: undefined }],
    ['two resources', { resource: [RS, 'https://mcp2.example'] }],
    ['the same resource twice', { resource: [RS, RS] }],
    ['a resource and an audience', { audience: 'trust.example' }],
    ['two audiences', { resource: undefined, audience: ['agt_b', 'agt_c'] }],
  ])('is exactly one: refuses %s', (_, changes) => {
    expect(refusal(changes)).toEqual({ reason: 'one_target_required' });
  });
  it.each<[string, Changes]>([
    ['a fragment', { resource: `${RS}#x` }],
    ['an empty fragment', { resource: `${RS}#` }],
    ['no scheme', { resource: 'mcp.example/files' }],
    ['nothing', { resource: '' }],
    ['more than 512 characters', { resource: `${RS}/${'x'.repeat(512)}` }],
    ['an empty audience', { resource: undefined, audience: '' }],
    ['a long audience', { resource: undefined, audience: 'x'.repeat(513) }],
  ])('RFC 8707 §2: refuses one with %s', (_, changes) => {
    expect(refusal(changes)).toEqual({ reason: 'malformed_target' });
  });
});

describe('RFC 9396 authorization_details', () => {
  const malformed = (path: string, hint: string) => ({ reason: 'malformed_details', path, hint });
  const FORM = 'is missing, unknown or not of the form that mcp_tool_call wants';
  it.each<[string, string, unknown]>([
    ['no JSON', '[', malformed('', 'not_json')],
    ['no list', '{}', malformed('', FORM)],
    ['an empty list', '[]', malformed('', FORM)],
    ['another type', call({ type: 'payment' }), malformed('0.type', FORM)],
    ['an unknown member', call({ approval: 'apr_1' }), malformed('0', FORM)],
    ['two locations', call({ locations: [RS, RS] }), malformed('0.locations', FORM)],
    [
      'another location',
      call({ locations: ['https://mcp2.example'] }),
      malformed('0.locations', 'must be the requested resource'),
    ],
    ['another action', call({ actions: ['tools/list'] }), malformed('0.actions.0', FORM)],
    ['no tool', call({ identifier: undefined }), malformed('0.identifier', FORM)],
    ['arguments that are a list', call({ arguments: [] }), malformed('0.arguments', FORM)],
    [
      'a digest alone',
      call({ arguments_sha256: 'a'.repeat(43) }),
      malformed('0.arguments', 'must be given; a digest alone is not enough'),
    ],
    [
      'a digest of something else',
      call({ arguments: {}, arguments_sha256: 'a'.repeat(43) }),
      malformed('0.arguments_sha256', 'is not the RFC 8785 SHA-256 of arguments'),
    ],
    ['no uses', call({ max_uses: 0 }), malformed('0.max_uses', FORM)],
    [
      'a tool twice',
      `[${[call(), call()].map((text) => text.slice(1, -1)).join()}]`,
      malformed('1.identifier', 'names a tool twice'),
    ],
    ['a name twice', call().replace('"identifier"', '"identifier":"x","identifier"'), malformed('', 'duplicate_key')],
    ['an unsafe number', `${call().slice(0, -2)},"arguments":{"n":9007199254740993}}]`, malformed('', 'unsafe_number')],
    ['half a surrogate pair', call({ arguments: { s: '\ud800' } }), malformed('', 'lone_surrogate')],
  ])('refuses %s', (_, authorization_details, wanted) => {
    expect(refusal({ authorization_details })).toEqual(wanted);
  });

  it.each(['[],"x":1', `${call()},"x":[]`, `${call()}}`, '1,"details":[]'])(
    'is one JSON value and nothing behind it: %j',
    (text) => {
      expect(refusal({ authorization_details: text })).toMatchObject({ reason: 'malformed_details' });
    },
  );

  it('takes the digest that goes with the arguments, in any spelling of them', () => {
    const sha256 = digest({ a: 1, b: 2 });
    const details = `[{"type":"mcp_tool_call","locations":["${RS}"],"identifier":"read","arguments":{"b":2.0,"\\u0061":1e0},"arguments_sha256":"${sha256.ok ? sha256.value : ''}"}]`;
    expect(request({ authorization_details: details }).wanted.tools?.[0]?.argumentsSha256).toBe(
      sha256.ok && sha256.value,
    );
  });
});

describe('request_details and request_context (transaction token draft)', () => {
  const refused = (parameter: string, hint: string) => ({ reason: 'parameter_malformed', parameter, hint });
  const KNOWN = 'may hold task (1 to 128 characters) and purpose (1 to 256) only, without control characters';
  it.each<[string, Changes, unknown]>([
    ['no JSON', { request_details: 'x' }, refused('request_details', 'must be a JSON object')],
    ['a list', { request_details: '[]' }, refused('request_details', 'must be a JSON object')],
    [
      'a name twice',
      { request_details: '{"task":"a","task":"b"}' },
      refused('request_details', 'must be a JSON object'),
    ],
    ['an unknown member', { request_details: '{"sub":"x"}' }, refused('request_details', KNOWN)],
    ['a task with a NUL', { request_details: '{"task":"a\\u0000b"}' }, refused('request_details', KNOWN)],
    ['a purpose of two lines', { request_details: '{"purpose":"a\\nb"}' }, refused('request_details', KNOWN)],
    ['an empty task', { request_details: '{"task":""}' }, refused('request_details', KNOWN)],
    [
      'a long purpose',
      { request_details: JSON.stringify({ purpose: 'x'.repeat(257) }) },
      refused('request_details', KNOWN),
    ],
    ['a task that is no text', { request_details: '{"task":1}' }, refused('request_details', KNOWN)],
    [
      'a context of the client',
      { request_context: '{"req_ip":"192.0.2.1"}' },
      refused('request_context', 'must be empty: Writ takes the context of a request from the request itself'),
    ],
    ['a context that is no object', { request_context: '1' }, refused('request_context', 'must be a JSON object')],
  ])('refuses %s', (_, changes, wanted) => {
    expect(refusal(changes)).toEqual(wanted);
  });
});
