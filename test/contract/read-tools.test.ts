import { createServer, type RequestListener, type Server } from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { readTools } from '../../src/mcp/index.js';
import { close, origin } from '../support/mcp.js';
import { listed, REVISIONS, startToolServer, type ToolServer } from '../support/tool-server.js';

const read = readTools({ allowLoopback: true });
const BOUNDS = { timeMs: 4_000, bytes: 4_194_304, pages: 64, tools: 512 };
let started: ToolServer | undefined;
let plain: Server | undefined;
afterEach(async () => {
  await started?.close();
  if (plain !== undefined) await close(plain);
  [started, plain] = [undefined, undefined];
});

/** A server that is no MCP server at all. */
async function answering(listener: RequestListener): Promise<string> {
  plain = createServer(listener);
  const server = plain;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve).unref());
  return `${origin(server)}/mcp`;
}

describe.each(REVISIONS)('the tools of a live server of revision %s', (revision) => {
  it('are read as they were sent, with what no client knows', async () => {
    const tools = [
      listed('read_file', { title: 'Read', annotations: { readOnlyHint: true, unknownHint: 'x' }, icons: [] }, [
        'path',
      ]),
      listed('write_file', { outputSchema: { type: 'object', 'x-more': { a: [1, 2.5] } } }),
    ];
    started = await startToolServer(revision, [tools]);
    expect(await read({ resource: started.resource, token: undefined })).toEqual({
      ok: true,
      value: { revision, tools },
    });
    expect(started.authorizations.every((header) => header === undefined)).toBe(true);
  });

  it('are read page by page', async () => {
    const pages = [['a', 'b'], ['c'], ['d']].map((names) => names.map((name) => listed(name)));
    started = await startToolServer(revision, pages);
    const answer = await read({ resource: started.resource, token: undefined });
    expect(answer.ok && answer.value.tools.map((tool) => tool['name'])).toEqual(['a', 'b', 'c', 'd']);
  });

  it('are read with a token, in every request, and with no other', async () => {
    started = await startToolServer(revision, [[listed('a')]]);
    started.token = 'reading-token';
    expect(await read({ resource: started.resource, token: 'reading-token' })).toMatchObject({ ok: true });
    expect(new Set(started.authorizations)).toEqual(new Set(['Bearer reading-token']));
    for (const token of [undefined, 'another'])
      expect(await read({ resource: started.resource, token })).toEqual({
        ok: false,
        error: { code: 'unauthorized', sentence: 'The server wants a token, or another one (401)' },
      });
  });

  it('are read within bounds: of pages, of tools, and of bytes', async () => {
    const endless = Array.from({ length: 70 }, (_, i) => [listed(`t${i}`)]);
    started = await startToolServer(revision, endless);
    const reading = { resource: started.resource, token: undefined };
    expect(await read(reading)).toMatchObject({ ok: false, error: { code: 'too_many_pages' } });
    started.pages = [Array.from({ length: 513 }, (_, i) => listed(`t${i}`))];
    expect(await read(reading)).toMatchObject({ ok: false, error: { code: 'too_many_tools' } });
    started.pages = [[listed('a', { description: 'x'.repeat(100_000) })]];
    const narrow = readTools({ allowLoopback: true }, { ...BOUNDS, bytes: 50_000 });
    expect(await narrow(reading)).toMatchObject({ ok: false, error: { code: 'too_large' } });
  });
});

describe('a server that cannot be read', () => {
  it.each([
    ['unauthorized', 401],
    ['forbidden', 403],
    ['server_failed', 500],
    ['not_mcp', 404],
    ['not_mcp', 200],
  ])('is %s when it answers %i', async (code, status) => {
    const resource = await answering((_request, response) => response.writeHead(status).end('{"secret":"said"}'));
    const answer = await read({ resource, token: 'reading-token' });
    expect(answer).toMatchObject({ ok: false, error: { code } });
    expect(JSON.stringify(answer)).not.toMatch(/said|reading-token/);
  });

  it('leads nobody elsewhere: a redirect is not followed', async () => {
    const asked: (string | undefined)[] = [];
    const resource = await answering((request, response) => {
      asked.push(request.url);
      response.writeHead(307, { location: '/elsewhere' }).end();
    });
    expect(await read({ resource, token: 'reading-token' })).toMatchObject({
      ok: false,
      error: { code: 'redirected' },
    });
    expect(asked).toEqual(['/mcp']);
  });

  it('keeps nobody waiting', async () => {
    const resource = await answering(() => undefined);
    const hasty = readTools({ allowLoopback: true }, { ...BOUNDS, timeMs: 200 });
    expect(await hasty({ resource, token: undefined })).toMatchObject({ ok: false, error: { code: 'too_slow' } });
  });

  it('is unreachable when nothing listens there', async () => {
    const resource = await answering(() => undefined);
    if (plain !== undefined) await close(plain);
    plain = undefined;
    expect(await read({ resource, token: undefined })).toMatchObject({ ok: false, error: { code: 'unreachable' } });
  });

  it.each(['http://mcp.example/files', 'http://127.0.0.1:1/mcp'])(
    'is not even asked at %s where Writ is not local',
    async (resource) => {
      const strict = readTools({ allowLoopback: false });
      expect(await strict({ resource, token: undefined })).toMatchObject({
        ok: false,
        error: { code: 'unsafe_address' },
      });
    },
  );
});
