import { createPublicKey, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { sha256, thumbprint } from '../../src/protocol/index.js';
import { createVerifier, memoryOnceStore } from '../../src/sdk/verifier/index.js';
import { systemClock } from '../../src/base/index.js';
import { CANARY, expectNoSecret, expectRefused, marked, type Wanted } from '../support/invariants.js';
import { dpopProof, encoded, jws, type ProofChanges, proofKey, seconds } from '../support/jws.js';
import { callText, post as call, type RunningServer } from '../support/mcp.js';
import { RS1, tool, tools } from '../support/world.js';
import { encodeForm, type Form, makeKey, type Reply, request, sendForm } from '../support/writ.js';
import { forgeHmac, raw } from './forge.js';
import {
  CALLBACK,
  change,
  startReplica,
  startSignInWorld,
  type SignInWorld,
  tokenOf,
  tokensOf,
  renewal,
} from './sign-in.js';
import { startGuarded } from './guarded.js';

const ARGS = '{"path":"/a"}';
const offline = { scope: 'openid offline_access repo:read', prompt: 'consent' };
const key = makeKey();
const other = makeKey();

let world: SignInWorld;
let replica: Awaited<ReturnType<typeof startReplica>>;
let mcp: RunningServer;
/** A token for five calls of it, bound to `key`. */
let bound: string;

beforeAll(async () => {
  world = await startSignInWorld();
  replica = await startReplica(world);
  mcp = await startGuarded(world);
}, 60_000);
afterAll(async () => {
  await mcp.close();
  await replica.close();
  await world.close();
  expect(world.faults).toEqual([]);
});
beforeEach(async () => {
  bound = await forTheGuard({ dpop: prove() });
  mcp.ran.length = 0;
});

const prove = (by = key, changes?: ProofChanges): string => dpopProof(by.privateKey, `${world.issuer}/token`, changes);
const proveCall = ({ claims, header }: ProofChanges = {}, by = key): string =>
  dpopProof(by.privateKey, mcp.url, { claims: { ath: sha256(bound), ...claims }, ...(header && { header }) });
const forTheGuard = async (headers: Record<string, string>): Promise<string> => {
  const authorization_details = tools(tool('read_file', { max_uses: 5 }, mcp.resource));
  return tokenOf(await world.exchange({ resource: mcp.resource, authorization_details }, world.a1, headers));
};
const callTool = (headers: Record<string, string>): Promise<Response> =>
  call(mcp.url, callText('read_file', ARGS), { authorization: `DPoP ${bound}`, ...headers });
const refused = (send: () => Promise<Reply>, wanted: Omit<Wanted, 'status'>): Promise<Reply> =>
  expectRefused(world, send, { status: 400, ...wanted });
const badProof = {
  error: 'invalid_dpop_proof',
  description: 'the DPoP proof is not acceptable',
  reason: 'dpop_invalid',
} as const;
const required = { error: 'invalid_dpop_proof', description: 'a DPoP proof is required' } as const;
const badProofOfEngine = {
  error: 'invalid_dpop_proof',
  description: 'the DPoP proof is not valid',
  reason: 'invalid_dpop_proof',
  unauthenticated: true,
} as const;
const invalidGrant = {
  error: 'invalid_grant',
  description: 'grant request is invalid',
  reason: 'invalid_grant',
} as const;

/** The engine's doors that take a proof, with what else they want. */
const ENGINE: readonly (readonly [string, Form])[] = [
  ['/token', { grant_type: 'authorization_code', code: 'x', redirect_uri: CALLBACK, code_verifier: 'x'.repeat(43) }],
  ['/token', { grant_type: 'refresh_token', refresh_token: 'x' }],
  ['/request', { response_type: 'code', client_id: 'agt_a1', redirect_uri: CALLBACK }],
];

async function expectNoCall(answer: Response, error = 'invalid_dpop_proof'): Promise<void> {
  expect(answer.status).toBe(401);
  expect(answer.headers.get('www-authenticate')).toContain(`error="${error}"`);
  const text = await answer.text();
  expect(JSON.parse(text)).toEqual({ error, error_description: expect.any(String) });
  expectNoSecret([text]);
  expect(mcp.ran).toEqual([]);
}

/** The same proof, made for each door: the exchange, the grants of the engine, PAR, and the MCP server. */
async function expectRefusedEverywhere(makeProof: (uri: string, claims: object) => string): Promise<void> {
  const credentials = (): Promise<Form> => world.form();
  await refused(() => world.exchange({}, world.a1, { dpop: makeProof(`${world.issuer}/token`, {}) }), badProof);
  for (const [path, form] of ENGINE) {
    const dpop = makeProof(`${world.issuer}${path}`, {});
    await refused(async () => world.post(path, { ...pick(await credentials()), ...form }, { dpop }), badProofOfEngine);
  }
  await expectNoCall(await callTool({ dpop: makeProof(mcp.url, { ath: sha256(bound) }) }));
}
const pick = ({ client_assertion, client_assertion_type }: Form): Form => ({ client_assertion, client_assertion_type });

describe('a proof', () => {
  it('DP-01 is good once at the exchange, whatever else changes in the request', async () => {
    const dpop = prove(key, { claims: { jti: marked() } });
    expect((await world.exchange({}, world.a1, { dpop })).status).toBe(200);
    // The assertion is spent besides: the proof is already.
    await refused(() => world.exchange({}, world.a1, { dpop }), { ...badProof, reason: 'replayed' });
    await refused(() => world.exchange({ scope: 'repo:read' }, world.a1, { dpop }), {
      ...badProof,
      reason: 'replayed',
    });
  });

  it('DP-01 is good once for all grants of the one address', async () => {
    const bodies: (() => Promise<Form>)[] = [
      () => world.form(),
      async () => world.codeForm(await world.codeFor(world.a1), world.a1),
      async () => renewal(world, (await world.tokensFor(world.a1, offline)).refresh_token),
    ];
    for (const first of bodies) {
      for (const second of bodies) {
        const dpop = prove();
        expect((await world.post('/token', await first(), { dpop })).status).toBe(200);
        const answer = await world.post('/token', await second(), { dpop });
        expect([answer.status, (answer.body as { error: string }).error]).toEqual([400, 'invalid_dpop_proof']);
      }
    }
  }, 60_000);

  it('DP-01 shown to two nodes at once is good for one of them, 60 times of 60', async () => {
    for (let round = 0; round < 60; round++) {
      const [one, two] = [await world.form(), await world.form()];
      const headers = { dpop: prove() };
      const answers = await Promise.all([
        world.post('/token', one, headers),
        sendForm(`${replica.url}/token`, two, headers),
      ]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 400]);
    }
  }, 60_000);

  it('DP-01 is good once at an MCP server, ten at once included', async () => {
    const dpop = proveCall();
    expect((await callTool({ dpop })).status).toBe(200);
    mcp.ran.length = 0;
    await expectNoCall(await callTool({ dpop }));
    const again = proveCall();
    const answers = await Promise.all(Array.from({ length: 10 }, () => callTool({ dpop: again })));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(mcp.ran).toHaveLength(1);
  });

  it('DP-01 is good once for two nodes of an MCP server that share what was used', async () => {
    const once = memoryOnceStore(systemClock);
    const guards = [1, 2].map(() =>
      createVerifier({ issuer: world.issuer, resource: mcp.resource, once })
        .guard()
        .fetch(() => Promise.resolve(new Response('done'))),
    );
    // A token of an earlier second than the verifier's start counts as used.
    bound = await forTheGuard({ dpop: prove() });
    const headers = { authorization: `DPoP ${bound}`, dpop: proveCall(), 'content-type': 'application/json' };
    const answers = await Promise.all(
      guards.map((guard) =>
        guard(new Request(mcp.url, { method: 'POST', headers, body: callText('read_file', ARGS) })),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401]);
  });

  it('DP-02 is the same proof however its address and method are spelt', async () => {
    const jti = marked();
    expect((await world.exchange({}, world.a1, { dpop: prove(key, { claims: { jti } }) })).status).toBe(200);
    const spellings: [Record<string, unknown>, string][] = [
      [{ htm: 'post' }, 'dpop_invalid'],
      [{ htm: 'Post' }, 'dpop_invalid'],
      [{ htu: `${world.issuer}/token?x=1` }, 'replayed'],
      [{ htu: `${world.issuer}/token#y` }, 'replayed'],
      [{ htu: `${world.issuer.replace('http', 'HTTP')}/token` }, 'replayed'],
      [{ htu: `${world.issuer}/x/../token` }, 'replayed'],
      [{ iat: seconds() - 5 }, 'replayed'],
    ];
    for (const [claims, reason] of spellings) {
      const dpop = prove(key, { claims: { jti, ...claims } });
      await refused(() => world.exchange({}, world.a1, { dpop }), { ...badProof, reason });
      const answer = await world.post('/token', await renewal(world, 'x'), { dpop });
      expect(answer.status).toBe(400);
    }
  });

  it('DP-02 is the same proof for the MCP server, however its address and method are spelt', async () => {
    const jti = randomUUID();
    expect((await callTool({ dpop: proveCall({ claims: { jti } }) })).status).toBe(200);
    mcp.ran.length = 0;
    const spellings = [
      { htm: 'post' },
      { htu: `${mcp.url}?x=1` },
      { htu: `${mcp.url}#y` },
      { htu: mcp.url.replace('http', 'HTTP') },
    ];
    for (const claims of spellings)
      await expectNoCall(await callTool({ dpop: proveCall({ claims: { jti, ...claims } }) }));
  });

  it.each<[string, (uri: string) => unknown]>([
    ['a number', () => 7],
    ['a list', (uri) => [uri]],
    ['an object', (uri) => ({ toString: uri })],
    ['nothing', () => null],
    ['empty', () => ''],
    ['relative', (uri) => new URL(uri).pathname],
    ['without its scheme', (uri) => uri.replace('http:', '')],
    ['with a person in it', (uri) => uri.replace('//', '//alice@')],
    ['with a password in it', (uri) => uri.replace('//', `//alice:${CANARY}@`)],
    ['of another scheme', (uri) => uri.replace('http:', 'https:')],
    ['of another host', (uri) => uri.replace('127.0.0.1', 'localhost')],
    ['of another path', (uri) => `${uri}/`],
    ['too long', (uri) => `${uri}?${'x'.repeat(2_048)}`],
  ])('DP-04 whose htu is %s is refused at every door', async (_, htu) => {
    await expectRefusedEverywhere((uri, claims) =>
      dpopProof(key.privateKey, uri, { claims: { ...claims, jti: marked(), htu: htu(uri) } }),
    );
  });

  const publicJwk = (): Record<string, unknown> => proofKey(key.privateKey);
  const payload = (uri: string, claims: object): object => ({
    jti: marked(),
    htm: 'POST',
    htu: uri,
    iat: seconds(),
    ...claims,
  });
  const withHeader =
    (header: () => Record<string, unknown>, by: KeyObject = key.privateKey) =>
    (uri: string, claims: object): string =>
      jws(by, { typ: 'dpop+jwt', alg: 'ES256', jwk: publicJwk(), ...header() }, payload(uri, claims));
  const symmetric = { kty: 'oct', k: Buffer.from(CANARY).toString('base64url') };

  it.each<[string, (uri: string, claims: object) => string]>([
    [
      'made with the public key as a secret',
      (uri, claims) =>
        forgeHmac(
          JSON.stringify(publicJwk()),
          { typ: 'dpop+jwt', alg: 'HS256', jwk: publicJwk() },
          payload(uri, claims),
        ),
    ],
    [
      'made with a secret of its own',
      (uri, claims) => forgeHmac(CANARY, { typ: 'dpop+jwt', alg: 'HS256', jwk: symmetric }, payload(uri, claims)),
    ],
    [
      'signed by nobody',
      (uri, claims) =>
        `${encoded({ typ: 'dpop+jwt', alg: 'none', jwk: publicJwk() })}.${encoded(payload(uri, claims))}.`,
    ],
    ['that shows its private key', withHeader(() => ({ jwk: key.privateKey.export({ format: 'jwk' }) }))],
    ['that names its key', withHeader(() => ({ jwk: undefined, kid: key.jwk.kid }))],
    ['that names where its key is', withHeader(() => ({ jwk: undefined, jku: `${world.issuer}/jwks` }))],
    ['whose key is text', withHeader(() => ({ jwk: JSON.stringify(publicJwk()) }))],
    ['whose key is a list', withHeader(() => ({ jwk: [publicJwk()] }))],
    ['whose key is on no curve', withHeader(() => ({ jwk: { ...publicJwk(), y: publicJwk()['x'] } }))],
    ['whose key has two spellings', withHeader(() => ({ jwk: { ...publicJwk(), x: `${String(publicJwk()['x'])}=` } }))],
    ['whose key is on a curve that we do not take', withHeader(() => ({ alg: 'ES384', jwk: onAnotherCurve }))],
    ['of a weak RSA key', withHeader(() => ({ alg: 'RS256', jwk: weakRsa }))],
    ['signed by another key than it shows', withHeader(() => ({}), other.privateKey)],
    ['with a critical extension', withHeader(() => ({ crit: ['x'], x: 1 }))],
    ['of the type of an assertion', withHeader(() => ({ typ: 'client-authentication+jwt' }))],
    ['of no type', withHeader(() => ({ typ: undefined }))],
  ])('DP-05 %s is refused at every door', async (_, makeProof) => {
    await expectRefusedEverywhere(makeProof);
  });
  const onAnotherCurve = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' });
  const weakRsa = createPublicKey(generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey).export({
    format: 'jwk',
  });

  it('DP-10 comes alone: two headers, two in one header and an empty one are refused at every door', async () => {
    await expectRefusedEverywhere((uri, claims) => {
      const one = (): string => dpopProof(key.privateKey, uri, { claims: { ...claims } });
      return `${one()}, ${one()}`;
    });
    const sendRaw = async (path: string, form: Form, proofs: readonly string[]): Promise<Reply> => {
      const body = encodeForm({ ...pick(await world.form()), ...form }).toString();
      const headers = [
        'Content-Type',
        'application/x-www-form-urlencoded',
        ...proofs.flatMap((dpop) => ['DPoP', dpop]),
      ];
      return raw(`${world.issuer}${path}`, { headers, body });
    };
    for (const proofs of [() => [prove(), prove()], () => [prove(), ''], () => ['']]) {
      await refused(async () => sendRaw('/token', await world.form(), proofs()), badProof);
      for (const [path, form] of ENGINE) await refused(() => sendRaw(path, form, proofs()), badProofOfEngine);
    }
    for (const proofs of [[proveCall(), proveCall()], [proveCall(), ''], ['']]) {
      const headers = ['Content-Type', 'application/json', 'Accept', 'application/json, text/event-stream'];
      const credentials = ['Authorization', `DPoP ${bound}`, ...proofs.flatMap((dpop) => ['DPoP', dpop])];
      const answer = await raw(mcp.url, {
        headers: [...headers, ...credentials],
        body: callText('read_file', ARGS),
      });
      expect([answer.status, answer.body]).toEqual([
        401,
        { error: 'invalid_dpop_proof', error_description: 'The DPoP proof is invalid.' },
      ]);
    }
    expect(mcp.ran).toEqual([]);
  });
});

describe('an agent that must prove possession', () => {
  beforeAll(() => setRequired(true));
  afterAll(() => setRequired(false));
  const setRequired = (dpop_required: boolean): Promise<void> =>
    change(world, 'agt_a1', (agent) => ({ ...agent, dpop_required }));
  const good = (): Promise<Reply> => world.exchange({}, world.a1, { dpop: prove() });

  it.each<[string, Form]>([
    ['for an MCP server', {}],
    [
      'for the trust domain',
      { resource: undefined, audience: 'trust.example', authorization_details: undefined, scope: 'repo:read' },
    ],
    [
      'for a sub-agent',
      { resource: undefined, audience: 'agt_a2', authorization_details: undefined, scope: 'repo:read' },
    ],
  ])('DP-07 gets no token %s without a proof', async (_, changes) => {
    const answer = await expectRefusedOr(changes);
    expect(answer.status).toBe(400);
    expect(answer.text).not.toContain('access_token"');
  });
  /** The registry may refuse the shape as well; in no case a token comes out unbound. */
  const expectRefusedOr = (changes: Form): Promise<Reply> =>
    refused(
      () => world.exchange(changes),
      changes['requested_token_type'] === undefined
        ? { ...required, reason: 'proof_of_possession_required', good }
        : { error: 'invalid_request', reason: /^(proof_of_possession_required|requested_type_does_not_fit)$/, good },
    );

  it('DP-07 gets no token by the code flow without a proof, and by PAR and the link no token at all', async () => {
    const code = await world.codeFor(world.a1, offline);
    await refused(async () => world.post('/token', await world.codeForm(code, world.a1)), { ...invalidGrant, good });
    const proven = await world.post('/token', await world.codeForm(code, world.a1), { dpop: prove() });
    expect(proven.body).toMatchObject({ token_type: 'DPoP' });
    expect(decodeJwt(tokenOf(proven))['cnf']).toEqual({ jkt: thumbprint(key.jwk) });
    const pushed = { ...pick(await world.form()), ...ENGINE[2]?.[1], code_challenge: 'x'.repeat(43) };
    const answer = await world.post('/request', { ...pushed, code_challenge_method: 'S256' });
    expect([answer.status, Object.keys(answer.body as object)]).toEqual([201, ['expires_in', 'request_uri']]);
    for (const response_type of ['token', 'id_token', 'code token', 'code id_token token', 'none']) {
      const query = new URLSearchParams({ client_id: 'agt_a1', redirect_uri: CALLBACK, response_type, nonce: 'n' });
      const { headers, text } = await request(`${world.issuer}/auth?${query.toString()}`, {});
      expect(`${headers.get('location') ?? ''} ${text}`).not.toMatch(/access_token|id_token=/);
    }
  });

  it('DP-07 gets nothing for a refresh token of before, unless it proves a key', async () => {
    await setRequired(false);
    const { refresh_token } = await world.tokensFor(world.a1, offline);
    await setRequired(true);
    await refused(async () => world.post('/token', await renewal(world, refresh_token)), { ...invalidGrant, good });
    const answer = await world.post('/token', await renewal(world, refresh_token), { dpop: prove() });
    expect(decodeJwt(tokenOf(answer))['cnf']).toEqual({ jkt: thumbprint(key.jwk) });
  });

  it('DP-07 every token that it gets is bound, and a server that wants bound ones gets no other', async () => {
    await setRequired(false);
    await change(world, RS1, (server) => ({ ...server, dpop_required: true }), 'servers');
    try {
      await refused(() => world.exchange(), { ...required, reason: 'proof_of_possession_required', good });
      const answer = await good();
      expect(answer.body).toMatchObject({ token_type: 'DPoP' });
    } finally {
      await change(world, RS1, (server) => ({ ...server, dpop_required: false }), 'servers');
      await setRequired(true);
    }
  });
});

describe('a bound token', () => {
  it('DP-07 is refused by an MCP server as a bearer token, and an unbound one where bound ones are wanted', async () => {
    await expectNoCall(
      await call(mcp.url, callText('read_file', ARGS), { authorization: `Bearer ${bound}`, dpop: proveCall() }),
      'invalid_token',
    );
    const strict = createVerifier({ issuer: world.issuer, resource: mcp.resource, dpopRequired: true })
      .guard()
      .fetch(() => Promise.resolve(new Response('done')));
    const headers = { authorization: `Bearer ${await forTheGuard({})}`, 'content-type': 'application/json' };
    const answer = await strict(new Request(mcp.url, { method: 'POST', headers, body: callText('read_file', ARGS) }));
    await expectNoCall(answer, 'invalid_token');
  });

  it('DP-08 does not come out of an exchange unbound, or bound to a key that its holder did not prove', async () => {
    const code = await world.codeFor(world.a1, offline);
    const own = tokensOf(await world.post('/token', await world.codeForm(code, world.a1), { dpop: prove() }));
    const mine = { subject_token: own.access_token };
    await refused(() => world.exchange(mine), { ...required, reason: 'proof_required' });
    await refused(() => world.exchange(mine, world.a1, { dpop: prove(other) }), {
      error: 'invalid_dpop_proof',
      description: 'the DPoP proof is by another key than the one subject_token is bound to',
      reason: 'proof_of_another_key',
      spends: 2,
    });
    const answer = await world.exchange(mine, world.a1, { dpop: prove() });
    expect(answer.body).toMatchObject({ token_type: 'DPoP' });
    expect(decodeJwt(tokenOf(answer))['cnf']).toEqual({ jkt: thumbprint(key.jwk) });
    await refused(async () => world.post('/token', await renewal(world, own.refresh_token)), invalidGrant);
    const elsewhere = await world.post('/token', await renewal(world, own.refresh_token), { dpop: prove(other) });
    expect([elsewhere.status, elsewhere.body]).toEqual([
      400,
      { error: 'invalid_grant', error_description: 'grant request is invalid' },
    ]);
  });

  it('DP-08 is bound to the key of whoever it is handed to, who cannot leave the binding out', async () => {
    const cnf = { jkt: thumbprint(key.jwk) };
    const handOver: Form = {
      subject_token: await world.personToken('alice', { cnf }),
      resource: undefined,
      audience: 'agt_a2',
      authorization_details: undefined,
      scope: 'repo:read',
    };
    const subject_token = tokenOf(await world.exchange(handOver, world.a1, { dpop: prove() }));
    await refused(() => world.exchange({ subject_token }, world.a2), { ...required, reason: 'proof_required' });
    const answer = await world.exchange({ subject_token }, world.a2, { dpop: prove(other) });
    expect(decodeJwt(tokenOf(answer))['cnf']).toEqual({ jkt: thumbprint(other.jwk) });
  });

  it('DP-08 is of no use at the MCP server to who has another key', async () => {
    await expectNoCall(await callTool({ dpop: proveCall({}, other) }), 'invalid_token');
    expect((await callTool({ dpop: proveCall() })).status).toBe(200);
  });
});

describe('a header that stands for a certificate', () => {
  const certificate = Buffer.from(`${CANARY} certificate`).toString('base64');
  const SPOOFED = {
    'x-ssl-cert': certificate,
    'x-ssl-client-cert': certificate,
    'x-ssl-client-verify': 'SUCCESS',
    'ssl-client-cert': certificate,
    'x-client-cert': certificate,
    'x-forwarded-client-cert': `Hash=${sha256(CANARY)};Subject="CN=agt_a1"`,
    'client-cert': `:${certificate}:`,
  };

  it('DP-11 authenticates nobody and binds nothing', async () => {
    const nobody: Form = { client_assertion: undefined, client_assertion_type: undefined };
    await expectRefused(world, () => world.exchange({ ...nobody, client_id: 'agt_a1' }, world.a1, SPOOFED), {
      status: 401,
      error: 'invalid_client',
      description: 'client authentication failed',
      reason: 'no_credentials',
      unauthenticated: true,
    });
    const plain = await world.exchange({}, world.a1, SPOOFED);
    expect(plain.body).toMatchObject({ token_type: 'Bearer' });
    expect(decodeJwt(tokenOf(plain))).not.toHaveProperty('cnf');
  });

  it('DP-11 is no proof of possession, here or at the MCP server', async () => {
    await change(world, 'agt_a1', (agent) => ({ ...agent, dpop_required: true }));
    try {
      await refused(() => world.exchange({}, world.a1, SPOOFED), {
        ...required,
        reason: 'proof_of_possession_required',
        good: () => world.exchange({}, world.a1, { dpop: prove() }),
      });
    } finally {
      await change(world, 'agt_a1', (agent) => ({ ...agent, dpop_required: false }));
    }
    await expectNoCall(await callTool(SPOOFED));
  });
});
