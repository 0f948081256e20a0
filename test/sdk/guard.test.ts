import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parseArguments } from '../../src/protocol/index.js';
import type { VerifierOptions } from '../../src/sdk/verifier/index.js';
import { TestIssuer } from '../support/issuer.js';
import { type Adapter, ADAPTERS, callText, post, rpcOf, type RunningServer, startMcp } from '../support/mcp.js';

const ARGS = '{"path":"/a"}';
const TOKEN_REFUSED = {
  error: 'invalid_token',
  error_description: 'The access token is missing, invalid, expired or not for this server.',
};
let issuer: TestIssuer;
let introspection: NonNullable<VerifierOptions['introspection']>;
beforeAll(async () => {
  issuer = await TestIssuer.start();
  introspection = { clientId: 'mcp1', key: await issuer.register('mcp1') };
});
afterAll(() => issuer.close());

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
const digestOf = (text: string): string => {
  const read = parseArguments(text);
  if (!read.ok) throw new Error(read.error);
  return read.value.sha256;
};
const challengeOf = (server: RunningServer): string => {
  const { origin, pathname } = new URL(server.resource);
  return `resource_metadata="${origin}/.well-known/oauth-protected-resource${pathname}"`;
};

describe.each(ADAPTERS)('the guard before the official SDK: %s', (adapter: Adapter) => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startMcp(adapter, { issuer: issuer.url, introspection }, { read_file: ['files:read'] });
  });
  afterAll(() => server.close());
  const send = (body: string, headers: Record<string, string>): Promise<Response> => {
    server.ran.length = 0;
    return post(server.url, body, headers);
  };

  /** I1 and I6: refused as given, nothing ran, and the next good request passes. */
  async function expectTokenRefusal(response: Response): Promise<void> {
    expect(response.status).toBe(401);
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('www-authenticate')).toBe(
      `Bearer error="invalid_token", error_description="${TOKEN_REFUSED.error_description}", ${challengeOf(server)}`,
    );
    expect(await response.json()).toEqual(TOKEN_REFUSED);
    expect(server.ran).toEqual([]);
  }

  it('hands the tool its parsed arguments, and the approved ones with the delegation', async () => {
    const response = await send(
      callText('write_file', ARGS),
      bearer(await issuer.token(server.resource, 'write_file')),
    );
    expect(response.status).toBe(200);
    expect(await rpcOf(response)).toMatchObject({ result: { content: [{ type: 'text', text: 'done' }] } });
    expect(server.ran).toEqual([
      {
        tool: 'write_file',
        args: { path: '/a', mode: 'create' },
        call: {
          tool: 'write_file',
          arguments: { path: '/a' },
          delegation: expect.objectContaining({
            person: 'prs_alice',
            session: 'ses_1',
            details: [
              {
                tool: 'write_file',
                resource: server.resource,
                argumentsSha256: undefined,
                definitionSha256: undefined,
                maxUses: 1,
              },
            ],
          }) as unknown,
          signal: expect.any(AbortSignal) as unknown,
        },
      },
    ]);
  });

  it('answers a request without a token with where to get one', async () => {
    const response = await send(callText('write_file', ARGS), {});
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe(`Bearer ${challengeOf(server)}`);
    expect(server.ran).toEqual([]);
  });

  it('TL-13 lets a token for one use through once', async () => {
    const token = await issuer.token(server.resource, 'write_file');
    expect((await send(callText('write_file', ARGS), bearer(token))).status).toBe(200);
    await expectTokenRefusal(await send(callText('write_file', ARGS), bearer(token)));
  });

  it('lets a token for one use through once, of twenty at once', async () => {
    const token = await issuer.token(server.resource, 'write_file');
    server.ran.length = 0;
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => post(server.url, callText('write_file', ARGS), bearer(token))),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 19 }, () => 401)]);
    expect(server.ran).toHaveLength(1);
  });

  it('lets a token for three uses through three times', async () => {
    const token = await issuer.token(server.resource, 'write_file', { max_uses: 3 });
    for (let i = 0; i < 3; i++) expect((await send(callText('write_file', ARGS), bearer(token))).status).toBe(200);
    await expectTokenRefusal(await send(callText('write_file', ARGS), bearer(token)));
  });

  it('lets an exact call through when spelling and order differ but the arguments are the same', async () => {
    const token = await issuer.token(server.resource, 'write_file', {
      arguments_sha256: digestOf('{"path":"/a","mode":"x"}'),
    });
    expect((await send(callText('write_file', ' { "mode" : "\\u0078", "path":"/a" } '), bearer(token))).status).toBe(
      200,
    );
    expect(server.ran).toMatchObject([{ call: { arguments: { path: '/a', mode: 'x' } } }]);
  });

  it.each([
    '{"path":"/b"}',
    '{"path":"/a","mode":"create"}',
    '{"path":"/a","x":null}',
    '{}',
    '{"path":["/a"]}',
    undefined,
  ])('refuses an exact call with other arguments: %s', async (args) => {
    const token = await issuer.token(server.resource, 'write_file', { arguments_sha256: digestOf(ARGS) });
    const response = await send(callText('write_file', args), bearer(token));
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.json()).toEqual({
      jsonrpc: '2.0',
      id: 1,
      result: {
        isError: true,
        content: [{ type: 'text', text: 'Refused: these are not the arguments that "write_file" was approved with.' }],
        structuredContent: { error: 'arguments_changed', tool: 'write_file', decision: 'dec_1', transaction: 'txn_1' },
      },
    });
    expect(server.ran).toEqual([]);
    // Nothing was spent by the refusal.
    expect((await send(callText('write_file', ARGS), bearer(token))).status).toBe(200);
    await expectTokenRefusal(await send(callText('write_file', ARGS), bearer(token)));
  });

  it.each([
    ['a key twice', '{"path":"/a","path":"/b"}', -32600, 'Invalid request: duplicate_key'],
    ['a key twice, once escaped', '{"path":"/a","p\\u0061th":"/b"}', -32600, 'Invalid request: duplicate_key'],
    ['a reserved key', '{"path":"/a","__proto__":{}}', -32600, 'Invalid request: reserved_key'],
    ['an integer past 2^53', '{"path":"/a","n":9007199254740993}', -32602, 'Invalid params: arguments: unsafe_number'],
    ['a number past a double', '{"path":"/a","n":1e400}', -32602, 'Invalid params: arguments: unsafe_number'],
    ['half a surrogate pair', '{"path":"\\ud800"}', -32602, 'Invalid params: arguments: lone_surrogate'],
    ['an array', '["/a"]', -32602, 'Invalid params: arguments: not_an_object'],
    ['null', 'null', -32602, 'Invalid params: arguments: not_an_object'],
    ['too many levels', `{"path":${'['.repeat(40)}${']'.repeat(40)}}`, -32600, 'Invalid request: too_deep'],
  ])('refuses arguments with %s', async (_, args, code, message) => {
    const response = await send(
      callText('write_file', args),
      bearer(await issuer.token(server.resource, 'write_file')),
    );
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ jsonrpc: '2.0', id: code === -32600 ? null : 1, error: { code, message } });
    expect(server.ran).toEqual([]);
  });

  it.each([
    ['TL-05 a batch', `[${callText('read_file', ARGS)},${callText('write_file', ARGS)}]`, -32600],
    [
      'TL-05 params twice',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file"},"params":{"name":"write_file"}}',
      -32600,
    ],
    [
      'method twice',
      '{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"write_file"}}',
      -32600,
    ],
    ['a call without id', '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"write_file"}}', -32600],
    ['a call without name', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}', -32602],
    [
      'a name that is no tool name',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write file"}}',
      -32602,
    ],
    ['half a message', '{"jsonrpc":"2.0"', -32700],
    ['nothing', '', -32700],
  ])('refuses %s', async (_, body, code) => {
    const response = await send(body, bearer(await issuer.token(server.resource, 'write_file')));
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ jsonrpc: '2.0', error: { code } });
    expect(server.ran).toEqual([]);
  });

  it('refuses a body over a megabyte', async () => {
    const response = await send(
      callText('write_file', `{"path":"${'a'.repeat(1_100_000)}"}`),
      bearer(await issuer.token(server.resource, 'write_file')),
    );
    expect(response.status).toBe(413);
    expect(server.ran).toEqual([]);
  });

  it.each([
    ['another tool', { 'mcp-name': 'read_file', 'mcp-method': 'tools/call' }, 'Header mismatch: Mcp-Name'],
    ['another method', { 'mcp-name': 'write_file', 'mcp-method': 'tools/list' }, 'Header mismatch: Mcp-Method'],
    [
      'another tool in base64',
      { 'mcp-name': '=?base64?cmVhZF9maWxl?=', 'mcp-method': 'tools/call' },
      'Header mismatch: Mcp-Name',
    ],
    [
      'no method, in a revision that wants it',
      { 'mcp-protocol-version': '2026-07-28', 'mcp-name': 'write_file' },
      'Header mismatch: Mcp-Method',
    ],
    [
      'no name, in a revision that wants it',
      { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call' },
      'Header mismatch: Mcp-Name',
    ],
  ])('TL-04 refuses headers that name %s', async (_, headers, message) => {
    const response = await send(callText('write_file', ARGS), {
      ...headers,
      ...bearer(await issuer.token(server.resource, 'write_file')),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ jsonrpc: '2.0', id: 1, error: { code: -32020, message } });
    expect(server.ran).toEqual([]);
  });

  it('refuses a tool that the token does not list', async () => {
    const response = await send(callText('write_file', ARGS), bearer(await issuer.token(server.resource, 'read_file')));
    expect(response.status).toBe(403);
    expect(response.headers.get('www-authenticate')).toBe(
      `Bearer error="insufficient_scope", error_description="The access token does not cover this tool.", ${challengeOf(server)}`,
    );
    expect(await response.json()).toEqual({
      error: 'insufficient_scope',
      error_description: 'The access token does not cover this tool.',
    });
    expect(server.ran).toEqual([]);
  });

  it('refuses a tool that is listed for another server', async () => {
    const detail = {
      type: 'mcp_tool_call',
      locations: ['https://mcp2.example/files'],
      actions: ['tools/call'],
      identifier: 'write_file',
      max_uses: 1,
    };
    const token = await issuer.sign(issuer.claims(server.resource, { authorization_details: [detail] }));
    expect((await send(callText('write_file', ARGS), bearer(token))).status).toBe(403);
  });

  it('lets a token without a tool list call only what its scope covers', async () => {
    const token = await issuer.sign(issuer.claims(server.resource));
    expect((await send(callText('read_file', ARGS), bearer(token))).status).toBe(200);
    expect((await send(callText('write_file', ARGS), bearer(token))).status).toBe(403);
    const narrow = await send(
      callText('read_file', ARGS),
      bearer(await issuer.sign(issuer.claims(server.resource, { scope: '' }))),
    );
    expect(narrow.status).toBe(403);
    expect(narrow.headers.get('www-authenticate')).toContain('scope="files:read"');
  });

  it('lets any good token list the tools, and spends nothing', async () => {
    const token = await issuer.token(server.resource, 'write_file');
    const list = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';
    expect(await rpcOf(await send(list, bearer(token)))).toMatchObject({
      result: { tools: [{ name: 'write_file' }, { name: 'read_file' }] },
    });
    expect((await send(callText('write_file', ARGS), bearer(token))).status).toBe(200);
  });

  it('lets a token for connecting, which has no scope, list the tools and call none', async () => {
    const connecting = bearer(await issuer.sign(issuer.claims(server.resource, { scope: '' })));
    const list = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';
    expect(await rpcOf(await send(list, connecting))).toMatchObject({
      result: { tools: [{ name: 'write_file' }, { name: 'read_file' }] },
    });
    for (const tool of ['write_file', 'read_file'])
      expect((await send(callText(tool, ARGS), connecting)).status).toBe(403);
  });

  it.each(['Bearer', 'Bearer  ', 'Bearer a,b', 'Basic YTpi', 'bearer\u00e9', 'Bearer a b', 'DPoP'])(
    'JW-26 answers 401 to the header %p',
    async (authorization) => {
      const response = await send(callText('write_file', ARGS), { authorization });
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"');
    },
  );

  it('refuses a token in the address', async () => {
    const token = await issuer.token(server.resource, 'write_file');
    const response = await post(`${server.url}?access_token=${token}`, callText('write_file', ARGS), bearer(token));
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: 'invalid_request',
      error_description: 'The access token belongs in the Authorization header.',
    });
  });

  it('TL-10, TL-11 refuses a token for another server', async () => {
    await expectTokenRefusal(
      await send(callText('write_file', ARGS), bearer(await issuer.token('https://mcp2.example/files', 'write_file'))),
    );
  });

  it('refuses an exact call that Writ says is revoked or used', async () => {
    const token = await issuer.token(
      server.resource,
      'write_file',
      { arguments_sha256: digestOf(ARGS) },
      { jti: 'revoked-1' },
    );
    issuer.revoked.add('revoked-1');
    await expectTokenRefusal(await send(callText('write_file', ARGS), bearer(token)));
  });

  it('says no, for a while, when Writ cannot be asked about an exact call', async () => {
    const token = await issuer.token(server.resource, 'write_file', { arguments_sha256: digestOf(ARGS) });
    await send(callText('write_file', ARGS), bearer(await issuer.token(server.resource, 'write_file')));
    issuer.down = true;
    const response = await send(callText('write_file', ARGS), bearer(token));
    issuer.down = false;
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('2');
    expect(await response.json()).toEqual({
      error: 'temporarily_unavailable',
      error_description: 'The access token cannot be checked right now.',
    });
    expect(server.ran).toEqual([]);
  });
});
