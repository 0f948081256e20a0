import { beforeEach, describe, expect, it } from '@jest/globals';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { UrlElicitationRequiredError } from '@modelcontextprotocol/sdk/types.js';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { PrivateJwk } from '../../src/protocol/index.js';
import { createVerifier, type Refused } from '../../src/sdk/verifier/index.js';
import { activate } from '../support/policies.js';
import { ownWorld, RS1, tool, tools } from '../support/world.js';
import { tokenOf } from '../support/writ.js';

const PERMIT = `@id("people") permit (principal is Person, action, resource);
@id("agents") permit (principal is Agent, action, resource);
`;
const ASK = `@id("asked") @requires("approval") @reason("Somebody looks at each read.")
forbid (principal, action == Action::"${RS1}#read_file", resource);
`;

const world = await ownWorld();
const PAGE = `${world.issuer}/approvals/apr_1`;
beforeEach(() => activate(world, PERMIT));

type Fetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

/**
 * A guarded MCP server of the official SDK that asks Writ at call time, and the fetch of a client with a token for it. Writ's own answer
 * is given the page where a person approves, as ARAP has it.
 */
async function server(page = PAGE): Promise<{ fetch: Fetch; ran: string[]; refused: Refused[] }> {
  const [ran, refused]: [string[], Refused[]] = [[], []];
  const { id, key } = world.rs1;
  const jwk = PrivateJwk.parse({ ...key.privateKey.export({ format: 'jwk' }), kid: `${id}-key`, alg: 'ES256' });
  const guard = createVerifier({
    ...{ issuer: world.issuer, resource: RS1, introspection: { clientId: id, key: jwk } },
    ...{ decide: 'writ', decideTimeoutMs: 5_000, timeoutMs: 10_000, outcomes: false },
    fetch: async (url, init) => {
      const answer = await fetch(url, init);
      if (!url.endsWith('/access/v1/evaluation')) return answer;
      const body = (await answer.json()) as { context?: { access_request?: object } };
      const request = body.context?.access_request;
      if (request !== undefined) Object.assign(request, { form_url: page });
      return Response.json(body, { status: answer.status });
    },
  }).guard({ onRefused: (why) => refused.push(why) });
  const handler = createMcpHandler(() => {
    const files = new McpServer({ name: 'files', version: '1' });
    const read = guard.tool('read_file', ({ path }: { path: string }) => {
      ran.push(path);
      return { content: [{ type: 'text' as const, text: 'done' }] };
    });
    files.registerTool('read_file', { inputSchema: z.object({ path: z.string() }) }, read);
    return files;
  });
  const handle = guard.fetch((request, given) => handler.fetch(request, given));
  const token = tokenOf(await world.exchange({ authorization_details: tools(tool('read_file', { max_uses: 3 })) }));
  const authorized: Fetch = (url, init) => {
    const headers = new Headers(init?.headers);
    headers.set('authorization', `Bearer ${token}`);
    return handle(new Request(url, { ...init, headers }));
  };
  return { fetch: authorized, ran, refused };
}

type Opened = { mode?: unknown; url?: unknown; message?: unknown };

/** An MCP client of 2026-07-28. `open` is what its host does with an address. */
async function modern(at: Fetch, open?: (params: Opened) => Promise<'accept' | 'decline'>): Promise<Client> {
  const capabilities = open === undefined ? {} : { elicitation: { url: {} } };
  const client = new Client({ name: 'host', version: '1' }, { capabilities, versionNegotiation: { mode: 'auto' } });
  if (open !== undefined)
    client.setRequestHandler('elicitation/create', async ({ params }) => ({ action: await open(params as Opened) }));
  await client.connect(new StreamableHTTPClientTransport(new URL(RS1), { fetch: at }));
  return client;
}

/** An MCP client of 2025-11-25. */
async function former(at: Fetch, capabilities: object = {}): Promise<ClientV1> {
  const client = new ClientV1({ name: 'host', version: '1' }, { capabilities });
  await client.connect(new TransportV1(new URL(RS1), { fetch: at }));
  return client;
}

const CALL = { name: 'read_file', arguments: { path: '/a' } };
const WAITS = '"read_file" waits for an approval at Writ.';
const REQUIRED = {
  isError: true,
  content: [
    {
      type: 'text',
      text: `Not yet: ${WAITS} Somebody looks at each read. Call again once it is approved at ${PAGE}`,
    },
  ],
  structuredContent: {
    error: 'approval_required',
    tool: 'read_file',
    decision: expect.stringMatching(/^dec_/) as unknown,
    transaction: expect.any(String) as unknown,
    reasons: ['Somebody looks at each read.'],
    remedy: 'approval',
    approval_uri: PAGE,
  },
};
const done = expect.objectContaining({ content: [{ type: 'text', text: 'done' }] }) as unknown;

describe('a call that waits for an approval, at a guard that asks Writ (STANDARDS 3.6)', () => {
  it('MCP 2026-07-28: leads the person to the page, and runs when they approved meanwhile', async () => {
    const { fetch: at, ran, refused } = await server();
    const opened: Opened[] = [];
    const client = await modern(at, async (params) => {
      opened.push(params);
      await activate(world, PERMIT);
      return 'accept';
    });
    await activate(world, PERMIT + ASK);
    expect(await client.callTool(CALL)).toEqual(done);
    expect(opened).toEqual([{ mode: 'url', url: PAGE, message: WAITS }]);
    expect([ran, refused]).toEqual([['/a'], [{ reason: 'denied', tool: 'read_file' }]]);
  });

  it.each(['accept', 'decline'] as const)(
    'MCP 2026-07-28: asks once, and says that it is not approved yet after %s',
    async (action) => {
      const { fetch: at, ran } = await server();
      let opened = 0;
      const client = await modern(at, () => {
        opened++;
        return Promise.resolve(action);
      });
      await activate(world, PERMIT + ASK);
      expect(await client.callTool(CALL)).toMatchObject(REQUIRED);
      expect([opened, ran]).toEqual([1, []]);
    },
  );

  it('MCP 2025-11-25: is the error -32042 with the page, and runs when it is called again after the approval', async () => {
    const { fetch: at, ran } = await server();
    const client = await former(at, { elicitation: { url: {} } });
    await activate(world, PERMIT + ASK);
    const error: unknown = await client.callTool(CALL).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(UrlElicitationRequiredError);
    expect((error as UrlElicitationRequiredError).elicitations).toEqual([
      { mode: 'url', elicitationId: 'apr_1', url: PAGE, message: WAITS },
    ]);
    await activate(world, PERMIT);
    expect(await client.callTool(CALL)).toEqual(done);
    expect(ran).toEqual(['/a']);
  });

  it.each<[string, (at: Fetch) => Promise<Client | ClientV1>]>([
    ['of 2026-07-28 that opens no addresses', (at) => modern(at)],
    ['of 2025-11-25 that opens no addresses', (at) => former(at)],
    ['of 2025-11-25 that knows forms only', (at) => former(at, { elicitation: {} })],
  ])('gives a client %s a result that says where', async (_which, connect) => {
    const { fetch: at, ran } = await server();
    const client = await connect(at);
    await activate(world, PERMIT + ASK);
    expect(await client.callTool(CALL)).toMatchObject(REQUIRED);
    expect(ran).toEqual([]);
  });

  it('asks none of two clients of one session for what only one of them can do', async () => {
    const { fetch: at } = await server();
    const able = await former(at, { elicitation: { url: {} } });
    await former(at);
    await activate(world, PERMIT + ASK);
    expect(await able.callTool(CALL)).toMatchObject(REQUIRED);
  });

  it.each([
    ['elsewhere', 'https://evil.example/approvals/apr_1'],
    ['at a host that begins like it', `${world.issuer}.evil.example/approvals/apr_1`],
    ['at another page of it', `${world.issuer}/admin/v1/apr_1`],
    ['beyond the page', `${world.issuer}/approvals/apr_1/../../admin`],
    ['with a query', `${world.issuer}/approvals/apr_1?to=https://evil.example`],
    ['that is none', ''],
  ])('leads nobody to an address %s (EL-05)', async (_where, page) => {
    const { fetch: at, ran } = await server(page);
    const client = await modern(at, () => Promise.reject(new Error('opened')));
    await activate(world, PERMIT + ASK);
    const answer = await client.callTool(CALL);
    expect(answer).toMatchObject({ isError: true, structuredContent: { error: 'denied', remedy: 'approval' } });
    expect(JSON.stringify(answer)).not.toContain('/approvals');
    expect(ran).toEqual([]);
  });
});
