import { beforeEach, describe, expect, it } from '@jest/globals';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { PrivateJwk } from '../../src/protocol/index.js';
import { AgentError, type CallOptions, createAgent, type StepUp } from '../../src/sdk/agent/index.js';
import { createVerifier, type Refused, type ToolSignIns, type VerifierOptions } from '../../src/sdk/verifier/index.js';
import { activate } from '../support/policies.js';
import { ownWorld, RS1, type Client as WorldClient, tool, tools } from '../support/world.js';
import { callText } from '../support/mcp.js';
import { tokenOf } from '../support/writ.js';

const PERMIT = `@id("people") permit (principal is Person, action, resource);
@id("agents") permit (principal is Agent, action, resource);
`;
const FRESH = `@id("fresh") @requires("reauthentication") @acr_values("phr phrh") @max_age("300") @reason("Sign in by passkey to read.")
forbid (principal, action == Action::"${RS1}#read_file", resource)
unless { context.authn has acr && context.authn.acr == "phr" && context.authn has age && context.authn.age <= 300 };
`;

const world = await ownWorld();
beforeEach(() => activate(world, PERMIT));

const now = (): number => Math.floor(Date.now() / 1000);
const weak = (person = 'alice'): Promise<string> => world.personToken(person, { acr: 'pwd', auth_time: now() - 3_000 });
const strong = (person = 'alice'): Promise<string> => world.personToken(person, { acr: 'phr', auth_time: now() });
const keyOf = ({ id, key }: WorldClient): Readonly<{ clientId: string; key: PrivateJwk }> => ({
  clientId: id,
  key: PrivateJwk.parse({ ...key.privateKey.export({ format: 'jwk' }), kid: `${id}-key`, alg: 'ES256' }),
});

type Server = Readonly<{ handle: (request: Request) => Promise<Response>; ran: string[]; refused: Refused[] }>;

/** An MCP server of the official SDK behind a guard. */
function server(signIn: ToolSignIns = {}, more: Partial<VerifierOptions> = {}): Server {
  const [ran, refused]: [string[], Refused[]] = [[], []];
  const options = { introspection: keyOf(world.rs1), decideTimeoutMs: 5_000, timeoutMs: 10_000, outcomes: false };
  const guard = createVerifier({ issuer: world.issuer, resource: RS1, ...options, ...more }).guard({
    signIn,
    onRefused: (why) => refused.push(why),
  });
  const handler = createMcpHandler(() => {
    const files = new McpServer({ name: 'files', version: '1' });
    const read = guard.tool('read_file', ({ path }: { path: string }, { delegation }) => {
      ran.push(`${path} ${delegation.acr ?? ''} ${(delegation.amr ?? []).join(' ')}`.trim());
      return { content: [{ type: 'text' as const, text: 'done' }] };
    });
    files.registerTool('read_file', { inputSchema: z.object({ path: z.string() }) }, read);
    return files;
  });
  return { handle: guard.fetch((request, given) => handler.fetch(request, given)), ran, refused };
}

/** An agent whose calls of that server's address reach it. */
function agentAt({ handle }: Server) {
  return createAgent({
    ...{ issuer: world.issuer, ...keyOf(world.a1), timeoutMs: 10_000 },
    fetch: (url, init) => (url.startsWith(RS1) ? handle(new Request(url, init)) : fetch(url, init)),
  });
}

async function connected(at: Server, options: Omit<CallOptions, 'resource'>): Promise<Client> {
  const client = new Client({ name: 'planner', version: '1' });
  const sending = agentAt(at).fetch({ resource: RS1, ...options });
  await client.connect(new StreamableHTTPClientTransport(new URL(RS1), { fetch: sending }));
  return client;
}
const read = (client: Client, path = '/a'): Promise<unknown> =>
  client.callTool({ name: 'read_file', arguments: { path } });
const done = expect.objectContaining({ content: [{ type: 'text', text: 'done' }] }) as unknown;
const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (thrown: unknown) => (thrown instanceof Error && thrown.cause instanceof AgentError ? thrown.cause : thrown),
  );

describe('an agent whose person has to sign in again (RFC 9470)', () => {
  it('tells its host what is needed, calls once more with the new token, and goes on with it', async () => {
    await activate(world, PERMIT + FRESH);
    const [at, asked]: [Server, StepUp[]] = [server(), []];
    const client = await connected(at, {
      subjectToken: await weak(),
      signInAgain: (needed) => {
        asked.push(needed);
        return strong();
      },
    });
    expect(await read(client)).toEqual(done);
    expect(asked).toEqual([
      {
        tool: 'read_file',
        acrValues: ['phr', 'phrh'],
        maxAge: 300,
        reasons: ['Sign in by passkey to read.'],
        authorizationEndpoint: `${world.issuer}/auth`,
        parameters: { acr_values: 'phr phrh', max_age: '300' },
      },
    ]);
    expect(await read(client, '/b')).toEqual(done);
    expect([at.ran, asked.length]).toEqual([['/a phr', '/b phr'], 1]);
  });

  it('asks once and then says why, where the sign-in did not help', async () => {
    await activate(world, PERMIT + FRESH);
    const [at, asked]: [Server, StepUp[]] = [server(), []];
    const signInAgain = (needed: StepUp): Promise<string> => {
      asked.push(needed);
      return weak();
    };
    const error = await failure(read(await connected(at, { subjectToken: await weak(), signInAgain })));
    expect(error).toMatchObject({
      code: 'insufficient_user_authentication',
      advice: { remedy: 'reauthentication', acr_values: 'phr phrh', max_age: 300 },
    });
    expect([at.ran, asked.length]).toEqual([[], 1]);
  });

  it('says why at once where its host cannot ask', async () => {
    await activate(world, PERMIT + FRESH);
    const at = server();
    const error = await failure(read(await connected(at, { subjectToken: await weak() })));
    expect(error).toMatchObject({ code: 'insufficient_user_authentication' });
    expect(at.ran).toEqual([]);
  });

  it('makes no call in the name of somebody else who signed in', async () => {
    await activate(world, PERMIT + FRESH);
    const at = server();
    const client = await connected(at, { subjectToken: await weak(), signInAgain: () => strong('bob') });
    expect(await failure(read(client))).toMatchObject({
      code: 'other_person',
      message: 'somebody else signed in than the one whose call it is',
    });
    expect(at.ran).toEqual([]);
  });

  it('has the person sign in once for all calls that wait for the same', async () => {
    await activate(world, PERMIT + FRESH);
    const at = server();
    let asked = 0;
    const client = await connected(at, {
      subjectToken: await weak(),
      signInAgain: async () => {
        asked++;
        await new Promise((resolve) => setTimeout(resolve, 500));
        return strong();
      },
    });
    expect(await Promise.all(['/a', '/b', '/c'].map((path) => read(client, path)))).toEqual([done, done, done]);
    expect([at.ran.length, asked]).toEqual([3, 1]);
  });

  it('tells its host to stop asking when nobody waits any more', async () => {
    await activate(world, PERMIT + FRESH);
    const at = server();
    const giveUp = new AbortController();
    const stopped = new Promise<unknown>((resolve) => {
      const send = agentAt(at).fetch({
        resource: RS1,
        subjectToken: weak,
        signInAgain: (_needed, signal) =>
          new Promise((_answer, reject) => {
            signal.addEventListener('abort', () => {
              resolve(signal.reason);
              reject(new Error('stopped'));
            });
            giveUp.abort(new Error('enough'));
          }),
      });
      const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
      const body = callText('read_file', '{"path":"/a"}');
      void send(RS1, { method: 'POST', body, headers, signal: giveUp.signal }).catch(() => undefined);
    });
    expect(await stopped).toEqual(new Error('enough'));
    expect(at.ran).toEqual([]);
  });
});

/** One call with this token, as it is. */
async function called({ handle }: Server, token: string): Promise<Readonly<[number, string | null, unknown]>> {
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  };
  const answer = await handle(
    new Request(RS1, { method: 'POST', body: callText('read_file', '{"path":"/a"}'), headers }),
  );
  return [answer.status, answer.headers.get('www-authenticate'), await answer.json().catch(() => undefined)];
}
const minted = async (subject_token: string): Promise<string> =>
  tokenOf(await world.exchange({ subject_token, authorization_details: tools(tool('read_file')) }));

const METADATA = `resource_metadata="https://mcp1.example/.well-known/oauth-protected-resource"`;
const AGAIN = {
  error: 'insufficient_user_authentication',
  error_description: 'The person has to sign in again for this call.',
};

describe('a guard whose tool wants a fresh or stronger sign-in', () => {
  const signIn = { read_file: { acrValues: ['phr', 'phrh'], maxAgeSeconds: 300 } };

  it('RFC 9470 §3: challenges with acr_values and max_age, and spends no use', async () => {
    const at = server(signIn, { uses: 'writ' });
    const token = await minted(await weak());
    const uses = (): Promise<number> => world.writ.database.prisma.tokenUse.count();
    const before = await uses();
    expect(await called(at, token)).toEqual([
      401,
      `Bearer error="${AGAIN.error}", error_description="${AGAIN.error_description}", acr_values="phr phrh", max_age="300", ${METADATA}`,
      AGAIN,
    ]);
    expect([await uses(), at.ran, at.refused]).toEqual([
      before,
      [],
      [{ reason: 'sign_in_not_enough', tool: 'read_file' }],
    ]);
  });

  it.each<[string, Record<string, unknown>, ToolSignIns[string], number]>([
    ['of one of the classes', { acr: 'phrh' }, { acrValues: ['phr', 'phrh'] }, 200],
    ['of another class', { acr: 'PHR' }, { acrValues: ['phr', 'phrh'] }, 401],
    ['of no class', {}, { acrValues: ['phr'] }, 401],
    ['within the age and the clock skew', { auth_time: now() - 310 }, { maxAgeSeconds: 300 }, 200],
    ['beyond the age', { auth_time: now() - 340 }, { maxAgeSeconds: 300 }, 401],
    ['that does not say when', {}, { maxAgeSeconds: 99_999_999 }, 401],
  ])('judges a sign-in %s', async (_what, claims, rule, status) => {
    const [judging, other] = [server({ read_file: rule }), server({ write_file: rule })];
    const token = await minted(await world.personToken('alice', claims));
    expect((await called(judging, token))[0]).toBe(status);
    expect((await called(other, token))[0]).toBe(200);
  });

  it('is satisfied by the agent, who has its person sign in again', async () => {
    const at = server(signIn);
    const asked: StepUp[] = [];
    const client = await connected(at, {
      subjectToken: await weak(),
      signInAgain: (needed) => {
        asked.push(needed);
        return world.personToken('alice', { acr: 'phr', amr: ['swk', 'user', 'mfa'], auth_time: now() });
      },
    });
    expect(await read(client)).toEqual(done);
    expect([at.ran, asked]).toEqual([
      ['/a phr swk user mfa'],
      [
        {
          ...{ tool: 'read_file', acrValues: ['phr', 'phrh'], maxAge: 300, reasons: [] },
          authorizationEndpoint: `${world.issuer}/auth`,
          parameters: { acr_values: 'phr phrh', max_age: '300' },
        },
      ],
    ]);
  });

  it.each<[string, object]>([
    ['asks for nothing', {}],
    ['has a class of two words', { acrValues: ['phr phrh'] }],
    ['has a class that ends the quoted string', { acrValues: ['phr"'] }],
    ['has an age that is no number of seconds', { maxAgeSeconds: 1.5 }],
    ['has a word that nobody knows', { maxAge: 300 }],
  ])('refuses to start with a rule that %s', (_what, rule) => {
    expect(() => server({ read_file: rule })).toThrow(/^guard: signIn: read_file/);
  });
});

describe('a verifier that asks Writ at call time', () => {
  it('RFC 9470 §3: challenges with what policy asks of the sign-in since the token was minted', async () => {
    const at = server({}, { decide: 'writ' });
    const token = await minted(await weak());
    await activate(world, PERMIT + FRESH);
    expect(await called(at, token)).toEqual([
      401,
      `Bearer error="${AGAIN.error}", error_description="${AGAIN.error_description}", acr_values="phr phrh", max_age="300", ${METADATA}`,
      AGAIN,
    ]);
    expect([at.ran, at.refused]).toEqual([[], [{ reason: 'sign_in_not_enough', tool: 'read_file' }]]);
    expect((await called(at, await minted(await strong())))[0]).toBe(200);
  });
});
