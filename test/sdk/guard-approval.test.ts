import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { UrlElicitationRequiredError } from '@modelcontextprotocol/sdk/types.js';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { PrivateJwk } from '../../src/protocol/index.js';
import { createVerifier, type Refused } from '../../src/sdk/verifier/index.js';
import { ALLOW, ASK, startAskingWorld } from '../support/asking-world.js';
import { ALICE } from '../support/company.js';
import { activate } from '../support/policies.js';
import { RS1, tool, tools } from '../support/world.js';
import { tokenOf } from '../support/writ.js';

const world = await startAskingWorld();
const browser = await world.signedIn();
beforeEach(async () => {
  await activate(world, ALLOW);
  await world.nothingWaits();
});
afterAll(async () => {
  await world.close();
  expect(world.faults).toEqual([]);
});

type Fetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

/** A guarded MCP server of the official SDK that asks Writ at call time, and the fetch of a client with a token for it. */
async function server(
  change = (task: Record<string, unknown>): unknown => task,
  given?: string,
): Promise<{ fetch: Fetch; ran: string[]; refused: Refused[] }> {
  const [ran, refused]: [string[], Refused[]] = [[], []];
  const { id, key } = world.rs1;
  const jwk = PrivateJwk.parse({ ...key.privateKey.export({ format: 'jwk' }), kid: `${id}-key`, alg: 'ES256' });
  const guard = createVerifier({
    ...{ issuer: world.issuer, resource: RS1, introspection: { clientId: id, key: jwk } },
    ...{ decide: 'writ', decideTimeoutMs: 5_000, timeoutMs: 10_000, outcomes: false },
    fetch: async (url, init) => {
      const answer = await fetch(url, init);
      if (!url.endsWith('/access/v1/requests')) return answer;
      const told = (await answer.json()) as { task: Record<string, unknown> };
      return Response.json({ ...told, task: change(told.task) }, { status: answer.status });
    },
  }).guard({ onRefused: (why) => refused.push(why) });
  const handler = createMcpHandler(() => {
    const files = new McpServer({ name: 'files', version: '1' });
    const write = guard.tool('write_file', ({ path }: { path: string }) => {
      ran.push(path);
      return { content: [{ type: 'text' as const, text: 'done' }] };
    });
    files.registerTool('write_file', { inputSchema: z.object({ path: z.string() }) }, write);
    return files;
  });
  const handle = guard.fetch((request, given) => handler.fetch(request, given));
  const details = tools(tool('write_file'));
  const token =
    given ??
    tokenOf(await world.exchange({ subject_token: await world.tokenFor(ALICE), authorization_details: details }));
  const authorized: Fetch = (url, init) => {
    const headers = new Headers(init?.headers);
    headers.set('authorization', `Bearer ${token}`);
    return handle(new Request(url, { ...init, headers }));
  };
  return { fetch: authorized, ran, refused };
}

type Opened = { mode?: unknown; url?: unknown; message?: unknown };

/** An MCP client of 2026-07-28. `open` is what its host does with an address. */
async function modern(at: Fetch, open?: (params: Opened) => Promise<'accept' | 'decline' | 'cancel'>): Promise<Client> {
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

/** Alice, on the page that the client was given. */
async function press(uri: unknown, action: 'approve' | 'deny'): Promise<void> {
  const done = await browser.submit(await browser.get(String(uri)), { action });
  expect(done.body).toContain(action === 'approve' ? '<h1>Approved</h1>' : '<h1>Denied</h1>');
}

let count = 0;
/** Each test makes another call, so that none meets the request of another. */
const aCall = () => ({ name: 'write_file', arguments: { path: `/tmp/${String(++count)}` } });
const pathOf = (call: ReturnType<typeof aCall>): string => call.arguments.path;
const PAGE = expect.stringMatching(new RegExp(`^${world.place}/apr_[\\w-]{22}$`)) as unknown;
const WAITS = expect.stringMatching(/^"write_file" waits for an approval at Writ\. Its number is \d\d\.$/) as unknown;
const TEXT = expect.stringMatching(
  /^Not yet: "write_file" waits for an approval at Writ\. Its number is \d\d\. A person approves each write\. Call again once it is approved at http/,
) as unknown;
const REQUIRED = {
  isError: true,
  content: [{ type: 'text', text: TEXT }],
  structuredContent: {
    error: 'approval_required',
    tool: 'write_file',
    decision: expect.stringMatching(/^dec_/) as unknown,
    transaction: expect.any(String) as unknown,
    reasons: ['A person approves each write.'],
    remedy: 'approval',
    approval_uri: PAGE,
    number: expect.stringMatching(/^\d\d$/) as unknown,
  },
};
const done = expect.objectContaining({ content: [{ type: 'text', text: 'done' }] }) as unknown;
type Shown = { structuredContent?: { approval_uri?: string } };

describe('a call that waits for an approval, at a guard that asks Writ (STANDARDS 3.6, ARAP)', () => {
  it('MCP 2026-07-28: leads the person to the page, and runs once they approved it there', async () => {
    const { fetch: at, ran, refused } = await server();
    const opened: Opened[] = [];
    const client = await modern(at, async (params) => {
      opened.push(params);
      await press(params.url, 'approve');
      return 'accept';
    });
    await activate(world, ASK);
    const call = aCall();
    expect(await client.callTool(call)).toEqual(done);
    expect(opened).toEqual([{ mode: 'url', url: PAGE, message: WAITS }]);
    expect([ran, refused]).toEqual([[pathOf(call)], [{ reason: 'denied', tool: 'write_file' }]]);
  });

  it('runs once for one approval: the same call again is asked for anew', async () => {
    const { fetch: at, ran } = await server();
    const client = await modern(at);
    await activate(world, ASK);
    const call = aCall();
    const first = (await client.callTool(call)) as Shown;
    await press(first.structuredContent?.approval_uri, 'approve');
    expect(await client.callTool(call)).toEqual(done);
    const second = (await client.callTool(call)) as Shown;
    expect(second).toMatchObject(REQUIRED);
    expect(second.structuredContent?.approval_uri).not.toBe(first.structuredContent?.approval_uri);
    expect(ran).toEqual([pathOf(call)]);
  });

  it('asks nobody again whose approval has bought the token already', async () => {
    await activate(world, ASK);
    const call = aCall();
    const own = await world.ask(call.arguments);
    await press(own.page, 'approve');
    const { fetch: at, ran } = await server((task) => task, tokenOf(await world.poll(own)));
    const client = await modern(at);
    expect(await client.callTool(call)).toEqual(done);
    expect(ran).toEqual([pathOf(call)]);
  });

  it('AP-02: what was approved runs with these arguments and no others', async () => {
    const { fetch: at, ran } = await server();
    const client = await modern(at);
    await activate(world, ASK);
    const first = (await client.callTool(aCall())) as Shown;
    await press(first.structuredContent?.approval_uri, 'approve');
    expect(await client.callTool(aCall())).toMatchObject(REQUIRED);
    expect(ran).toEqual([]);
  });

  it.each(['accept', 'cancel'] as const)(
    'MCP 2026-07-28: asks once, and says that it is not approved yet after %s',
    async (action) => {
      const { fetch: at, ran } = await server();
      let opened = 0;
      const client = await modern(at, () => {
        opened++;
        return Promise.resolve(action);
      });
      await activate(world, ASK);
      expect(await client.callTool(aCall())).toMatchObject(REQUIRED);
      expect([opened, ran]).toEqual([1, []]);
    },
  );

  it('MCP 2026-07-28: withdraws the request after decline, and says so', async () => {
    const { fetch: at, ran } = await server();
    const pages: unknown[] = [];
    const client = await modern(at, ({ url }) => {
      pages.push(url);
      return Promise.resolve('decline');
    });
    await activate(world, ASK);
    expect(await client.callTool(aCall())).toMatchObject({
      isError: true,
      structuredContent: {
        error: 'denied',
        reasons: ['A person approves each write.', 'Nobody was asked any further, since this was declined.'],
      },
    });
    expect(ran).toEqual([]);
    const [page] = pages;
    const id = String(page).split('/').at(-1) ?? '';
    expect((await world.held({ id, code: '', number: '', page: String(page) })).state).toBe('withdrawn');
  });

  it('MCP 2025-11-25: is the error -32042 with the page, and runs when it is called again after the approval', async () => {
    const { fetch: at, ran } = await server();
    const client = await former(at, { elicitation: { url: {} } });
    await activate(world, ASK);
    const call = aCall();
    const error: unknown = await client.callTool(call).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(UrlElicitationRequiredError);
    const { elicitations } = error as UrlElicitationRequiredError;
    expect(elicitations).toEqual([
      { mode: 'url', elicitationId: expect.stringMatching(/^apr_/) as unknown, url: PAGE, message: WAITS },
    ]);
    await press(elicitations[0]?.url, 'approve');
    expect(await client.callTool(call)).toEqual(done);
    expect(ran).toEqual([pathOf(call)]);
  });

  it.each<[string, (at: Fetch) => Promise<Client | ClientV1>]>([
    ['of 2026-07-28 that opens no addresses', (at) => modern(at)],
    ['of 2025-11-25 that opens no addresses', (at) => former(at)],
    ['of 2025-11-25 that knows forms only', (at) => former(at, { elicitation: {} })],
  ])('gives a client %s a result that says where', async (_which, connect) => {
    const { fetch: at, ran } = await server();
    const client = await connect(at);
    await activate(world, ASK);
    expect(await client.callTool(aCall())).toMatchObject(REQUIRED);
    expect(ran).toEqual([]);
  });

  it('asks none of two clients of one session for what only one of them can do', async () => {
    const { fetch: at } = await server();
    const able = await former(at, { elicitation: { url: {} } });
    await former(at);
    await activate(world, ASK);
    expect(await able.callTool(aCall())).toMatchObject(REQUIRED);
  });

  it('runs nothing that a person denied, and asks nobody for it again', async () => {
    const { fetch: at, ran } = await server();
    let opened = 0;
    const client = await modern(at, async ({ url }) => {
      opened++;
      await press(url, 'deny');
      return 'accept';
    });
    await activate(world, ASK);
    const before = await world.writ.database.prisma.approval.count();
    const call = aCall();
    const DENIED = { isError: true, structuredContent: { error: 'denied' } };
    expect(await client.callTool(call)).toMatchObject(DENIED);
    expect(await client.callTool(call)).toMatchObject(DENIED);
    expect([ran, opened]).toEqual([[], 1]);
    expect(await world.writ.database.prisma.approval.count()).toBe(before + 1);
  });

  it.each<[string, (uri: string) => unknown]>([
    ['elsewhere', () => 'https://evil.example/approvals/apr_1'],
    ['at a host that begins like it', (uri) => uri.replace(world.issuer, `${world.issuer}.evil.example`)],
    ['at another page of it', () => `${world.issuer}/admin/v1/apr_1`],
    ['beyond the page', (uri) => `${uri}/../../admin`],
    ['with a query', (uri) => `${uri}?to=https://evil.example`],
    ['that is none', () => ''],
    ['that is no text', () => 7],
  ])('leads nobody to an address %s (EL-05)', async (_where, change) => {
    const { fetch: at, ran } = await server(({ links, ...task }) => ({
      ...task,
      links: { review: change((links as { review: string }).review) },
    }));
    const client = await modern(at, () => Promise.reject(new Error('opened')));
    await activate(world, ASK);
    const answer = await client.callTool(aCall());
    expect(answer).toMatchObject({ isError: true, structuredContent: { error: 'denied', remedy: 'approval' } });
    expect(JSON.stringify(answer)).not.toContain('/approvals');
    expect(ran).toEqual([]);
  });

  it.each(['approved', 'granted', ''])(
    'runs nothing on a status of %p without a result that Writ takes',
    async (status) => {
      const { fetch: at, ran } = await server((task) => ({ ...task, status }));
      const client = await modern(at);
      await activate(world, ASK);
      expect(await client.callTool(aCall())).toMatchObject({ isError: true, structuredContent: { error: 'denied' } });
      expect(ran).toEqual([]);
    },
  );
});
