import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeJwt, exportJWK } from 'jose';
import { type Approver, type Held, MOST_OF_AGENT } from '../../src/approval/index.js';
import { openSecrets } from '../../src/config/index.js';
import { openApprovals } from '../../src/storage/index.js';
import { createAgent, type Waiting } from '../../src/sdk/agent/index.js';
import { databaseKinds } from '../support/databases.js';
import { dpopProof } from '../support/jws.js';
import { activate } from '../support/policies.js';
import { type Client, ownWorld, RS1, startWorld, tool, tools } from '../support/world.js';
import { answerOf, bearerAssertion, type Form, makeKey, type Reply, startReplica, tokenOf } from '../support/writ.js';

const DEFERRED = 'urn:ietf:params:oauth:grant-type:deferred';
const world = await ownWorld({ env: { WRIT_DEFERRED_TOKEN_RESPONSE: 'draft-01' } });
const approvals = openApprovals(world.writ.database, openSecrets(world.config).encryptionKeys);
const key = makeKey();

const ALLOW = `
@id("people") permit (principal is Person, action, resource);
@id("agents") permit (principal is Agent, action, resource);
`;
const ASKING = '@id("writes-ask") @requires("approval") @reason("Alice approves each write.")';
const ASK = `${ASKING} forbid (principal, action in Action::"write", resource);`;

const now = (): number => Math.floor(Date.now() / 1000);
let run = 0;
/** Of a run of its own, so that no session of another test is in the way. */
const asking = async (changes: Form = {}, by?: Client, headers?: Record<string, string>): Promise<Reply> =>
  world.exchange(
    {
      completion_mode: 'deferred',
      subject_token: await world.personToken('alice', { sid: `run-${String(run)}` }),
      authorization_details: tools(tool('write_file', { arguments: { path: '/tmp/x', run } })),
      ...changes,
    },
    by,
    headers,
  );
type Deferral = Readonly<{ deferral_code: string; expires_in: number; interaction_uri: string }>;
const deferralOf = ({ body, text }: Reply): Deferral => {
  if (!text.includes('deferral_code"')) throw new Error(text);
  return body as Deferral;
};
const idOf = (reply: Reply): string => deferralOf(reply).interaction_uri.split('/').at(-1) ?? '';
const poll = async (
  asked: Reply,
  { by = world.a1, headers = {}, post = world.post, changes = {} } = {},
): Promise<Reply> =>
  post(
    '/token',
    {
      grant_type: DEFERRED,
      deferral_code: deferralOf(asked).deferral_code,
      ...(await bearerAssertion(world.issuer, by)),
      ...changes,
    },
    headers,
  );
const heldOf = (asked: Reply): Promise<Held> => heldBy(idOf(asked));
const heldBy = async (id: string): Promise<Held> => {
  const held = await approvals.byId(id, now());
  if (held === undefined) throw new Error('no such request');
  return held;
};
const answer = (asked: Reply, event: 'grant' | 'refuse'): Promise<void> => answerTo(idOf(asked), event);
const answerTo = async (uri: string, event: 'grant' | 'refuse'): Promise<void> => {
  const { id, person, approval } = await heldBy(uri.split('/').at(-1) ?? '');
  const by: Approver = { person, groups: [], verifiedAt: now() };
  const done = await approvals.answer(id, { event, by, sha256: approval?.frozen.sha256 ?? '' }, { now: now() });
  if (done?.ok !== true) throw new Error(JSON.stringify(done));
};
const lastExchange = async () => {
  const { body } = await world.admin('GET', '/log?kind=exchange&limit=200');
  return (body as { items: { facts: Record<string, unknown>; outcome: Record<string, unknown> }[] }).items.at(-1);
};
const GONE = [400, { error: 'invalid_grant', error_description: 'deferral_code is not acceptable' }];
const PENDING = [400, { error: 'authorization_pending', error_description: 'nobody has answered yet' }];

beforeEach(async () => {
  run++;
  await approvals.keep(now() + 301);
  await activate(world, ALLOW);
  // Whom Writ has never met it cannot ask.
  expect((await world.exchange()).status).toBe(200);
  await activate(world, `${ALLOW}${ASK}`);
});

describe('STANDARDS 5.10 an exchange that a person has to approve', () => {
  it('says in the metadata what it can do', async () => {
    const response = await fetch(`${world.issuer}/.well-known/oauth-authorization-server`);
    expect(await response.json()).toMatchObject({
      deferred_token_response_supported: true,
      grant_types_supported: expect.arrayContaining([DEFERRED]),
      revocation_endpoint_token_type_values_supported: ['urn:ietf:params:oauth:token-type:deferral-code'],
    });
  });

  it('is deferred for a client that opted in, and nothing of it can be stored', async () => {
    const asked = await asking();
    const { expires_in } = deferralOf(asked);
    expect([298, 299, 300]).toContain(expires_in);
    expect(answerOf(asked)).toEqual([
      400,
      {
        error: 'authorization_pending',
        error_description: 'a person has to approve this call; poll with deferral_code',
        deferral_code: expect.stringMatching(/^dfr_[\w-]{43}$/),
        expires_in,
        interval: 5,
        interaction_uri: expect.stringMatching(/\/approvals\/apr_[\w-]+$/),
        number: expect.stringMatching(/^\d\d$/),
      },
    ]);
    expect(asked.headers.get('cache-control')).toBe('no-store');
    expect((await lastExchange())?.outcome).toMatchObject({ decision: 'ask', reason: 'approval_required' });
    const { about, approval } = await heldOf(asked);
    expect(about).toMatchObject({ reasons: ['Alice approves each write.'], tier: 'medium', network: '127.0.0.1' });
    expect(approval?.frozen.binding.call).toMatchObject({ chain: ['agt_a1'], server: RS1, tool: 'write_file' });
  });

  it('is refused as before for one that did not', async () => {
    expect((await asking({ completion_mode: undefined })).body).toMatchObject({
      error: 'transaction_denied',
      remedy: 'approval',
    });
  });

  it('is one request with one code for whoever asks the same again', async () => {
    const subject_token = await world.personToken('alice', { sid: `run-${String(run)}` });
    const first = deferralOf(await asking({ subject_token }));
    const again = deferralOf(await asking({ subject_token }));
    expect([again.deferral_code, again.interaction_uri]).toEqual([first.deferral_code, first.interaction_uri]);
  });

  it('ends no later than the subject token, and says so', async () => {
    const subject_token = await world.personToken('alice', { exp: now() + 60 });
    expect(deferralOf(await asking({ subject_token })).expires_in).toBeLessThanOrEqual(60);
  });

  it('ends no later than the session of its run, unless that is over already and another one comes', async () => {
    const subject_token = await world.personToken('alice', { sid: `run-${String(run)}` });
    expect((await world.exchange({ subject_token })).status).toBe(200);
    const { prisma } = world.writ.database;
    const endAt = (seconds: number) =>
      prisma.$executeRawUnsafe(
        `UPDATE agent_session SET expires_at = now() + make_interval(secs => $1::float8)
         WHERE id = (SELECT id FROM agent_session ORDER BY opened_at DESC LIMIT 1)`,
        seconds,
      );
    await endAt(100);
    expect(deferralOf(await asking({ subject_token })).expires_in).toBeLessThanOrEqual(100);
    await endAt(-1);
    const details = tools(tool('write_file', { arguments: { path: '/after' } }));
    expect(deferralOf(await asking({ subject_token, authorization_details: details })).expires_in).toBeGreaterThan(100);
  });

  it.each([
    ['a tool without its exact arguments', () => tools(tool('write_file'))],
    ['arguments that nobody can read', () => tools(tool('write_file', { arguments: { text: 'x'.repeat(16_500) } }))],
  ])('is asked of nobody for %s', async (_what, details) => {
    expect(answerOf(await asking({ authorization_details: details() }))).toEqual([
      400,
      {
        error: 'transaction_denied',
        error_description: 'a person has to approve this call, and cannot be asked for it like this',
      },
    ]);
  });
});

describe('a flood of requests', () => {
  it('asks a person so many at once and no more, and says so', async () => {
    const ask = (n: number): Promise<Reply> =>
      asking({ authorization_details: tools(tool('write_file', { arguments: { n } })) });
    for (let n = 0; n < MOST_OF_AGENT; n++) {
      const { expires_in } = deferralOf(await ask(n));
      expect([298, 299, 300]).toContain(expires_in);
    }
    expect(answerOf(await ask(MOST_OF_AGENT))).toEqual([
      400,
      {
        error: 'transaction_denied',
        error_description: 'too many calls wait for an approval already; wait for those',
      },
    ]);
  });
});

describe('STANDARDS 5.10 polling', () => {
  it('is told to wait, and to slow down by whoever comes too soon', async () => {
    const asked = await asking();
    expect(answerOf(await poll(asked))).toEqual(PENDING);
    expect((await poll(asked)).body).toMatchObject({ error: 'slow_down' });
  });

  it('is not slowed down by whoever brings an assertion again, or proves another key', async () => {
    const asked = await asking();
    const { client_assertion } = await bearerAssertion(world.issuer, world.a1);
    const changes = { client_assertion };
    expect(answerOf(await poll(asked, { changes }))).toEqual(PENDING);
    await world.writ.database.prisma.$executeRawUnsafe(`UPDATE approval SET polled_at = now() - interval '6 s'`);
    expect((await poll(asked, { changes })).body).toMatchObject({ error: 'invalid_client' });
    const proof = dpopProof(key.privateKey, `${world.issuer}/token`);
    expect((await poll(asked, { headers: { dpop: proof } })).body).toMatchObject({ error: 'invalid_dpop_proof' });
    expect(answerOf(await poll(asked))).toEqual(PENDING);
  });

  it('is for the client that asked', async () => {
    const asked = await asking();
    expect(answerOf(await poll(asked, { by: world.a2 }))).toEqual(GONE);
    const changes = { deferral_code: `dfr_${'A'.repeat(43)}` };
    expect(answerOf(await poll(asked, { changes }))).toEqual(GONE);
    expect(answerOf(await poll(asked))).toEqual(PENDING);
  });

  it.each<[string, Form, string]>([
    ['no code', { deferral_code: undefined }, 'deferral_code is missing'],
    ['two codes', { deferral_code: ['a', 'b'] }, 'deferral_code must be sent once'],
    ['completion_mode', { completion_mode: 'deferred' }, 'completion_mode goes with the first request only'],
  ])('with %s is malformed', async (_what, changes, error_description) => {
    const answered = answerOf(await poll(await asking(), { changes }));
    expect(answered).toEqual([400, { error: 'invalid_request', error_description }]);
  });

  it('spends the assertion even where it is malformed', async () => {
    const credentials = await bearerAssertion(world.issuer, world.a1);
    const asked = await asking();
    const malformed = await poll(asked, { changes: { ...credentials, deferral_code: undefined } });
    expect(malformed.body).toMatchObject({ error: 'invalid_request' });
    expect((await poll(asked, { changes: credentials })).body).toMatchObject({ error: 'invalid_client' });
  });

  it('spends the assertion once', async () => {
    const asked = await asking();
    const changes = await bearerAssertion(world.issuer, world.a1);
    expect(answerOf(await poll(asked, { changes }))).toEqual(PENDING);
    expect((await poll(asked, { changes })).body).toMatchObject({ error: 'invalid_client' });
  });

  it('needs the DPoP key of the first request', async () => {
    const proof = (by = key) => ({ dpop: dpopProof(by.privateKey, `${world.issuer}/token`) });
    const asked = await asking({}, world.a1, proof());
    expect(answerOf(await poll(asked, { headers: proof() }))).toEqual(PENDING);
    const another = [
      400,
      { error: 'invalid_dpop_proof', error_description: 'the DPoP proof is by another key than the first request' },
    ];
    expect(answerOf(await poll(asked))).toEqual(another);
    expect(answerOf(await poll(asked, { headers: proof(makeKey()) }))).toEqual(another);
    await answer(asked, 'grant');
    expect((await poll(asked)).status).toBe(400);
    expect((await poll(asked, { headers: proof() })).body).toMatchObject({ token_type: 'DPoP' });
  });

  it('ends with no, when the person says no or nobody answers', async () => {
    const asked = await asking();
    await answer(asked, 'refuse');
    expect((await poll(asked)).body).toMatchObject({ error: 'access_denied' });
    run++;
    const late = await asking();
    await approvals.byId(idOf(late), now() + 301);
    expect((await poll(late)).body).toMatchObject({ error: 'expired_token' });
  });
});

describe('DT-01 a redemption', () => {
  it('is the answer of the exchange, and token and record name the approval', async () => {
    const asked = await asking();
    await answer(asked, 'grant');
    const redeemed = await poll(asked);
    expect(redeemed.status).toBe(200);
    const claims = decodeJwt(tokenOf(redeemed));
    expect(claims).toMatchObject({
      aud: RS1,
      authorization_details: [{ identifier: 'write_file', max_uses: 1 }],
      writ: { approval: idOf(asked) },
    });
    expect(await lastExchange()).toMatchObject({ facts: { approval: idOf(asked) }, outcome: { decision: 'permit' } });
    expect(await heldOf(asked)).toMatchObject({ state: 'used', approval: undefined, request: undefined });
  });

  it('gives the same recorded token again to whoever lost the answer, and no other one', async () => {
    const asked = await asking();
    await answer(asked, 'grant');
    const [first, second] = [await poll(asked), await poll(asked)].map((reply) => decodeJwt(tokenOf(reply)));
    expect(second).toEqual(first);
    expect(answerOf(await poll(asked, { by: world.a2 }))).toEqual(GONE);
  });

  it('is not lost by a crash after its commit', async () => {
    const asked = await asking();
    await answer(asked, 'grant');
    const { sealed } = (await rowOf(asked)) ?? {};
    const first = decodeJwt(tokenOf(await poll(asked)));
    await world.writ.database.prisma.$executeRawUnsafe(
      `UPDATE approval SET state = 'granted', ended_at = NULL, sealed = $2 WHERE id = $1`,
      idOf(asked),
      sealed,
    );
    expect(decodeJwt(tokenOf(await poll(asked)))).toEqual(first);
    expect((await heldOf(asked)).state).toBe('used');
  });

  it('is one, however many poll at once', async () => {
    const asked = await asking();
    await answer(asked, 'grant');
    const replica = databaseKinds.includes('server') ? await startReplica(world) : undefined;
    const replies = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        poll(asked, n % 2 === 0 || replica === undefined ? {} : { post: replica.post }),
      ),
    );
    await replica?.close();
    const won = replies.filter(({ status }) => status === 200).map((reply) => decodeJwt(tokenOf(reply)).jti);
    expect(new Set(won).size).toBe(1);
    const permits = await world.writ.database.prisma.$queryRawUnsafe(
      `SELECT count(*)::int AS n FROM log_leaf WHERE token_hash IS NOT NULL AND convert_from(leaf, 'UTF8') LIKE $1`,
      `%${idOf(asked)}%`,
    );
    expect(permits).toEqual([{ n: 1 }]);
  });

  it('asks the policies of now: what they forbid is refused', async () => {
    const asked = await asking();
    await answer(asked, 'grant');
    await activate(world, `${ALLOW}${ASK} @id("never") forbid (principal, action in Action::"write", resource);`);
    expect((await poll(asked)).body).toMatchObject({ error: 'transaction_denied', policies: ['never'] });
    expect((await heldOf(asked)).state).toBe('withdrawn');
    await activate(world, `${ALLOW}${ASK}`);
    expect(answerOf(await poll(asked))).toEqual(GONE);
  });

  it('lifts no policy whose text is another by now', async () => {
    const asked = await asking();
    await answer(asked, 'grant');
    await activate(
      world,
      `${ALLOW}${ASKING} forbid (principal, action in Action::"write", resource) unless { false };`,
    );
    expect(answerOf(await poll(asked))).toEqual([
      400,
      { error: 'access_denied', error_description: 'what was approved is not what would be done now; ask again' },
    ]);
    expect((await heldOf(asked)).state).toBe('withdrawn');
  });

  it('holds the revocation of the agent against it', async () => {
    const asked = await asking();
    await answer(asked, 'grant');
    const revoked = await world.admin('POST', '/revocations', { agent: 'agt_a1', reason: 'test' });
    expect(revoked.status).toBe(201);
    expect((await poll(asked)).body).toEqual({
      error: 'invalid_request',
      error_description: 'subject_token is not acceptable',
    });
    await world.minutePasses();
  });

  it.each<[string, (held: Held) => object]>([
    ['the server', () => ({ server: RS1 })],
    ['the tool', () => ({ tool: `${RS1}#write_file` })],
    ['the person who approved it', ({ person }) => ({ person })],
  ])('gives nothing that was approved before %s was revoked', async (_what, order) => {
    const asked = await asking();
    await answer(asked, 'grant');
    expect((await world.admin('POST', '/revocations', { ...order(await heldOf(asked)), reason: 'test' })).status).toBe(
      201,
    );
    expect(answerOf(await poll(asked))).toEqual([
      400,
      { error: 'access_denied', error_description: 'what was approved has been revoked since' },
    ]);
    await world.minutePasses();
  });

  it('is refused to an agent that was disabled meanwhile', async () => {
    const asked = await asking();
    await answer(asked, 'grant');
    const { body } = await world.admin('GET', '/agents/agt_a1');
    const agent = body as object;
    await world.admin('POST', '/apply', { agents: [{ ...agent, status: 'disabled' }] });
    expect((await poll(asked)).body).toMatchObject({ error: 'invalid_client' });
    await world.admin('POST', '/apply', { agents: [{ ...agent, status: 'active' }] });
    await world.minutePasses();
  });
});

describe('a session that gives nothing now', () => {
  const sessionOf = async (): Promise<string> => {
    const subject_token = await world.personToken('alice', { sid: `run-${String(run)}` });
    const token = tokenOf(await world.exchange({ subject_token, authorization_details: tools(tool('read_file')) }));
    return decodeJwt<{ writ: { session: string } }>(token).writ.session;
  };
  const order = async (session: string, what: string): Promise<void> => {
    const { status, text } = await world.admin('POST', `/sessions/${session}/${what}`, { reason: 'test' });
    if (status >= 300) throw new Error(text);
  };

  it('spends no approval while it is paused: the token comes when it goes on', async () => {
    const session = await sessionOf();
    const asked = await asking();
    await answer(asked, 'grant');
    await order(session, 'pause');
    expect((await poll(asked)).body).toMatchObject({
      error: 'transaction_denied',
      error_description: 'the agent session is paused; try again when it is resumed',
    });
    expect((await heldOf(asked)).state).toBe('granted');
    await order(session, 'resume');
    expect((await poll(asked)).status).toBe(200);
  });

  it.each([
    ['pause', 'the agent session is paused; try again when it is resumed'],
    ['end', 'the agent session has ended; the person has to authorise again'],
  ])('asks nobody: %s', async (what, error_description) => {
    const session = await sessionOf();
    await order(session, what);
    const count = (): Promise<number> => world.writ.database.prisma.approval.count();
    const before = await count();
    const subject_token = await world.personToken('alice', { sid: `run-${String(run)}`, iat: now() - 5 });
    expect(answerOf(await asking({ subject_token }))).toMatchObject([
      400,
      { error: 'transaction_denied', error_description },
    ]);
    expect(await count()).toBe(before);
  });

  it('ends a grant whose session has ended', async () => {
    const session = await sessionOf();
    const asked = await asking({
      subject_token: await world.personToken('alice', { sid: `run-${String(run)}`, iat: now() - 5 }),
    });
    await answer(asked, 'grant');
    await order(session, 'end');
    expect((await poll(asked)).status).toBe(400);
    expect((await heldOf(asked)).state).toBe('withdrawn');
  });
});

describe('a no', () => {
  const NO = [
    400,
    { error: 'access_denied', error_description: 'a person refused this very call a moment ago; do not ask again' },
  ];

  it('is the answer for a minute to whoever asks the very same again, and not beyond', async () => {
    const asked = await asking();
    await answer(asked, 'refuse');
    expect(answerOf(await asking())).toEqual(NO);
    await world.writ.database.prisma.$executeRawUnsafe(`UPDATE approval SET ended_at = ended_at - interval '61 s'`);
    expect(idOf(await asking())).not.toBe(idOf(asked));
  });

  it('is none to another call', async () => {
    await answer(await asking(), 'refuse');
    const other = { authorization_details: tools(tool('write_file', { arguments: { path: '/other', run } })) };
    expect(deferralOf(await asking(other)).deferral_code).toMatch(/^dfr_/);
  });
});

describe('a sign-in that is too long ago when the token is fetched (RFC 9470)', () => {
  const FRESH = `@id("fresh") @requires("reauthentication") @max_age("60")
    forbid (principal, action in Action::"write", resource)
    unless { context has authn && context.authn has age && context.authn.age <= 60 };`;
  const tokenOfSignIn = (ago: number, more = {}): Promise<string> =>
    world.personToken('alice', { sid: `run-${String(run)}`, auth_time: now() - ago, ...more });

  it('is made good by a fresh one: the same approval, asked for by its token, is fetched', async () => {
    await activate(world, `${ALLOW}${ASK}${FRESH}`);
    const asked = await asking({ subject_token: await tokenOfSignIn(57) });
    await answer(asked, 'grant');
    await pause(4_500);
    expect((await poll(asked)).body).toMatchObject({ error: 'insufficient_user_authentication' });
    const again = await asking({ subject_token: await tokenOfSignIn(0) });
    expect(idOf(again)).toBe(idOf(asked));
    const fetched = await poll(again);
    expect([fetched.status, decodeJwt(tokenOf(fetched))['auth_time']]).toEqual([200, expect.any(Number)]);
  });

  it('is not replaced by one whose token ends before the request does', async () => {
    const asked = await asking({ subject_token: await tokenOfSignIn(10) });
    const before = (await rowOf(asked))?.sealed;
    await asking({ subject_token: await tokenOfSignIn(0, { exp: now() + 60 }) });
    expect((await rowOf(asked))?.sealed).toEqual(before);
    await asking({ subject_token: await tokenOfSignIn(0) });
    expect((await rowOf(asked))?.sealed).not.toEqual(before);
  });
});

describe('a token that is given again', () => {
  it('is not given once it was revoked', async () => {
    const asked = await asking();
    await answer(asked, 'grant');
    const token = tokenOf(await poll(asked));
    expect(tokenOf(await poll(asked))).not.toBe('');
    await world.post('/revoke', { token, ...(await bearerAssertion(world.issuer, world.a1)) });
    expect(answerOf(await poll(asked))).toEqual(GONE);
  });

  it('is not given when it is over by itself', async () => {
    const asked = await asking({
      subject_token: await world.personToken('alice', { sid: `run-${String(run)}`, exp: now() + 3 }),
    });
    await answer(asked, 'grant');
    expect((await poll(asked)).status).toBe(200);
    await pause(3_500);
    expect(answerOf(await poll(asked))).toEqual(GONE);
  });
});

describe('RFC 7009 a deferral code', () => {
  const revoke = async (asked: Reply, by = world.a1): Promise<Reply> =>
    world.post('/revoke', {
      token: deferralOf(asked).deferral_code,
      token_type_hint: 'urn:ietf:params:oauth:token-type:deferral-code',
      ...(await bearerAssertion(world.issuer, by)),
    });

  it('is withdrawn by the client that asked, also once it is granted', async () => {
    const asked = await asking();
    expect((await revoke(asked, world.a2)).status).toBe(200);
    expect((await heldOf(asked)).state).toBe('asked');
    await answer(asked, 'grant');
    expect((await revoke(asked)).status).toBe(200);
    expect((await heldOf(asked)).state).toBe('withdrawn');
    expect(answerOf(await poll(asked))).toEqual(GONE);
  });

  it('takes no token back that was fetched', async () => {
    const asked = await asking();
    await answer(asked, 'grant');
    expect((await poll(asked)).status).toBe(200);
    await revoke(asked);
    expect((await heldOf(asked)).state).toBe('used');
  });
});

describe('writ/agent', () => {
  it('waits for the person of a real Writ, and has its token', async () => {
    const told: Waiting[] = [];
    const { d = '', ...jwk } = await exportJWK(world.a1.key.privateKey);
    const agent = createAgent({
      issuer: world.issuer,
      clientId: world.a1.id,
      key: { ...jwk, d, kty: 'EC', kid: world.a1.key.jwk.kid, alg: 'ES256' },
      waiting: {
        onWaiting: (waiting) => {
          told.push(waiting);
          void answerTo(waiting.approvalUri ?? '', 'grant');
        },
      },
    });
    const tokens = await agent.exchange({
      subjectToken: await world.personToken('alice', { sid: `run-${String(run)}` }),
      subjectTokenType: 'urn:ietf:params:oauth:token-type:access_token',
      resource: RS1,
      tools: [{ name: 'write_file', arguments: { path: '/tmp/agent' } }],
    });
    expect(told).toMatchObject([{ tool: 'write_file', approvalUri: expect.stringMatching(/\/approvals\/apr_/) }]);
    expect(tokens).toMatchObject({ tokenType: 'Bearer', details: [{ tool: 'write_file' }] });
  }, 30_000);
});

describe('the version flag', () => {
  const off = startWorld();
  afterAll(async () => (await off).close());

  it('is off where nobody turned it on: nothing is deferred', async () => {
    const plain = await off;
    await plain.exchange();
    await activate(plain, `${ALLOW}${ASK}`);
    const asked = await plain.exchange({
      completion_mode: 'deferred',
      authorization_details: tools(tool('write_file', { arguments: { path: '/' } })),
    });
    expect(asked.body).toMatchObject({ error: 'transaction_denied', remedy: 'approval' });
    const response = await fetch(`${plain.issuer}/.well-known/oauth-authorization-server`);
    expect(await response.json()).not.toHaveProperty('deferred_token_response_supported');
    const polled = await plain.post('/token', {
      grant_type: DEFERRED,
      deferral_code: `dfr_${'A'.repeat(43)}`,
      ...(await bearerAssertion(plain.issuer, plain.a1)),
    });
    expect(polled.body).toMatchObject({ error: 'unsupported_grant_type' });
  });
});

async function rowOf(asked: Reply): Promise<{ sealed: Uint8Array } | undefined> {
  const rows = await world.writ.database.prisma.$queryRawUnsafe<{ sealed: Uint8Array }[]>(
    'SELECT sealed FROM approval WHERE id = $1',
    idOf(asked),
  );
  return rows[0];
}
