import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { type TransactionHandles, transactionHandles } from '../../src/exchange/index.js';
import { createAgent } from '../../src/sdk/agent/index.js';
import { PrivateJwk, TokenType } from '../../src/protocol/index.js';
import { ownWorld, RS1, RS2, tool, tools } from '../support/world.js';
import { dpopProof } from '../support/jws.js';
import { answerOf, bearerAssertion, type ClientKey, type Form, makeKey, type Reply, tokenOf } from '../support/writ.js';

const world = await ownWorld();
const requested_token_type = TokenType.txnAccessToken;
const REFUSED = [
  400,
  {
    error: 'invalid_txn_handle',
    error_description: 'txn_handle is not acceptable; leave it out to begin another transaction',
  },
];

type Claims = Readonly<{ txn: string; writ: Readonly<{ session: string; seen: number }> }>;
const claimsOf = (answer: Reply): Claims => decodeJwt<Claims>(tokenOf(answer));
const handleOf = ({ body }: Reply): string => (body as { txn_handle: string }).txn_handle;
const ask = (changes: Form, by = world.a1, key?: ClientKey): Promise<Reply> =>
  world.exchange(
    { requested_token_type, ...changes },
    by,
    key && { dpop: dpopProof(key.privateKey, `${world.issuer}/token`) },
  );
type Kept = Readonly<{
  facts: { evidence?: object; person: unknown; actors: unknown; txn: unknown };
  outcome: { reason: string; session: unknown };
}>;
const lastRecord = async (): Promise<Kept | undefined> => {
  const { body } = await world.admin('GET', '/log?kind=exchange&limit=200');
  return (body as { items: Kept[] }).items.at(-1);
};
const lastReason = async (): Promise<unknown> => {
  const last = await lastRecord();
  return { reason: last?.outcome.reason, ...last?.facts.evidence };
};

describe('Txn-AT txn_handle', () => {
  it('joins the next exchange to the same transaction and session, and comes anew with each answer', async () => {
    const subject_token = await world.personToken('alice');
    const first = await ask({ subject_token });
    const second = await ask({ subject_token, txn_handle: handleOf(first) });
    const third = await ask({
      subject_token,
      txn_handle: handleOf(second),
      authorization_details: tools(tool('list_files')),
    });
    const older = await ask({ subject_token, txn_handle: handleOf(first) });
    const txns = [first, second, third, older].map((answer) => claimsOf(answer).txn);
    expect(new Set(txns).size).toBe(1);
    expect(new Set([first, second, third].map((answer) => claimsOf(answer).writ.session)).size).toBe(1);
    expect(new Set([first, second, third].map(handleOf)).size).toBe(3);
    expect(claimsOf(await ask({ subject_token })).txn).not.toBe(claimsOf(first).txn);
  });

  it('is given to whoever asks for transactional access tokens and to nobody else', async () => {
    const subject_token = await world.personToken('alice');
    expect((await world.exchange({ subject_token })).body).not.toHaveProperty('txn_handle');
    const given = handleOf(await ask({ subject_token }));
    expect(answerOf(await world.exchange({ subject_token, txn_handle: given }))).toEqual([
      400,
      {
        error: 'invalid_request',
        error_description: `txn_handle goes with requested_token_type=${requested_token_type} only`,
      },
    ]);
    expect(answerOf(await ask({ subject_token, resource: RS2, authorization_details: undefined }))).toEqual([
      400,
      expect.objectContaining({ error: 'invalid_request' }),
    ]);
  });

  it('is in no record, and says nothing to whoever holds it', async () => {
    const subject_token = await world.personToken('bob');
    const first = await ask({ subject_token });
    const second = await ask({ subject_token, txn_handle: handleOf(first) });
    await ask({ subject_token, txn_handle: `${handleOf(second)}x` });
    const rows = await world.writ.database.prisma.logLeaf.findMany({ select: { leaf: true } });
    const log = rows.map(({ leaf }) => Buffer.from(leaf).toString('utf8')).join('\n');
    const read = Buffer.from(handleOf(first), 'base64url').toString('latin1');
    for (const handle of [first, second].map(handleOf)) expect(log).not.toContain(handle.slice(0, 32));
    expect(read).not.toContain(claimsOf(first).txn);
    expect(read).not.toContain(claimsOf(first).writ.session);
  });

  it('is decided over like every exchange: it permits nothing', async () => {
    const subject_token = await world.personToken('alice', { scope: 'repo:read' });
    const first = await ask({ subject_token });
    const write = { authorization_details: tools(tool('write_file', { arguments: {} })) };
    const refused = await ask({ subject_token, txn_handle: handleOf(first), ...write });
    expect(refused.body).toMatchObject({ error: 'invalid_scope' });
    expect(await lastRecord()).toMatchObject({
      facts: { txn: claimsOf(first).txn },
      outcome: { reason: 'scope_too_wide', session: claimsOf(first).writ.session },
    });
  });

  it('is refused on record, with the person, the chain and the session', async () => {
    const subject_token = await world.personToken('alice', { sid: 'on-record' });
    const first = await ask({ subject_token });
    await ask({ subject_token, txn_handle: 'forged' });
    expect(await lastRecord()).toMatchObject({
      facts: {
        person: decodeJwt(tokenOf(first)).sub,
        actors: [{ sub: 'agt_a1', iss: world.issuer }],
        txn: null,
        evidence: { cause: 'unreadable' },
      },
      outcome: { reason: 'handle_invalid', session: claimsOf(first).writ.session },
    });
  });

  it.each<[string, (handle: string) => string]>([
    ['forged', () => Buffer.alloc(200, 7).toString('base64url')],
    ['cut off', (handle) => handle.slice(0, -4)],
    ['changed', (handle) => `${handle.startsWith('A') ? 'B' : 'A'}${handle.slice(1)}`],
    ['spelled in another way', (handle) => `${handle}=`],
    ['empty', () => ''],
  ])('is refused when it is %s', async (_, changed) => {
    const subject_token = await world.personToken('alice');
    const txn_handle = changed(handleOf(await ask({ subject_token })));
    expect(answerOf(await ask({ subject_token, txn_handle }))).toEqual(REFUSED);
    expect(await lastReason()).toEqual({ reason: 'handle_invalid', cause: 'unreadable' });
  });

  it('is refused to another client, for another person, and with another DPoP key or none', async () => {
    const key = makeKey();
    const subject_token = await world.personToken('alice');
    const bound = handleOf(await ask({ subject_token }, world.a1, key));
    const free = handleOf(await ask({ subject_token }));
    const wide = { resource: undefined, audience: 'agt_a2', authorization_details: undefined, scope: 'repo:read' };
    const handed = tokenOf(await world.exchange({ subject_token, ...wide }));
    const causes: unknown[] = [];
    const refuse = async (answer: Promise<Reply>): Promise<void> => {
      expect(answerOf(await answer)).toEqual(REFUSED);
      causes.push(await lastReason());
    };
    await refuse(ask({ subject_token: handed, txn_handle: free }, world.a2));
    await refuse(ask({ subject_token: await world.personToken('bob'), txn_handle: free }));
    await refuse(ask({ subject_token: await world.personToken('somebody new'), txn_handle: free }));
    await refuse(ask({ subject_token, txn_handle: bound }));
    await refuse(ask({ subject_token, txn_handle: bound }, world.a1, makeKey()));
    await refuse(ask({ subject_token, txn_handle: free }, world.a1, key));
    expect(causes).toEqual(
      ['another_client', 'another_person', 'another_person', 'another_key', 'another_key', 'another_key'].map(
        (cause) => ({ reason: 'handle_invalid', cause }),
      ),
    );
    expect((await ask({ subject_token, txn_handle: bound }, world.a1, key)).status).toBe(200);
  });

  it('is refused after the end of its session, with another sign-in of the person, and once the transaction is revoked', async () => {
    const subject_token = await world.personToken('carol');
    const first = await ask({ subject_token });
    const txn_handle = handleOf(first);
    const another = await world.personToken('carol');
    const over = async (answer: Reply): Promise<void> => {
      expect(answerOf(answer)).toEqual(REFUSED);
      expect(await lastReason()).toEqual({ reason: 'transaction_over' });
    };
    await over(await ask({ subject_token: another, txn_handle }));
    const revoked = await world.admin('POST', '/revocations', { transaction: claimsOf(first).txn, reason: 'INC-1' });
    expect(revoked.status).toBeLessThan(300);
    await over(await ask({ subject_token, txn_handle }));
    const next = await ask({ subject_token });
    expect(claimsOf(next).writ.session).toBe(claimsOf(first).writ.session);
    const { session } = claimsOf(next).writ;
    await world.admin('POST', `/sessions/${session}/pause`, { reason: 'lunch' });
    expect((await ask({ subject_token, txn_handle: handleOf(next) })).body).toMatchObject({
      error: 'transaction_denied',
      session_state: { status: 'paused', session, reason: 'lunch' },
    });
    await world.admin('POST', `/sessions/${session}/end`, { reason: 'over' });
    await over(await ask({ subject_token, txn_handle: handleOf(next) }));
  });

  it('RFC 7009: is revoked by the client that it was given to, with every token of its transaction', async () => {
    const subject_token = await world.personToken('alice', { sid: 'revoked-by-handle' });
    const [first, other] = [await ask({ subject_token }), await ask({ subject_token })];
    const revoke = async (token: string, by = world.a1): Promise<number> =>
      (await world.post('/revoke', { ...(await bearerAssertion(world.issuer, by)), token })).status;
    const isActive = async (answer: Reply): Promise<unknown> => {
      const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token: tokenOf(answer) };
      return ((await world.post('/introspect', form)).body as { active: boolean }).active;
    };
    expect(await revoke(handleOf(first), world.a2)).toBe(200);
    expect(await revoke(`${handleOf(first)}=`)).toBe(200);
    expect(await isActive(first)).toBe(true);
    expect(await revoke(handleOf(first))).toBe(200);
    expect(await revoke(handleOf(first))).toBe(200);
    expect([await isActive(first), await isActive(other)]).toEqual([false, true]);
    expect(answerOf(await ask({ subject_token, txn_handle: handleOf(first) }))).toEqual(REFUSED);
    expect((await ask({ subject_token, txn_handle: handleOf(other) })).status).toBe(200);
    const { items } = (await world.admin('GET', `/log?txn=${claimsOf(first).txn}&kind=revocation`)).body as {
      items: { facts: object }[];
    };
    expect(items.map(({ facts }) => facts)).toEqual([
      { what: 'transaction', txn: claimsOf(first).txn, by: 'agt_a1' },
      { what: 'transaction', txn: claimsOf(first).txn, by: 'agt_a1' },
    ]);
  });

  it('is carried by writ/agent', async () => {
    const key = world.a1.key;
    const jwk = PrivateJwk.parse({ ...key.privateKey.export({ format: 'jwk' }), kid: key.jwk.kid, alg: 'ES256' });
    const agent = createAgent({ issuer: world.issuer, clientId: world.a1.id, key: jwk });
    const subjectToken = await world.personToken('dave');
    const wish = {
      resource: RS1,
      subjectToken,
      tools: [{ name: 'read_file' }],
      requestedTokenType: requested_token_type,
    };
    const { transactionHandle, accessToken } = await agent.exchange(wish);
    const joined = await agent.exchange({ ...wish, ...(transactionHandle === undefined ? {} : { transactionHandle }) });
    expect(decodeJwt(joined.accessToken)['txn']).toBe(decodeJwt(accessToken)['txn']);
    await expect(agent.exchange({ ...wish, transactionHandle: 'x' })).rejects.toMatchObject({
      name: 'AgentError',
      code: 'invalid_txn_handle',
    });
  });
});

describe('the time of a handle', () => {
  const [key, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const beganAt = 1_795_305_600;
  const transaction = { id: 't', session: 'ses_1', person: 'prs_1', client: 'agt_1', jkt: undefined, beganAt };
  const isGood = (handles: TransactionHandles, handle: string, at: number): boolean => handles.open(handle, at).ok;

  it('is 30 minutes, and never beyond 8 hours from the first exchange', () => {
    const handles = transactionHandles([key]);
    const first = handles.give(transaction, beganAt);
    expect([1_799, 1_800].map((after) => isGood(handles, first, beganAt + after))).toEqual([true, false]);
    const late = handles.give(transaction, beganAt + 28_000);
    expect([28_799, 28_800].map((after) => isGood(handles, late, beganAt + after))).toEqual([true, false]);
    expect(handles.open(first, beganAt)).toEqual({ ok: true, value: transaction });
  });

  it('ends with the encryption key that sealed it, not with its successor', () => {
    const handle = transactionHandles([key]).give(transaction, beganAt);
    const opened = [transactionHandles([other, key]), transactionHandles([other])];
    expect(opened.map((handles) => isGood(handles, handle, beganAt))).toEqual([true, false]);
  });
});
