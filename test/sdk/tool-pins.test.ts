import { createServer, type RequestListener, type Server } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { definitionDigest, definitionOf, type JsonObject } from '../../src/protocol/index.js';
import { createAgent } from '../../src/sdk/agent/index.js';
import { createVerifier, type Refused, type VerifierOptions } from '../../src/sdk/verifier/index.js';
import { makeKey } from '../support/writ.js';
import { close, origin, post, callText, rpcOf } from '../support/mcp.js';
import { listed, type Listed, type Revision, REVISIONS, startToolServer } from '../support/tool-server.js';
import { type Client as Registered, startWorld, tool, tools, type World } from '../support/world.js';

let world: World;
let server: Server | undefined;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());
afterEach(async () => {
  if (server !== undefined) await close(server);
  server = undefined;
});

const READ = listed('read_file', {}, ['path']);
const pinOf = (entry: JsonObject): string => {
  const definition = definitionOf(entry);
  const pin = definition && definitionDigest(definition);
  if (pin?.ok !== true) throw new Error('no pin');
  return pin.value;
};
const pageOf = (entry: Listed): JsonObject => JSON.parse(JSON.stringify(entry)) as JsonObject;

/** An MCP server that is registered with this tool, reviewed as it is here. */
async function register(resource: string, entry: Listed): Promise<Registered> {
  const client = { id: `srv_${new URL(resource).port}`, key: makeKey() };
  const registered = {
    resource,
    client_id: client.id,
    name: 'Live',
    owner: 'platform team',
    authentication: { method: 'private_key_jwt', jwks: { keys: [client.key.jwk] } },
    scopes: ['repo:read'],
    tools: [
      {
        name: entry.name,
        scopes: ['repo:read'],
        tier: 'low',
        action: 'read',
        data: 'internal',
        definition: entry,
        reviewed: pinOf(pageOf(entry)),
      },
    ],
  };
  // The system may give a port again, and with it a resource that an earlier test registered.
  const { status } = await world.admin('PUT', `/servers/${encodeURIComponent(resource)}`, registered);
  expect([200, 201]).toContain(status);
  const agent = (await world.admin('GET', '/agents/agt_a1')).body as { allow: { resource: string }[] };
  const allow = [
    ...agent.allow.filter((one) => one.resource !== resource),
    { resource, scopes: ['repo:read'], tools: '*' },
  ];
  expect(await world.admin('PUT', '/agents/agt_a1', { ...agent, allow })).toMatchObject({ status: 200 });
  return client;
}

const stateOf = async (resource: string): Promise<unknown> =>
  (await world.admin('GET', `/servers/${encodeURIComponent(resource)}/tools/read_file`)).body;
const keyOf = ({ key }: Registered) => ({ ...key.privateKey.export({ format: 'jwk' }), kid: key.jwk.kid }) as never;

describe.each(REVISIONS)('an agent at a server of %s', (revision: Revision) => {
  it('TL-01 asks with what it was shown, and gets no token for anything but what was reviewed', async () => {
    const live = await startToolServer(revision, [[READ]]);
    await register(live.resource, READ);
    const sent: string[] = [];
    const agent = createAgent({
      issuer: world.issuer,
      clientId: world.a1.id,
      key: keyOf(world.a1),
      fetch: (url, init) => {
        const details = init.body instanceof URLSearchParams ? init.body.get('authorization_details') : null;
        if (details !== null) sent.push(details);
        return fetch(url, init);
      },
    });
    const connect = async (): Promise<Client> => {
      const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'auto' } });
      const subjectToken = await world.personToken('alice');
      const mcpFetch = agent.fetch({ resource: live.resource, subjectToken });
      await client.connect(new StreamableHTTPClientTransport(new URL(live.resource), { fetch: mcpFetch }));
      return client;
    };
    const first = await connect();
    await first.listTools();
    await first.callTool({ name: 'read_file', arguments: { path: 'a' } }).catch(() => undefined);
    expect(sent.at(-1)).toContain(`"definition_sha256":"${pinOf(pageOf(READ))}"`);
    const changed = { ...READ, description: 'Reads all files.' };
    live.pages = [[changed]];
    const second = await connect();
    await second.listTools();
    await expect(second.callTool({ name: 'read_file', arguments: { path: 'a' } })).rejects.toThrow(
      'the tool read_file is not what was reviewed; list the tools again',
    );
    await world.writ.flush();
    expect(await stateOf(live.resource)).toMatchObject({
      state: 'needs_review',
      pending: { definition_sha256: pinOf(pageOf(changed)), by: world.a1.id },
    });
    await Promise.all([first.close(), second.close()]);
    await live.close();
  });
});

describe('an exchange by hand', () => {
  it('takes the definition of the wanted tool, and refuses that of another one', async () => {
    const forms: URLSearchParams[] = [];
    const agent = createAgent({
      issuer: world.issuer,
      clientId: world.a1.id,
      key: keyOf(world.a1),
      fetch: (url, init) => {
        if (init.body instanceof URLSearchParams) forms.push(init.body);
        return fetch(url, init);
      },
    });
    const subjectToken = await world.personToken('alice');
    const wanted = {
      name: 'read_file',
      resource: 'https://mcp1.example',
      definition: { name: 'read_file', inputSchema: { type: 'object' } },
    };
    const exchanged = await agent.exchange({ subjectToken, resource: 'https://mcp1.example', tools: [wanted] });
    expect(exchanged.details).toMatchObject([{ tool: 'read_file' }]);
    expect(forms.at(-1)?.get('authorization_details')).toContain(`"definition_sha256":"${pinOf(wanted.definition)}"`);
    const wrong = { ...wanted, name: 'list_files' };
    await expect(
      agent.exchange({ subjectToken, resource: 'https://mcp1.example', tools: [wrong] }),
    ).rejects.toMatchObject({
      code: 'unsafe_request',
    });
  });
});

describe('a verifier that knows what its tools are', () => {
  const guarded = async (options: (client: Registered) => Partial<VerifierOptions>) => {
    const refused: Refused[] = [];
    const ran: string[] = [];
    let listener: RequestListener = () => undefined;
    server = createServer((incoming, response) => {
      listener(incoming, response);
    });
    const started = server;
    await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve).unref());
    const resource = `${origin(started)}/mcp`;
    const client = await register(resource, READ);
    const verifier = createVerifier({ issuer: world.issuer, resource, ...options(client) });
    const guard = verifier.guard({ onRefused: (each) => refused.push(each) });
    listener = guard.node((_request, response) => {
      ran.push('ran');
      response.end('{}');
    });
    const { body } = await world.exchange({
      resource,
      authorization_details: tools(tool('read_file', {}, resource)),
    });
    const { access_token } = body as { access_token: string };
    const call = async (): Promise<Response> =>
      post(resource, callText('read_file', '{}'), { authorization: `Bearer ${access_token}` });
    return { resource, refused, ran, call };
  };
  const asNow = (entry: Listed) => pageOf(entry) as JsonObject & { name: string };
  const CHANGED = { ...READ, description: 'Reads all files.' };

  it('lets a call through that is for the tool as it is', async () => {
    const { call, ran } = await guarded(() => ({ tools: [asNow(READ)] }));
    expect((await call()).status).toBe(200);
    expect(ran).toEqual(['ran']);
  });

  it('TL-01 refuses a token for the tool as it was, and tells Writ what it is now', async () => {
    const { call, ran, refused, resource } = await guarded((client) => ({
      tools: (name) => (name === 'read_file' ? asNow(CHANGED) : undefined),
      introspection: { clientId: client.id, key: keyOf(client) },
    }));
    expect(await rpcOf(await call())).toMatchObject({
      result: { isError: true, structuredContent: { error: 'tool_changed', tool: 'read_file' } },
    });
    expect([ran, refused]).toEqual([[], [{ reason: 'tool_changed', tool: 'read_file' }]]);
    for (let tries = 0; tries < 50; tries++) {
      const state = (await stateOf(resource)) as { state: string };
      if (state.state === 'needs_review') break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(await stateOf(resource)).toMatchObject({
      state: 'needs_review',
      pending: { seen_by: 'verifier' },
      difference: [{ path: 'description', after: 'Reads all files.' }],
    });
  });

  it('refuses a tool that is not there any more', async () => {
    const { call, ran } = await guarded(() => ({ tools: [] }));
    expect(await rpcOf(await call())).toMatchObject({ result: { structuredContent: { error: 'tool_changed' } } });
    expect(ran).toEqual([]);
  });

  it('hears what its server answers to tools/list', async () => {
    const { resource } = await guarded(() => ({}));
    const refused: Refused[] = [];
    const guard = createVerifier({ issuer: world.issuer, resource }).guard({ onRefused: (each) => refused.push(each) });
    const handler = guard.fetch((incoming) =>
      incoming.json().then(() => Response.json({ jsonrpc: '2.0', id: 1, result: { tools: [asNow(CHANGED)] } })),
    );
    const { body } = await world.exchange({ resource, authorization_details: tools(tool('read_file', {}, resource)) });
    const headers = {
      authorization: `Bearer ${(body as { access_token: string }).access_token}`,
      'content-type': 'application/json',
    };
    const ask = (text: string): Promise<Response> =>
      handler(new Request(resource, { method: 'POST', body: text, headers }));
    expect(await (await ask('{"jsonrpc":"2.0","id":1,"method":"tools/list"}')).json()).toMatchObject({
      result: { tools: [{ name: 'read_file' }] },
    });
    expect(await (await ask(callText('read_file', '{}'))).json()).toMatchObject({
      result: { structuredContent: { error: 'tool_changed' } },
    });
    expect(refused).toEqual([{ reason: 'tool_changed', tool: 'read_file' }]);
  });
});
