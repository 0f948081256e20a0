import { beforeAll, describe, expect, it } from '@jest/globals';
import { calculateJwkThumbprint, SignJWT } from 'jose';
import { Fault } from '../../src/base/index.js';
import {
  type AgentKeys,
  agentKeys,
  asClient,
  type AsClientDeps,
  authenticateClient,
  type ClientRefusal,
  clientRefused,
  hashSecret,
  keySource,
} from '../../src/client/index.js';
import { type Answer, type FormRequest, parseJws, sha256 } from '../../src/protocol/index.js';
import type { KeyLife, RegistrySnapshot } from '../../src/registry/index.js';
import { formRequest, registeredAgent, registeredServer, registryOf } from '../support/clients.js';
import { ISS, NOW } from '../support/delegations.js';
import { makeKey } from '../support/writ.js';

const BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const SECRET = 'p+q:r/s %';
const key = makeKey('k1');
const other = makeKey('k1');
const keys = keySource({ keys: () => Promise.reject(new Fault('issuer_keys_unavailable', 'nobody publishes any')) });

/** Of every key, until a test says otherwise. */
const YOUNG: KeyLife = { since: NOW, retiresAt: undefined };
const isRevoked = (): Promise<boolean> => Promise.resolve(false);
const aged = (life: KeyLife): AgentKeys => agentKeys({ of: () => Promise.resolve(life), isRevoked }, 90 * 86_400);

let registry: RegistrySnapshot;
beforeAll(async () => {
  const secretHash = await hashSecret(SECRET);
  const keyed = { method: 'private_key_jwt' as const, jwks: { keys: [key.jwk] } };
  const past = new Date(NOW * 1000).toISOString();
  registry = registryOf({
    agents: [
      registeredAgent({ client_id: 'agt_key', authentication: keyed }),
      registeredAgent({ client_id: 'agt_off', authentication: keyed, status: 'disabled' }),
      registeredAgent({ client_id: 'agt_past', authentication: keyed, expires_at: past }),
      registeredAgent({ client_id: 'agt_basic', secretHash }),
      registeredAgent({ client_id: 'agt_post', authentication: { method: 'client_secret_post' }, secretHash }),
      registeredAgent({ client_id: 'agt_none' }),
    ],
    servers: [
      registeredServer({ client_id: 'srv_key', authentication: keyed }),
      registeredServer({
        client_id: 'srv_off',
        resource: 'https://off.example',
        authentication: keyed,
        status: 'disabled',
      }),
    ],
  });
});

const signed = (clientId: string, by = key, claims: Record<string, unknown> = {}): Promise<string> =>
  new SignJWT({ iss: clientId, sub: clientId, aud: ISS, jti: 'j1', iat: NOW, exp: NOW + 60, ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
    .sign(by.privateKey);
const bearer = async (
  clientId: string,
  more: Record<string, string | undefined> = {},
  by = key,
): Promise<FormRequest> =>
  formRequest({ client_assertion_type: BEARER, client_assertion: await signed(clientId, by), ...more });
const raw = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
const basic = (id: string, secret: string, form: Record<string, string> = {}): FormRequest =>
  formRequest(form, { authorization: raw(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`) });
const unlimited = (): Promise<undefined> => Promise.resolve(undefined);
const judged = (request: FormRequest, life = YOUNG) =>
  authenticateClient(request, {
    ...{ issuer: ISS, registry, keys, agentKeys: aged(life), now: NOW, skew: 30 },
    admitClaim: unlimited,
  });
const refused = async (request: FormRequest): Promise<ClientRefusal | 'accepted'> => {
  const caller = await judged(request);
  return caller.ok ? 'accepted' : caller.error;
};

describe('RFC 6749 §2.3: a client is who it proves to be', () => {
  it.each(['agt_key', 'srv_key'])('RFC 7523: by its key (%s); its assertion is to be spent', async (clientId) => {
    const agent = registry.agent(clientId);
    const party = agent ? { kind: 'agent', agent } : { kind: 'server', server: registry.serverByClientId(clientId) };
    expect(await judged(await bearer(clientId))).toEqual({
      ok: true,
      value: {
        clientId,
        party,
        method: 'private_key_jwt',
        keyId: 'k1',
        keyThumbprint: await calculateJwkThumbprint(key.jwk),
        spends: [{ what: 'assertion', key: sha256(`${clientId}\nj1`), expiresAt: NOW + 60 + 30 }],
      },
    });
  });

  it.each([
    ['client_secret_basic', 'agt_basic', () => basic('agt_basic', SECRET)],
    ['client_secret_basic', 'agt_basic', () => basic('agt_basic', SECRET, { client_id: 'agt_basic' })],
    ['client_secret_post', 'agt_post', () => formRequest({ client_id: 'agt_post', client_secret: SECRET })],
  ])('RFC 6749 §2.3.1: by its secret, %s of %s', async (method, clientId, request) => {
    expect(await judged(request())).toEqual({
      ok: true,
      value: {
        clientId,
        party: { kind: 'agent', agent: registry.agent(clientId) },
        method,
        keyId: undefined,
        spends: [],
      },
    });
  });

  it('RFC 6749 §2.3.1: both halves of Basic are form-encoded', async () => {
    expect(await refused(formRequest({}, { authorization: raw('agt_basic:p%2Bq%3Ar%2Fs+%25') }))).toBe('accepted');
    expect(await refused(formRequest({}, { authorization: raw('agt%5Fbasic:p%2Bq:r/s%20%25') }))).toBe('accepted');
  });

  it('RFC 7521 §4.2: with a client_id beside the assertion that names the same client', async () => {
    expect(await refused(await bearer('agt_key', { client_id: 'agt_key' }))).toBe('accepted');
  });
});

describe('everybody else is refused, and the log learns why', () => {
  const header = (value: string | string[], form = {}): FormRequest => formRequest(form, { authorization: value });
  const post = (form: Record<string, string>): FormRequest => formRequest(form);
  type Case = [string, () => FormRequest | Promise<FormRequest>, ClientRefusal['reason'], string | undefined, boolean];
  it.each<Case>([
    ['nothing', () => post({}), 'no_credentials', undefined, false],
    ['a client_id alone', () => post({ client_id: 'agt_key' }), 'no_credentials', undefined, false],
    ['a name of one letter', () => header(raw('a:b')), 'unknown_client', undefined, true],
    ['a secret of nobody', () => post({ client_secret: SECRET }), 'no_credentials', undefined, false],
    [
      'a type without an assertion',
      () => post({ client_assertion_type: BEARER }),
      'malformed_credentials',
      undefined,
      false,
    ],
    [
      'an assertion without its type',
      () => bearer('agt_key', { client_assertion_type: undefined }),
      'malformed_credentials',
      undefined,
      false,
    ],
    [
      'an assertion of another type',
      () => bearer('agt_key', { client_assertion_type: 'saml' }),
      'malformed_credentials',
      undefined,
      false,
    ],
    [
      'no JWT',
      () => post({ client_assertion_type: BEARER, client_assertion: 'x' }),
      'assertion_malformed',
      undefined,
      false,
    ],
    [
      'a JWT without a subject',
      async () =>
        post({ client_assertion_type: BEARER, client_assertion: await signed('agt_key', key, { sub: undefined }) }),
      'assertion_malformed',
      undefined,
      false,
    ],
    [
      'another client_id beside it',
      () => bearer('agt_key', { client_id: 'agt_basic' }),
      'assertion_wrong_subject',
      undefined,
      false,
    ],
    ['a wrong signature', () => bearer('agt_key', {}, other), 'assertion_wrong_signature', 'agt_key', false],
    ['an assertion of nobody that we know', () => bearer('agt_x'), 'unknown_client', undefined, false],
    ['an assertion where there is a secret', () => bearer('agt_basic'), 'wrong_method', 'agt_basic', false],
    ['a disabled agent', () => bearer('agt_off'), 'unusable_client', 'agt_off', false],
    ['an agent whose time is over', () => bearer('agt_past'), 'unusable_client', 'agt_past', false],
    ['a disabled server', () => bearer('srv_off'), 'unusable_client', 'srv_off', false],
    ['two headers', () => header([raw('agt_basic:x'), raw('agt_basic:x')]), 'malformed_credentials', undefined, true],
    [
      'a header and a secret',
      () => header(raw('agt_basic:x'), { client_secret: 'x' }),
      'several_methods',
      undefined,
      true,
    ],
    [
      'a header and an assertion',
      () => header(raw('a:x'), { client_assertion: 'x' }),
      'several_methods',
      undefined,
      true,
    ],
    [
      'a header and an assertion’s type',
      () => header(raw('a:x'), { client_assertion_type: BEARER }),
      'several_methods',
      undefined,
      true,
    ],
    [
      'a secret and an assertion',
      () => post({ client_id: 'a', client_secret: 'x', client_assertion: 'x' }),
      'several_methods',
      undefined,
      false,
    ],
    ['another scheme', () => header('Bearer abc'), 'malformed_credentials', undefined, true],
    ['Basic in another case', () => header(raw('agt_basic:x').toLowerCase()), 'malformed_credentials', undefined, true],
    ['something before Basic', () => header(` ${raw('agt_basic:x')}`), 'malformed_credentials', undefined, true],
    ['something after Basic', () => header(`${raw('agt_basic:x')} x`), 'malformed_credentials', undefined, true],
    ['three signs of padding', () => header(`Basic QQ===`), 'malformed_credentials', undefined, true],
    [
      'base64 in another spelling',
      () => header(`Basic ${Buffer.from('a:bc').toString('base64').replace(/=*$/, '')}`),
      'malformed_credentials',
      undefined,
      true,
    ],
    ['no colon', () => header(raw('agt_basic')), 'malformed_credentials', undefined, true],
    ['no name', () => header(raw(':secret')), 'malformed_credentials', undefined, true],
    [
      'bytes that are no text',
      () => header(`Basic ${Buffer.from([97, 58, 0xff]).toString('base64')}`),
      'malformed_credentials',
      undefined,
      true,
    ],
    ['a name that does not decode', () => header(raw('%zz:x')), 'malformed_credentials', undefined, true],
    ['a secret that does not decode', () => header(raw('agt_basic:%')), 'malformed_credentials', undefined, true],
    [
      'another client_id beside Basic',
      () => basic('agt_basic', SECRET, { client_id: 'agt_post' }),
      'malformed_credentials',
      undefined,
      true,
    ],
    ['a wrong secret', () => basic('agt_basic', 'wrong'), 'wrong_secret', 'agt_basic', true],
    ['an empty secret', () => basic('agt_basic', ''), 'wrong_secret', 'agt_basic', true],
    ['any secret of a client that has none', () => basic('agt_none', ''), 'wrong_secret', 'agt_none', true],
    ['a secret of nobody that we know', () => basic('agt_x', SECRET), 'unknown_client', undefined, true],
    ['a secret in the wrong place', () => basic('agt_post', SECRET), 'wrong_method', 'agt_post', true],
    ['a secret where there is a key', () => basic('agt_key', SECRET), 'wrong_method', 'agt_key', true],
  ])('%s', async (_, request, reason, knownClient, usedHeader) => {
    expect(await refused(await request())).toEqual({ reason, knownClient, usedHeader });
  });

  const NO_STORE = { 'Cache-Control': 'no-store', Pragma: 'no-cache' };
  const failed = { error: 'invalid_client', error_description: 'client authentication failed' };
  const twice = { error: 'invalid_request', error_description: 'use exactly one client authentication method' };
  const refusal = { reason: 'wrong_secret', knownClient: 'agt_a', usedHeader: true } as const;
  const notes = { outcome: 'unauthenticated', reason: 'wrong_secret', claimed: 'agt_a' } as const;
  it.each<[string, ClientRefusal, Answer]>([
    [
      'by the challenge of the header that it used',
      refusal,
      { status: 401, headers: { ...NO_STORE, 'WWW-Authenticate': 'Basic realm="writ"' }, body: failed, notes },
    ],
    [
      'and by none without one',
      { ...refusal, usedHeader: false },
      { status: 401, headers: NO_STORE, body: failed, notes },
    ],
    [
      'and as a malformed request for two methods at once',
      { ...refusal, reason: 'several_methods' },
      { status: 400, headers: NO_STORE, body: twice, notes: { ...notes, reason: 'several_methods' } },
    ],
  ])('RFC 6749 §5.2: the client learns that it failed, %s', (_, of, answer) => {
    expect(clientRefused(of)).toEqual(answer);
  });
});

describe('the keys of a client', () => {
  it('CA-16: are one that verifies nothing, for a client that is unknown or has a secret', async () => {
    const jws = parseJws(await signed('agt_x'));
    if (!jws.ok) throw new Error(jws.error);
    const [nobody] = await keys.keysOf(undefined, jws.value);
    expect(nobody).toMatchObject({ kid: 'k1', algs: ['ES256'] });
    expect(await keys.keysOf({ method: 'client_secret_basic' }, jws.value)).toEqual([nobody]);
    expect(await keys.keysAt({}, jws.value)).toEqual([]);
  });

  it('are imported once for each key set, and fetched where there is an address', async () => {
    const jws = parseJws(await signed('agt_x'));
    if (!jws.ok) throw new Error(jws.error);
    const jwks = { keys: [key.jwk, other.jwk] };
    const [one, two] = [await keys.keysAt({ jwks }, jws.value), await keys.keysAt({ jwks }, jws.value)];
    expect(one.map(({ kid }) => kid)).toEqual(['k1', 'k1']);
    expect(two[0]?.key).toBe(one[0]?.key);
    const asked: unknown[] = [];
    const source = keySource({
      keys: (...of) => {
        asked.push(of);
        return Promise.resolve(one);
      },
    });
    expect(await source.keysAt({ jwks_uri: 'https://keys.example/' }, jws.value)).toBe(one);
    expect(asked).toEqual([['https://keys.example/', 'k1']]);
  });
});

describe('OWASP NHI7: the key of an agent', () => {
  const end = async (clientId: string, life: KeyLife): Promise<unknown> => {
    const caller = await judged(await bearer(clientId), life);
    return caller.ok ? 'accepted' : [caller.error.reason, caller.error.knownClient];
  };

  it('proves nothing once it is older than it may be, or was rotated out', async () => {
    const oldest = { since: NOW - 90 * 86_400, retiresAt: undefined };
    expect(await end('agt_key', oldest)).toBe('accepted');
    expect(await end('agt_key', { ...oldest, since: oldest.since - 1 })).toEqual(['key_too_old', 'agt_key']);
    expect(await end('agt_key', { since: NOW, retiresAt: NOW + 1 })).toBe('accepted');
    expect(await end('agt_key', { since: NOW, retiresAt: NOW })).toEqual(['key_retired', 'agt_key']);
  });

  it('is asked for its age once for each version of its agent, and that of a server never', async () => {
    const asked: unknown[] = [];
    const known = agentKeys({ of: (...of) => (asked.push(of), Promise.resolve(YOUNG)), isRevoked }, 1);
    const agent = registry.agent('agt_key');
    if (agent === undefined) throw new Error('there is no agent');
    for (const one of [agent, agent, { ...agent }]) expect(await known.endOf(one, 'thumb', NOW)).toBeUndefined();
    expect(asked).toEqual([
      ['agt_key', 'thumb'],
      ['agt_key', 'thumb'],
    ]);
    expect(await end('srv_key', { since: 0, retiresAt: 0 })).toBe('accepted');
  });

  it('is asked for its age once by all who come at the same time, and again after an outage', async () => {
    let [asked, isDown] = [0, true];
    const of = (): Promise<KeyLife> => (
      (asked += 1),
      isDown ? Promise.reject(new Error('down')) : Promise.resolve(YOUNG)
    );
    const known = agentKeys({ of, isRevoked }, 1);
    const agent = registry.agent('agt_key');
    if (agent === undefined) throw new Error('there is no agent');
    const both = (): Promise<readonly string[]> =>
      Promise.allSettled([known.lifeOf(agent, 'thumb'), known.lifeOf(agent, 'thumb')]).then((done) =>
        done.map(({ status }) => status),
      );
    expect([await both(), asked]).toEqual([['rejected', 'rejected'], 1]);
    isDown = false;
    expect([await both(), asked]).toEqual([['fulfilled', 'fulfilled'], 2]);
  });
});

describe('work for a client', () => {
  const noted: unknown[] = [];
  const taken: string[] = [];
  const depsOf = (changes: Partial<AsClientDeps> = {}): AsClientDeps => ({
    settings: { issuer: ISS, skew: 30 },
    clock: { now: () => NOW },
    registry: { current: () => registry, refresh: () => Promise.resolve(registry) },
    clientKeys: keys,
    agentKeys: aged(YOUNG),
    failures: { note: (failure) => noted.push(failure) },
    limits: {
      take: (clientId) => {
        taken.push(clientId);
        return Promise.resolve(undefined);
      },
    },
    ...changes,
  });
  const done: Answer = { status: 200, headers: {}, body: {} };
  const fresh = (): void => {
    noted.length = 0;
    taken.length = 0;
  };

  it('is done once it has authenticated, and its answer says whose it was', async () => {
    fresh();
    const seen: unknown[] = [];
    const answer = await asClient(await bearer('agt_key'), '/route', depsOf(), ({ clientId }, at, now) => {
      seen.push([clientId, at, now]);
      return Promise.resolve(done);
    });
    expect(answer).toEqual({ ...done, notes: { outcome: 'done', client: 'agt_key' } });
    expect(seen).toEqual([['agt_key', registry, NOW]]);
    expect([noted, taken]).toEqual([[], ['agt_key']]);
    const said = await asClient(await bearer('agt_key'), '/route', depsOf(), () =>
      Promise.resolve({ ...done, notes: { outcome: 'refused', reason: 'x' } }),
    );
    expect(said.notes).toEqual({ outcome: 'refused', reason: 'x', client: 'agt_key' });
  });

  it('is not done for anybody else; the failure is noted', async () => {
    fresh();
    const answer = await asClient(await bearer('agt_key', {}, other), '/route', depsOf(), () => {
      throw new Error('not authenticated');
    });
    expect(answer).toEqual(
      clientRefused({ reason: 'assertion_wrong_signature', knownClient: 'agt_key', usedHeader: false }),
    );
    expect([noted, taken]).toEqual([[{ client: 'agt_key', cause: 'assertion_wrong_signature', route: '/route' }], []]);
  });

  it('waits while the client has asked too often', async () => {
    const limits = { take: () => Promise.resolve(7) };
    const answer = await asClient(await bearer('agt_key'), '/route', depsOf({ limits }), () => {
      throw new Error('too often');
    });
    expect(answer).toEqual({
      status: 429,
      headers: { 'Cache-Control': 'no-store', 'Retry-After': '7' },
      body: {
        error: 'temporarily_unavailable',
        error_description: 'too many requests; wait as long as Retry-After says',
      },
      notes: { outcome: 'refused', reason: 'too_many_requests', client: 'agt_key' },
    });
  });

  it('CA-02: whose assertion was used before is refused as a failed authentication, and noted', async () => {
    fresh();
    const answer = await asClient(await bearer('agt_key'), '/route', depsOf(), () => Promise.resolve('replayed'));
    expect(answer).toEqual(clientRefused({ reason: 'assertion_replayed', knownClient: 'agt_key', usedHeader: false }));
    expect(noted).toEqual([{ client: 'agt_key', cause: 'assertion_replayed', route: '/route' }]);
  });

  it('is done anew with the registry of now, four times at most, and counts as one request', async () => {
    fresh();
    const newer = registryOf({ agents: [...registry.agents] }, 2);
    const versions: number[] = [];
    const moving = depsOf({ registry: { current: () => registry, refresh: () => Promise.resolve(newer) } });
    const answer = await asClient(await bearer('agt_key'), '/route', moving, (_, { version }) => {
      versions.push(version);
      return Promise.resolve(versions.length < 4 ? 'stale' : done);
    });
    expect([answer.status, versions, taken]).toEqual([200, [1, 2, 2, 2], ['agt_key']]);
    const never = asClient(await bearer('agt_key'), '/route', moving, () => {
      versions.push(0);
      return Promise.resolve('stale');
    });
    await expect(never).rejects.toMatchObject({ name: 'Fault', code: 'registry_unsettled' });
    expect(versions).toHaveLength(8);
  });
});
