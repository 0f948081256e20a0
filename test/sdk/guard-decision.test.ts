import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createVerifier, type Refused, type VerifierOptions } from '../../src/sdk/verifier/index.js';
import { PrivateJwk } from '../../src/protocol/index.js';
import { callText } from '../support/mcp.js';
import { activate } from '../support/policies.js';
import { RS1, startWorld, tool, tools, type World } from '../support/world.js';
import { tokenOf } from '../support/writ.js';

const PERMIT =
  '@id("people") permit (principal is Person, action, resource);\n@id("agents") permit (principal is Agent, action, resource);\n';
const FORBID = '@id("frozen") @reason("Everything is frozen.") forbid (principal, action, resource);\n';

let world: World;
let options: VerifierOptions;
beforeAll(async () => {
  world = await startWorld();
  const key = PrivateJwk.parse({
    ...world.rs1.key.privateKey.export({ format: 'jwk' }),
    kid: 'srv_one-key',
    alg: 'ES256',
  });
  options = {
    issuer: world.issuer,
    resource: RS1,
    introspection: { clientId: 'srv_one', key },
    decide: 'writ',
    decideTimeoutMs: 5_000,
    timeoutMs: 10_000,
  };
});
afterAll(async () => {
  await world.close();
  expect(world.faults).toEqual([]);
});

const token = async (): Promise<string> => tokenOf(await world.exchange());

/** One call of read_file, and what became of it. A verifier trusts its own count of uses only for tokens younger than itself. */
async function call(bearer: string | (() => Promise<string>), more: Partial<VerifierOptions> = {}): Promise<unknown[]> {
  const [ran, refused]: [string[], Refused[]] = [[], []];
  const guard = createVerifier({ ...options, ...more }).guard({ onRefused: (why) => refused.push(why) });
  const handle = guard.fetch(() => {
    ran.push('ran');
    return Promise.resolve(new Response('done'));
  });
  const shown = typeof bearer === 'string' ? bearer : await bearer();
  const headers = { authorization: `Bearer ${shown}`, 'content-type': 'application/json' };
  const answer = await handle(
    new Request(RS1, { method: 'POST', body: callText('read_file', '{"path":"/a"}'), headers }),
  );
  return [answer.status, await answer.text(), ran.length, refused];
}

describe('a verifier that asks Writ at call time', () => {
  it('lets a call through that Writ permits, and Writ has it in its log', async () => {
    await activate(world, PERMIT);
    expect(await call(token)).toEqual([200, 'done', 1, []]);
    const { body } = await world.admin('GET', '/log?kind=decision&limit=200');
    const { items } = body as { items: { facts: object; outcome: object }[] };
    expect(items.at(-1)).toMatchObject({
      facts: { client: { id: 'srv_one', kind: 'server' }, agents: ['agt_a1'], server: RS1, tool: 'read_file' },
      outcome: { decision: 'permit' },
    });
  });

  it('refuses a call that policy forbids since the token was minted, with its reasons, and spends no use', async () => {
    await activate(world, PERMIT);
    const bearer = tokenOf(await world.exchange({ authorization_details: tools(tool('read_file', { max_uses: 1 })) }));
    await activate(world, PERMIT + FORBID);
    const uses = (): Promise<number> => world.writ.database.prisma.tokenUse.count();
    const before = await uses();
    const [status, text, ran, refused] = await call(bearer, { uses: 'writ' });
    expect([status, ran, refused]).toEqual([200, 0, [{ reason: 'denied', tool: 'read_file' }]]);
    expect(JSON.parse(String(text))).toMatchObject({
      result: {
        isError: true,
        content: [{ type: 'text', text: 'Refused: "read_file" may not be called now. Everything is frozen.' }],
        structuredContent: {
          error: 'denied',
          tool: 'read_file',
          reasons: ['Everything is frozen.'],
          remedy: 'change_policy',
        },
      },
    });
    expect(await uses()).toBe(before);
    await activate(world, PERMIT);
    expect(await call(token, { uses: 'writ' })).toEqual([200, 'done', 1, []]);
    expect(await uses()).toBe(before + 1);
  });

  const yes = JSON.stringify({ decision: true });
  it.each([
    ['a word', () => new Response('{"decision":"true"}')],
    ['one', () => new Response('{"decision":1}')],
    ['null', () => new Response('{"decision":null}')],
    ['nothing', () => new Response('{}')],
    ['a list of answers', () => new Response(`{"evaluations":[${yes}]}`)],
    ['two answers in one', () => new Response('{"decision":false,"decision":true}')],
    ['no JSON', () => new Response('yes')],
    ['a yes that is an error', () => new Response(yes, { status: 500 })],
    ['a yes of another kind', () => new Response(yes, { status: 201 })],
    ['an outage', () => Promise.reject(new Error('down'))],
  ])('refuses where Writ answers %s: without a yes it is a no', async (_what, answer) => {
    await activate(world, PERMIT);
    const answered = await call(token, {
      fetch: async (url, init) => (url.endsWith('/access/v1/evaluation') ? answer() : fetch(url, init)),
    });
    expect([answered[0], answered[2], answered[3]]).toEqual([
      503,
      0,
      [{ reason: 'decision_unavailable', tool: 'read_file' }],
    ]);
  });

  it('refuses where no answer comes before the deadline', async () => {
    const hangs: VerifierOptions['fetch'] = (url, init) =>
      url.endsWith('/access/v1/evaluation')
        ? new Promise((_resolve, reject) => {
            init.signal?.addEventListener('abort', () => {
              reject(new Error('aborted'));
            });
          })
        : fetch(url, init);
    const answered = await call(token, { fetch: hangs, decideTimeoutMs: 50 });
    expect([answered[0], answered[2], answered[3]]).toEqual([
      503,
      0,
      [{ reason: 'decision_unavailable', tool: 'read_file' }],
    ]);
  });

  it('cannot be set up without credentials', () => {
    expect(() => createVerifier({ issuer: world.issuer, resource: RS1, decide: 'writ' })).toThrow(
      'createVerifier: introspection is needed when decide is "writ"',
    );
  });
});

describe('the tools that a token may call', () => {
  const listed = [{ name: 'read_file' }, { name: 'list_files' }, { name: 'wipe' }];

  it('are those that it names, for the context of its own request and for no other', async () => {
    const guard = createVerifier({ issuer: world.issuer, resource: RS1 }).guard();
    const seen: unknown[] = [];
    const handle = guard.fetch((_request, { authInfo }) => {
      seen.push(guard.visible(listed, { http: { authInfo } }), guard.visible(listed, { authInfo }));
      return Promise.resolve(new Response('done'));
    });
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
    const headers = { authorization: `Bearer ${await token()}`, 'content-type': 'application/json' };
    expect((await handle(new Request(RS1, { method: 'POST', body, headers }))).status).toBe(200);
    expect(seen).toEqual([[{ name: 'read_file' }], [{ name: 'read_file' }]]);
    expect(guard.visible(listed, { authInfo: { extra: { writ: { scopes: ['repo:admin'] } } } })).toEqual([]);
    expect(guard.visible(listed, undefined)).toEqual([]);
  });
});
