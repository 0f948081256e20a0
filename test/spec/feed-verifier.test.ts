import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { PrivateJwk } from '../../src/protocol/index.js';
import { createVerifier, type Refused } from '../../src/sdk/verifier/index.js';
import { revokeTargets } from '../support/feed.js';
import { callText } from '../support/mcp.js';
import { ownWorld, RS1, tool, tools } from '../support/world.js';
import { tokenOf } from '../support/writ.js';

const world = await ownWorld();
const jwk = world.rs1.key.privateKey.export({ format: 'jwk' });
const verifier = createVerifier({
  issuer: world.issuer,
  resource: RS1,
  introspection: { clientId: world.rs1.id, key: PrivateJwk.parse({ ...jwk, kid: 'srv_one-key', alg: 'ES256' }) },
  // Who reads these lines waits for what happens; how soon it does is measured elsewhere.
  feed: { maxAgeMs: { exact: 10_000, other: 10_000 } },
  timeoutMs: 10_000,
});
afterAll(() => verifier.close());

const refused: Refused[] = [];
const guard = verifier.guard({ onRefused: (why) => refused.push(why) });
let work: (signal: AbortSignal) => unknown = () => 'ran';
const handle = guard.fetch((_request, { authInfo }) => {
  const handler = guard.tool('read_file', (_args: object, { signal }) => work(signal));
  return Promise.resolve(handler({}, { authInfo })).then((answer) => Response.json({ answer }));
});
const call = (token: string): Promise<Response> => {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return handle(new Request(RS1, { method: 'POST', body: callText('read_file', '{}'), headers }));
};
const mint = async (person: string, claims: Record<string, unknown> = {}): Promise<string> =>
  tokenOf(
    await world.exchange({
      subject_token: await world.personToken(person, claims),
      authorization_details: tools(tool('read_file', { max_uses: 100 })),
    }),
  );
/** With a token that the company issued after what was cut off. */
const mintAnew = async (person: string): Promise<string> => {
  await world.minutePasses();
  return mint(person);
};
const until = async (status: number, token: string): Promise<Response> => {
  for (;;) {
    const response = await call(token);
    if (response.status === status) return response;
    await pause(50);
  }
};
const sessionOf = (token: string): string => decodeJwt<{ writ: { session: string } }>(token).writ.session;

it('lets calls through that nobody revoked, once it knows what is', async () => {
  const response = await until(200, await mint('alice'));
  expect(await response.json()).toEqual({ answer: 'ran' });
});

it('refuses the tokens of a session that was ended, without asking, and tells a call that runs to stop', async () => {
  const [token, other] = [await mint('bob'), await mint('carol')];
  await until(200, token);
  let began = (): void => undefined;
  const begun = new Promise<void>((resolve) => (began = resolve));
  work = async (signal) => {
    began();
    await once(signal, 'abort');
    return String((signal.reason as { reason?: unknown }).reason);
  };
  const running = call(token);
  await begun;
  work = () => 'ran';
  const ended = await world.admin('POST', `/sessions/${sessionOf(token)}/end`, { reason: 'test' });
  expect(ended.status).toBe(200);
  expect(await (await running).json()).toEqual({ answer: 'revoked' });
  expect((await call(token)).status).toBe(401);
  expect(refused.at(-1)).toEqual({ reason: 'revoked', tool: undefined });
  expect((await call(other)).status).toBe(200);
});

it('refuses a token that its agent gave back (RFC 7009), and no other of its session', async () => {
  const subject_token = await world.personToken('dave');
  const details = { authorization_details: tools(tool('read_file', { max_uses: 100 })) };
  const [token, sibling] = [
    tokenOf(await world.exchange({ subject_token, ...details })),
    tokenOf(await world.exchange({ subject_token, ...details })),
  ];
  expect(sessionOf(token)).toBe(sessionOf(sibling));
  await until(200, token);
  const { client_assertion, client_assertion_type } = await world.form();
  expect((await world.post('/revoke', { token, client_assertion, client_assertion_type })).status).toBe(200);
  await until(401, token);
  expect((await call(sibling)).status).toBe(200);
});

it('takes a token that was made after the same person was cut off, and none from before', async () => {
  const before = await mint('erin');
  await until(200, before);
  const person = decodeJwt(before).sub ?? '';
  await revokeTargets(world, `person:${person}`);
  const after = await mintAnew('erin');
  await until(401, before);
  expect((await call(after)).status).toBe(200);
});

it('refuses the tokens of an agent that is disabled, and takes new ones once it is enabled again', async () => {
  const before = await mint('frank');
  await until(200, before);
  const path = `/agents/${world.a1.id}`;
  const { body } = await world.admin('GET', path);
  const put = async (status: string): Promise<void> => {
    const reply = await world.admin('PUT', path, { ...(body as object), status });
    expect(reply.status).toBe(200);
  };
  await put('disabled');
  await until(401, before);
  await put('active');
  expect((await call(await mintAnew('frank'))).status).toBe(200);
  expect((await call(before)).status).toBe(401);
});
