import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { calculateJwkThumbprint, decodeJwt, SignJWT } from 'jose';
import { run } from '../../src/cli/index.js';
import { importClientKey, keyRotation, PrivateJwk } from '../../src/protocol/index.js';
import { AgentError, rotateKey } from '../../src/sdk/agent/index.js';
import { databaseKinds } from '../support/databases.js';
import { type Client, ownWorld, startWorld, type World } from '../support/world.js';
import { bearerAssertion, type ClientKey, makeKey, type Reply, startReplica, tokenOf } from '../support/writ.js';

const PATH = '/agents/v1/keys';
const DAY = 86_400;
const world = await ownWorld();

const privateOf = ({ privateKey, jwk }: ClientKey): PrivateJwk =>
  PrivateJwk.parse({ ...privateKey.export({ format: 'jwk' }), kid: jwk.kid, alg: 'ES256' });
const thumbOf = ({ jwk }: ClientKey): Promise<string> => calculateJwkThumbprint(jwk);
const rotating = (old: ClientKey, fresh: ClientKey, clientId = world.a1.id): string => {
  const [one, other] = [importClientKey(privateOf(old)), importClientKey(privateOf(fresh))];
  if (!one.ok || !other.ok) throw new Error('no usable keys');
  return keyRotation(one.value, other.value, { clientId, issuer: world.issuer, now: Math.floor(Date.now() / 1000) });
};
const rotate = (rotation: string): Promise<Reply> => world.post(PATH, { rotation });
const by = (key: ClientKey, id = world.a1.id): Client => ({ id, key });
const exchangedBy = async (key: ClientKey): Promise<[number, unknown]> => {
  const { status, body } = await world.exchange({}, by(key));
  return [status, (body as { error_description?: string }).error_description];
};
const sql = (text: string): Promise<number> => world.writ.database.prisma.$executeRawUnsafe(text);
const agentOf = async (id: string): Promise<Record<string, unknown>> =>
  (await world.admin('GET', `/agents/${id}`)).body as Record<string, unknown>;
/** As if so much time had passed. Whoever remembers the key looks again once its agent has changed. */
const aged = async (id: string, change: string): Promise<void> => {
  await sql(`UPDATE agent_key SET ${change} WHERE client_id = '${id}'`);
  const purpose = `tests ${String(Math.random())}`;
  expect((await world.admin('PUT', `/agents/${id}`, { ...(await agentOf(id)), purpose })).status).toBe(200);
};
/** The same number: base64url of 32 bytes has two bits that mean nothing. */
function inOtherLetters(jwk: ClientKey['jwk']): object {
  const { x = '' } = jwk;
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return { ...jwk, x: `${x.slice(0, -1)}${letters[letters.indexOf(x.slice(-1)) + 1] ?? ''}` };
}
const refusal = (error_description: string, error = 'invalid_request'): unknown => ({ error, error_description });
const report = async (): Promise<{ client_id: string; concerns: string[]; key_ends_at: string | null }[]> =>
  ((await world.admin('GET', '/reports/agents')).body as { items: [] }).items;

describe('the age of an agent key (OWASP NHI7)', () => {
  const TOO_OLD = 'the key of this client is older than keys may be; have an administrator register a new one';

  it('is limited: a key is reported two weeks ahead, and then refused on every route with what to do about it', async () => {
    expect(await exchangedBy(world.a1.key)).toEqual([200, undefined]);
    expect(await report()).toEqual([]);
    await aged(world.a1.id, "since = now() - interval '77 days'");
    const [soon, ...none] = await report();
    expect([soon?.client_id, soon?.concerns, none]).toEqual([world.a1.id, ['key_ends_soon'], []]);
    expect(Math.abs(Date.parse(soon?.key_ends_at ?? '') / 1000 - Date.now() / 1000 - 13 * DAY)).toBeLessThan(60);
    expect((await exchangedBy(world.a1.key))[0]).toBe(200);
    await aged(world.a1.id, "since = now() - interval '91 days'");
    expect((await report()).map(({ concerns }) => concerns)).toEqual([['key_too_old']]);
    const { status, body } = await world.exchange();
    expect([status, body]).toEqual([401, refusal(TOO_OLD, 'invalid_client')]);
    expect((await rotate(rotating(world.a1.key, makeKey('a1-2')))).body).toEqual(refusal(TOO_OLD, 'invalid_client'));
    const code = { grant_type: 'authorization_code', code: 'none', redirect_uri: 'https://agent.example/cb' };
    const engine = await world.post('/token', { ...code, ...(await bearerAssertion(world.issuer, world.a1)) });
    expect([engine.status, engine.body]).toEqual([401, refusal('client authentication failed', 'invalid_client')]);
    await aged(world.a1.id, 'since = now()');
    expect((await exchangedBy(world.a1.key))[0]).toBe(200);
  });

  it('does not begin anew when the key is registered again, or for another agent', async () => {
    await aged(world.a2.id, "since = now() - interval '91 days'");
    const { authentication: old, ...rest } = await agentOf(world.a2.id);
    const fresh = { method: 'private_key_jwt', jwks: { keys: [makeKey('a2-2').jwk] } };
    for (const authentication of [fresh, old]) {
      const put = await world.admin('PUT', `/agents/${world.a2.id}`, { ...rest, authentication });
      expect(put.status).toBe(200);
    }
    expect((await world.exchange({}, world.a2)).body).toEqual(refusal(TOO_OLD, 'invalid_client'));
    await world.admin('PUT', `/agents/${world.a2.id}`, { ...rest, authentication: fresh });
    const other = { ...rest, client_id: 'agt_other', authentication: old, hand_over_to: [] };
    expect((await world.admin('PUT', '/agents/agt_other', other)).status).toBe(201);
    expect((await world.exchange({}, by(world.a2.key, 'agt_other'))).body).toEqual(refusal(TOO_OLD, 'invalid_client'));
    expect((await world.admin('DELETE', '/agents/agt_other')).status).toBe(204);
    await aged(world.a2.id, 'since = now()');
  });
});

describe('the rotation of an agent key, proved with the old one (RFC 8555 §7.3.5)', () => {
  const [second, third] = [makeKey('a1-second'), makeKey('a1-third')];

  it('puts the new key in the place of the old, which is taken for the overlap and then no more', async () => {
    const rotated = await rotateKey({
      ...{ issuer: world.issuer, clientId: world.a1.id },
      ...{ key: privateOf(world.a1.key), newKey: privateOf(second) },
    });
    expect(rotated).toEqual({
      key: await thumbOf(second),
      oldKey: await thumbOf(world.a1.key),
      oldKeyUntil: expect.any(Number),
    });
    expect(Math.abs(rotated.oldKeyUntil - Date.now() / 1000 - DAY)).toBeLessThan(60);
    expect(await agentOf(world.a1.id)).toMatchObject({
      authentication: { jwks: { keys: [{ kid: world.a1.key.jwk.kid }, { ...second.jwk, alg: 'ES256' }] } },
    });
    for (const key of [world.a1.key, second]) expect(await exchangedBy(key)).toEqual([200, undefined]);
    const { text } = await world.admin('GET', '/log?kind=registry&limit=200');
    expect(text).toContain(`"by":"${world.a1.id}"`);
    await aged(world.a1.id, "retires_at = CASE WHEN retires_at IS NOT NULL THEN now() - interval '1 second' END");
    const RETIRED = 'the key of this client was rotated out; use the one that took its place';
    expect(await exchangedBy(world.a1.key)).toEqual([401, RETIRED]);
    expect(await exchangedBy(second)).toEqual([200, undefined]);
  });

  it('is refused to whoever has a key that was revoked', async () => {
    const [stolen, other] = [makeKey('stolen'), makeKey('other')];
    const authentication = { method: 'private_key_jwt', jwks: { keys: [stolen.jwk] } };
    const agent = { ...(await agentOf(world.a1.id)), client_id: 'agt_stolen', authentication };
    expect((await world.admin('PUT', '/agents/agt_stolen', agent)).status).toBe(201);
    const order = { agent_key: `agt_stolen#${await thumbOf(stolen)}`, reason: 'INC-1' };
    expect((await world.admin('POST', '/revocations', order)).status).toBe(201);
    const { status, body } = await rotate(rotating(stolen, other, 'agt_stolen'));
    const REVOKED = 'the key of this client was revoked; have an administrator register a new one';
    expect([status, body]).toEqual([400, refusal(REVOKED)]);
    expect((await agentOf('agt_stolen'))['authentication']).toMatchObject({ jwks: { keys: [{ kid: 'stolen' }] } });
    expect((await world.admin('DELETE', '/agents/agt_stolen')).status).toBe(204);
  });

  it('keeps the session, which any current key of its agent continues', async () => {
    const subject_token = await world.personToken('alice');
    const before = tokenOf(await world.exchange({ subject_token }, by(second)));
    expect((await rotate(rotating(second, third))).status).toBe(200);
    const after = tokenOf(await world.exchange({ subject_token }, by(third)));
    const sessionOf = (token: string): unknown => decodeJwt<{ writ: { session: string } }>(token).writ.session;
    expect(sessionOf(after)).toBe(sessionOf(before));
    const { authentication } = (await agentOf(world.a1.id)) as { authentication: { jwks: { keys: unknown[] } } };
    expect(authentication.jwks.keys).toHaveLength(2);
  });

  it('is done once: a lost answer is given again, and nothing else is rotated by the old key', async () => {
    const again = await rotate(rotating(second, third));
    expect([again.status, again.body]).toEqual([
      200,
      {
        ...{ client_id: world.a1.id, key: await thumbOf(third), old_key: await thumbOf(second) },
        old_key_until: expect.any(Number),
      },
    ]);
    const other = await rotate(rotating(second, makeKey()));
    const OUT = 'this key was rotated out already; rotate with the one that took its place';
    expect([other.status, other.body]).toEqual([400, refusal(OUT)]);
    const back = await rotate(rotating(third, world.a1.key));
    expect([back.status, back.body]).toEqual([400, refusal('new_key was rotated out before; make a fresh one')]);
  });

  it('is good once (CA replay): the same request a second time is nobody', async () => {
    const rotation = rotating(third, third);
    const [first, replayed] = [await rotate(rotation), await rotate(rotation)];
    expect([first.status, first.body]).toEqual([400, refusal('new_key is registered already; make a fresh one')]);
    expect([replayed.status, replayed.body]).toEqual([401, refusal('client authentication failed', 'invalid_client')]);
  });

  it('is refused where anything about it is not so', async () => {
    const now = Math.floor(Date.now() / 1000);
    const aud = `${world.issuer}${PATH}`;
    const fresh = makeKey('a1-fourth');
    const sign = (payload: object, header: object, key: ClientKey): Promise<string> =>
      new SignJWT({ ...payload }).setProtectedHeader({ alg: 'ES256', ...header }).sign(key.privateKey);
    const good = { iss: world.a1.id, aud, old_key: await thumbOf(third), iat: now, exp: now + 60 };
    const inner = (
      changes: object = {},
      { header = {}, key = fresh }: { header?: object; key?: ClientKey } = {},
    ): Promise<string> => sign({ ...good, ...changes }, { typ: 'new-key+jwt', jwk: fresh.jwk, ...header }, key);
    const outer = async (
      new_key: unknown,
      changes: object = {},
      { header = {}, key = third }: { header?: object; key?: ClientKey } = {},
    ): Promise<string> =>
      sign(
        {
          iss: world.a1.id,
          sub: world.a1.id,
          aud,
          jti: crypto.randomUUID(),
          iat: now,
          exp: now + 60,
          new_key,
          ...changes,
        },
        { typ: 'key-rotation+jwt', kid: key.jwk.kid, ...header },
        key,
      );
    const FAILED = refusal('client authentication failed', 'invalid_client');
    const ELSEWHERE = refusal('new_key is for another client, key or server');
    const MUST = refusal('new_key must be a JWS of type new-key+jwt');
    const cases: [Promise<string>, unknown][] = [
      [outer(await inner(), { aud: world.issuer }), FAILED],
      [outer(await inner(), { sub: world.a2.id, iss: world.a2.id }), FAILED],
      [outer(await inner(), {}, { header: { typ: 'client-authentication+jwt' } }), FAILED],
      [outer(await inner(), {}, { key: fresh }), FAILED],
      [outer(await inner(), { exp: now + 301 }), FAILED],
      [outer(await inner(), { iat: now - 120, exp: now - 60 }), FAILED],
      [outer(undefined), MUST],
      [outer('x'), MUST],
      [outer(await inner({}, { header: { typ: 'key-rotation+jwt' } })), MUST],
      [outer(await inner({}, { header: { jwk: undefined } })), refusal('jwk of new_key must be a usable public key')],
      [
        outer(await inner({}, { header: { jwk: privateOf(fresh) } })),
        refusal('jwk of new_key must be a usable public key'),
      ],
      [outer(await inner({}, { key: third })), refusal('new_key is not signed by the key that it shows')],
      [outer(await inner({ old_key: undefined })), refusal('new_key must have iss, aud, old_key, iat and exp')],
      [outer(await inner({ iss: world.a2.id })), ELSEWHERE],
      [outer(await inner({ aud: world.issuer })), ELSEWHERE],
      [outer(await inner({ old_key: await thumbOf(second) })), ELSEWHERE],
      [outer(await inner({ exp: now - 60, iat: now - 120 })), refusal('new_key is not of now')],
      [outer(await inner({ exp: now + 3_600 })), refusal('new_key is not of now')],
      [
        outer(await inner({}, { header: { jwk: { ...fresh.jwk, kid: third.jwk.kid } } })),
        refusal('new_key has the kid of another key'),
      ],
      [
        outer(await inner({}, { header: { jwk: world.rs1.key.jwk }, key: world.rs1.key })),
        refusal('new_key is the key of somebody else; everyone needs a key of their own'),
      ],
      [
        outer(await inner({}, { header: { jwk: inOtherLetters(world.rs1.key.jwk) }, key: world.rs1.key })),
        refusal('jwk of new_key must be a usable public key'),
      ],
    ];
    for (const [rotation, body] of cases) {
      const answer = await rotate(await rotation);
      expect([answer.status, answer.body]).toEqual([body === FAILED ? 401 : 400, body]);
    }
    const ONCE = refusal('rotation must be sent once, and nothing beside it');
    for (const form of [{}, { rotation: ['a', 'b'] }, { rotation: 'a', client_id: world.a1.id }])
      expect((await world.post(PATH, form)).body).toEqual(ONCE);
    const server = await rotate(rotating(world.rs1.key, fresh, world.rs1.id));
    expect(server.body).toEqual(refusal('only an agent rotates its key', 'unauthorized_client'));
    expect(await exchangedBy(third)).toEqual([200, undefined]);
    expect((await exchangedBy(fresh))[0]).toBe(401);
  });

  it('tells the program of the agent why it was refused', async () => {
    const options = { issuer: world.issuer, clientId: world.a1.id, key: privateOf(makeKey('nobody')) };
    await expect(rotateKey({ ...options, newKey: privateOf(makeKey()) })).rejects.toMatchObject({
      ...{ name: 'AgentError', code: 'invalid_client', message: 'client authentication failed' },
    } satisfies Partial<AgentError>);
  });
});

describe('writ agents rotate', () => {
  it('makes the new key, keeps it before it is registered, and says the same when it is asked again', async () => {
    const old = makeKey('a2-old');
    const agent = await agentOf(world.a2.id);
    const authentication = { method: 'private_key_jwt', jwks: { keys: [old.jwk] } };
    expect((await world.admin('PUT', `/agents/${world.a2.id}`, { ...agent, authentication })).status).toBe(200);
    const files = new Map([['old.jwk.json', JSON.stringify(privateOf(old))]]);
    const said: string[] = [];
    const io = {
      env: { WRIT_ISSUER: world.issuer },
      readFile: (path: string) => files.get(path),
      makePrivateFile: (path: string, text: string) => !files.has(path) && files.set(path, text).size > 0,
      readStdin: () => Promise.resolve(''),
      out: (text: string) => said.push(text),
      err: (text: string) => said.push(text),
    };
    const command = ['agents', 'rotate', world.a2.id, '--key', 'old.jwk.json', '--new-key', 'new.jwk.json', '--json'];
    expect([await run(command, io), await run(command, io)]).toEqual([0, 0]);
    const kept = PrivateJwk.parse(JSON.parse(files.get('new.jwk.json') ?? ''));
    const answers = said.map((text): unknown => JSON.parse(text));
    expect(answers[0]).toEqual({
      ...{ client_id: world.a2.id, old_key: await thumbOf(old) },
      ...{ key: await calculateJwkThumbprint({ ...kept }), old_key_until: expect.any(String) },
    });
    expect(answers[0]).toMatchObject({ key: (answers[1] as { key: string }).key });
    said.length = 0;
    const third = command.map((word) => (word === 'new.jwk.json' ? 'third.jwk.json' : word));
    expect(await run(third, io)).toBe(1);
    expect(said.join()).toContain('rotated out already');
    expect(files.has('third.jwk.json')).toBe(true);
  });
});

describe.each(databaseKinds.filter((kind) => kind === 'server'))('two rotations at once (%s)', (kind) => {
  let raced: World;
  let replica: Awaited<ReturnType<typeof startReplica>>;
  beforeAll(async () => {
    raced = await startWorld({ kind });
    replica = await startReplica(raced);
  });
  afterAll(async () => {
    await replica.close();
    await raced.close();
    expect([...raced.faults, ...replica.faults]).toEqual([]);
  });

  it('have one winner at two replicas, and its key alone is registered', async () => {
    let old = raced.a1.key;
    for (let round = 0; round < 5; round++) {
      const fresh = Array.from({ length: 4 }, (_, n) => makeKey(`r${String(round)}-${String(n)}`));
      const from = importClientKey(privateOf(old));
      const answers = await Promise.all(
        fresh.map((key, n) => {
          const to = importClientKey(privateOf(key));
          if (!from.ok || !to.ok) throw new Error('no usable keys');
          const now = Math.floor(Date.now() / 1000);
          const rotation = keyRotation(from.value, to.value, { clientId: raced.a1.id, issuer: raced.issuer, now });
          return (n % 2 === 0 ? raced : replica).post(PATH, { rotation });
        }),
      );
      const winners = fresh.filter((_, n) => answers[n]?.status === 200);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 400, 400, 400]);
      const shown = (await raced.admin('GET', `/agents/${raced.a1.id}`)).body;
      const kids = (shown as { authentication: { jwks: { keys: { kid: string }[] } } }).authentication.jwks.keys;
      expect(kids.map(({ kid }) => kid).slice(-2)).toEqual([old.jwk.kid, winners[0]?.jwk.kid]);
      old = winners[0] ?? old;
    }
  });
});
