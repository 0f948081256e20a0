import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { leafFlaws } from '../../src/audit/index.js';
import { ASK, type AskingWorld, startAskingWorld } from '../support/asking-world.js';
import { aboutCall } from '../support/authzen.js';
import { Browser } from '../support/browser.js';
import { ALICE } from '../support/company.js';
import { activate } from '../support/policies.js';
import { databaseKinds } from '../support/databases.js';
import { startReplica } from '../abuse/sign-in.js';
import { type Client, RS1 } from '../support/world.js';
import { answerOf, assertion, type Reply, request, tokenOf } from '../support/writ.js';

type Body = Record<string, unknown>;
type Task = Readonly<{
  id: string;
  status: string;
  status_endpoint: string;
  expires_at: string;
  links?: { review: string; cancel: string };
  display?: { number: string };
}>;
type Told = Readonly<{ task: Task; result?: { mode: string; approval: Approval } }>;
type Approval = Readonly<{ id: string; approved_at: string; approved_until: string }>;
type Context = Readonly<{ evaluation_id: string; access_request: { expires_at: string; binding_token: string } }>;

let world: AskingWorld;
let alice: string;
let browser: Browser;
beforeAll(async () => {
  world = await startAskingWorld();
  alice = await world.personOf(ALICE);
  browser = await world.signedIn();
}, 60_000);
beforeEach(() => world.nothingWaits());
afterAll(async () => {
  await world.writ.flush();
  const leaves = await world.writ.database.prisma.logLeaf.findMany({ select: { leaf: true } });
  await world.close();
  expect(leaves.flatMap(({ leaf }) => leafFlaws(leaf))).toEqual([]);
  expect(world.faults).toEqual([]);
});

let count = 0;
/** Each test is about another call, so that none meets the request of another. */
const something = (more: Body = {}): Body =>
  aboutCall(alice, 'write_file', { arguments: { path: `/tmp/${String(++count)}` }, task: 'tsk_a', ...more });

async function send(path: string, body: unknown, by: Client = world.rs1, more: Body = {}): Promise<Reply> {
  const { method = 'POST', headers = {} } = more as { method?: string; headers?: Record<string, string> };
  return request(path.startsWith('http') ? path : `${world.issuer}/access/v1/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${await assertion(world.issuer, by)}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}
const evaluate = (question: unknown, by?: Client): Promise<Reply> => send('evaluation', question, by);
const contextOf = ({ body }: Reply): Context => (body as { context: Context }).context;
const toldOf = ({ body }: Reply): Told => body as Told;

/** What a server sends for what was denied. */
async function denied(question: Body, by?: Client): Promise<Body> {
  const { evaluation_id, access_request: offer } = contextOf(await evaluate(question, by));
  const { expires_at, binding_token } = offer;
  return { ...question, denial: { evaluation_id, expires_at, binding_token } };
}
const submit = (body: Body, more: Body = {}, by?: Client): Promise<Reply> => send('requests', body, by, more);
const asked = async (question: Body): Promise<Told> => toldOf(await submit(await denied(question)));
const approve = async ({ task }: Told): Promise<void> => {
  const page = await browser.get(task.links?.review ?? '');
  const done = await browser.submit(page, { action: 'approve' });
  if (!done.body.includes('<h1>Approved</h1>')) throw new Error(done.body);
};
const statusOf = async ({ task }: Told, by?: Client): Promise<Reply> =>
  send(task.status_endpoint, undefined, by, { method: 'GET' });
/** An approval that waits to be used, and the question with it. */
async function approved(question = something()): Promise<{ told: Told; again: Body }> {
  const told = await asked(question);
  await approve(told);
  const { result } = toldOf(await statusOf(told));
  return { told, again: withContext(question, { approval: result?.approval }) };
}
const withContext = (question: Body, more: Body): Body => ({
  ...question,
  context: { ...(question['context'] as Body), ...more },
});
const problem = (code: string, status: number, title: string, detail: string): unknown[] => [
  status,
  { type: `urn:openid:authzen:access-request:error:${code}`, title, status, detail },
];
const UNBOUND = problem(
  'invalid_denial_binding',
  400,
  'This is not what was denied',
  'this denial is not of this question, or not of this caller; send what was denied as it was',
);
const refusedBecause = (reason: string, next: object): unknown => ({
  decision: false,
  context: expect.objectContaining({ reason, remedy: 'approval', ...next }) as unknown,
});

describe('ARAP: a denial that people can lift', () => {
  it('says to the server whose tool it is where to ask, until when, and proves that it was denied', async () => {
    const before = Date.now();
    const { access_request: offer } = contextOf(await evaluate(something()));
    expect(offer).toEqual({
      endpoint: `${world.issuer}/access/v1/requests`,
      expires_at: expect.stringMatching(/\.000Z$/),
      binding_token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]{43}$/),
    });
    expect(Date.parse(offer.expires_at)).toBeGreaterThan(before + 298_000);
    const [, claims = ''] = offer.binding_token.split('.');
    expect(JSON.parse(Buffer.from(claims, 'base64url').toString())).toMatchObject({
      iss: world.issuer,
      aud: world.issuer,
      client: 'srv_one',
      agents: ['agt_a1'],
      binding_context_members: ['arguments', 'task'],
      denial_expires_at: offer.expires_at,
    });
  });

  it.each<[string, () => Body, () => Client]>([
    ['an agent, which has the deferred exchange', something, () => world.a1],
    [
      'whoever does not say the arguments',
      () => aboutCall(alice, 'write_file', { args_sha256: 'A'.repeat(43) }),
      () => world.rs1,
    ],
    [
      'arguments that nobody could read (AP-01)',
      () => something({ arguments: { text: 'x'.repeat(16_385) } }),
      () => world.rs1,
    ],
  ])('offers nothing to %s', async (_whom, question, by) => {
    const { body } = await evaluate(question(), by());
    expect(body).toMatchObject({ decision: false, context: { remedy: 'approval' } });
    expect((body as { context: Body }).context).not.toHaveProperty('access_request');
  });
});

describe('ARAP: a request', () => {
  it('asks the person, and tells page, number and where to ask how far it is', async () => {
    const question = something();
    const body = await denied(question);
    const reply = await submit(body);
    const { task } = toldOf(reply);
    const at = `${world.issuer}/access/v1/requests/${task.id}`;
    expect(answerOf(reply)).toEqual([
      202,
      {
        task: {
          id: expect.stringMatching(/^apr_[\w-]{22}$/),
          status: 'pending',
          status_endpoint: at,
          expires_at: expect.stringMatching(/\.000Z$/),
          links: { review: `${world.place}/${task.id}`, cancel: `${at}/cancel` },
          display: { title: '"write_file" waits for an approval', number: expect.stringMatching(/^\d\d$/) },
        },
      },
    ]);
    expect([reply.headers.get('location'), reply.headers.get('retry-after')]).toEqual([at, '5']);
    const page = await browser.get(`${world.place}/${task.id}`);
    expect(page.body).toContain('Planner');
    const [record] = await world.facts(task.id);
    expect(record).toMatchObject({
      what: 'asked',
      decision: (body['denial'] as Body)['evaluation_id'],
      agents: ['agt_a1'],
      server: RS1,
    });
  });

  it('is one for one denial, and for the same open call', async () => {
    const question = something();
    const body = await denied(question);
    const first = toldOf(await submit(body));
    expect(toldOf(await submit(body)).task.id).toBe(first.task.id);
    expect(toldOf(await submit(await denied(question))).task.id).toBe(first.task.id);
    await send(first.task.links?.cancel ?? '', undefined);
    const again = await submit(body);
    expect([again.status, toldOf(again).task]).toMatchObject([201, { id: first.task.id, status: 'cancelled' }]);
    expect(toldOf(await submit(await denied(question))).task.id).not.toBe(first.task.id);
  });

  it('that was refused is the answer for a minute to whoever asks the very same again', async () => {
    const question = something();
    const first = await asked(question);
    const page = await browser.get(first.task.links?.review ?? '');
    expect((await browser.submit(page, { action: 'deny' })).body).toContain('<h1>Denied</h1>');
    const again = await submit(await denied(question));
    expect([again.status, toldOf(again).task]).toMatchObject([201, { id: first.task.id, status: 'denied' }]);
  });

  it('Idempotency-Key: is answered with the same task, and refused for another body', async () => {
    const headers = { 'idempotency-key': 'k-1' };
    const body = await denied(something());
    const first = await submit(body, { headers });
    expect(toldOf(await submit(body, { headers })).task.id).toBe(toldOf(first).task.id);
    expect(answerOf(await submit(await denied(something()), { headers }))).toEqual(
      problem(
        'duplicate_request',
        409,
        'The idempotency key was used for another request',
        'this Idempotency-Key or denial was sent with another body; take a new one',
      ),
    );
    expect(answerOf(await submit(body, { headers: { 'idempotency-key': 'x'.repeat(256) } }))).toEqual([
      400,
      {
        error: 'invalid_request',
        error_description: 'Idempotency-Key must be sent once, with 1 to 255 printable characters',
      },
    ]);
  });

  it.each<[string, (body: Body) => Body]>([
    [
      'another tool',
      (body) => ({ ...body, resource: { ...(body['resource'] as Body), properties: { server: RS1, x: 1 } } }),
    ],
    ['other arguments', (body) => withContext(body, { arguments: { path: '/etc/passwd' } })],
    ['a member of the context that was not there', (body) => withContext(body, { purpose: 'it is fine' })],
    ['a member less', (body) => ({ ...body, context: { arguments: (body['context'] as Body)['arguments'] } })],
    [
      'a longer life',
      (body) => ({ ...body, denial: { ...(body['denial'] as Body), expires_at: '2126-01-01T00:00:00.000Z' } }),
    ],
    [
      'a token that was altered',
      (body) => {
        const { binding_token: token, ...denial } = body['denial'] as { binding_token: string };
        const [head = '', claims = '', mac = ''] = token.split('.');
        const read = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Body;
        const forged = Buffer.from(JSON.stringify({ ...read, client: 'srv_one' })).toString('base64url');
        return { ...body, denial: { ...denial, binding_token: `${head}.${forged}A.${mac}` } };
      },
    ],
    [
      'a token without a signature',
      (body) => {
        const { binding_token: token, ...denial } = body['denial'] as { binding_token: string };
        return { ...body, denial: { ...denial, binding_token: `${token.split('.').slice(0, 2).join('.')}.` } };
      },
    ],
  ])('AR-02: is refused with %s', async (_what, change) => {
    expect(answerOf(await submit(change(await denied(something()))))).toEqual(UNBOUND);
  });

  it('AR-02: keeps what is only a note beside the question', async () => {
    const body = await denied(something());
    expect((await submit(withContext(body, { business_justification: 'month end' }))).status).toBe(202);
  });

  it('may name the actor of another chain as little as the denied call did', async () => {
    const body = await denied(something());
    const subject = { type: 'identity', id: alice, properties: { act: 'agt_a2' } };
    expect(answerOf(await submit({ ...body, subject }))).toEqual(UNBOUND);
  });

  it("is no other server's", async () => {
    const body = await denied(something());
    expect(answerOf(await submit(body, {}, world.rs2))).toEqual(
      problem(
        'not_requestable',
        400,
        'Nobody can be asked for this',
        'no person can lift what is decided now; evaluate the call again',
      ),
    );
  });

  it.each(['items', 'requested_access', 'callback'])('is refused with %s, which is not served', async (name) => {
    expect(answerOf(await submit({ ...(await denied(something())), [name]: {} }))).toEqual(
      problem(
        'not_requestable',
        400,
        'Nobody can be asked for this',
        `${name} is not served: the denied call can be approved, exactly and once`,
      ),
    );
  });

  it.each<[string, Body, string]>([
    ['without a denial', { denial: undefined }, 'denial is missing'],
    ['with a denial that is no object', { denial: 7 }, 'denial must be text of the allowed length'],
    ['without its token', { denial: { expires_at: '2026' } }, 'denial.binding_token is missing'],
  ])('is refused %s', async (_how, change, detail) => {
    expect(answerOf(await submit({ ...(await denied(something())), ...change }))).toEqual(
      problem('invalid_denial_binding', 400, 'This is not what was denied', detail),
    );
  });

  it('is refused once policy says something else', async () => {
    const body = await denied(something());
    await activate(world, ASK.replace('@requires("approval")', ''));
    const reply = await submit(body);
    await activate(world, ASK);
    expect(answerOf(reply)).toMatchObject([400, { type: 'urn:openid:authzen:access-request:error:not_requestable' }]);
  });

  it('stops at sixteen open ones of an agent', async () => {
    for (let one = 0; one < 16; one++) expect((await submit(await denied(something()))).status).toBe(202);
    const reply = await submit(await denied(something()));
    expect(answerOf(reply)).toEqual([
      429,
      {
        type: 'about:blank',
        title: 'Too Many Requests',
        status: 429,
        detail: 'too many requests wait for this person or of this agent; let some be answered or cancel them',
      },
    ]);
    expect(reply.headers.get('retry-after')).toBe('60');
  }, 30_000);

  it('needs a credential, which is good once', async () => {
    const body = JSON.stringify(await denied(something()));
    const headers = {
      'content-type': 'application/json',
      authorization: `Bearer ${await assertion(world.issuer, world.rs1)}`,
    };
    const post = (): Promise<Reply> => request(`${world.issuer}/access/v1/requests`, { method: 'POST', headers, body });
    expect((await post()).status).toBe(202);
    const second = await post();
    expect([second.status, second.headers.get('www-authenticate')]).toEqual([
      401,
      'Bearer realm="writ", Basic realm="writ"',
    ]);
  });
});

describe('ARAP: a task', () => {
  it('is pending, then approved until its end, and once used remains so', async () => {
    const question = something();
    const told = await asked(question);
    const pending = await statusOf(told);
    expect([pending.status, toldOf(pending)]).toEqual([200, told]);
    await approve(told);
    const done = await statusOf(told);
    const { id, expires_at: until } = told.task;
    const result = {
      mode: 'reevaluate',
      approval: { id, approved_at: expect.stringMatching(/\.000Z$/), approved_until: until },
    };
    expect(answerOf(done)).toEqual([
      200,
      {
        task: { ...told.task, status: 'approved', display: undefined },
        result,
      },
    ]);
    const yes = await evaluate(withContext(question, { approval: toldOf(done).result?.approval }));
    expect(yes.body).toMatchObject({ decision: true });
    expect(toldOf(await statusOf(told))).toMatchObject({ task: { id, status: 'approved' }, result });
  });

  it('is denied by the person, and cancelled by the server', async () => {
    const refused = await asked(something());
    await browser.submit(await browser.get(refused.task.links?.review ?? ''), { action: 'deny' });
    expect(toldOf(await statusOf(refused)).task).toEqual({
      id: refused.task.id,
      status: 'denied',
      status_endpoint: refused.task.status_endpoint,
      expires_at: refused.task.expires_at,
    });
    const told = await asked(something());
    const cancel = (by?: Client): Promise<Reply> => send(told.task.links?.cancel ?? '', undefined, by);
    expect((await cancel(world.rs2)).status).toBe(404);
    expect(toldOf(await cancel()).task).toMatchObject({ id: told.task.id, status: 'cancelled' });
    expect((await world.facts(told.task.id)).map(({ what, by }) => [what, by])).toContainEqual(['withdrawn', RS1]);
    expect(answerOf(await cancel())).toEqual(
      problem('invalid_task_state', 409, 'The request has ended', 'the request has ended already; read its status'),
    );
  });

  it('expires, for silence is no', async () => {
    const told = await asked(something());
    await world.nothingWaits();
    expect(toldOf(await statusOf(told)).task.status).toBe('expired');
  });

  it('is unknown to other servers, to agents, and where an agent waits for its own token', async () => {
    const told = await asked(something());
    const unknown = problem('unknown_task', 404, 'There is no such request', 'there is no such request of this server');
    expect(answerOf(await statusOf(told, world.rs2))).toEqual(unknown);
    expect(answerOf(await statusOf(told, world.a1))).toEqual(unknown);
    const { id } = await world.ask({ path: '/tmp/own' });
    for (const [path, method] of [
      [id, 'GET'],
      [`${id}/cancel`, 'POST'],
      ['apr_unknown', 'GET'],
    ] as const)
      expect(answerOf(await send(`requests/${path}`, undefined, world.rs1, { method }))).toEqual(unknown);
  });
});

describe('ARAP: the evaluation after an approval', () => {
  it('is a yes once, and its record names what it spent', async () => {
    const { told, again } = await approved();
    const yes = await evaluate(again);
    expect(answerOf(yes)).toEqual([
      200,
      {
        decision: true,
        context: {
          evaluation_id: expect.stringMatching(/^dec_/),
          evaluated_at: expect.stringMatching(/Z$/),
          policies: ['agents', 'people'],
          approval: { id: told.task.id, approved_until: told.task.expires_at },
        },
      },
    ]);
    const { body } = await world.admin('GET', '/log?kind=decision&limit=200');
    const { items } = body as { items: { facts: Body }[] };
    const of = items.filter(({ facts }) => facts['approval'] === told.task.id).map(({ facts }) => facts['decision']);
    expect(of).toEqual([contextOf(yes).evaluation_id]);
    const second = await evaluate(again);
    expect(second.body).toEqual(refusedBecause('approval_expired', { next_action: 'request' }));
    expect(contextOf(second)).toHaveProperty('access_request.binding_token');
  });

  it('AR-01: is no yes by a name alone, without it or before somebody said yes', async () => {
    const question = something();
    const told = await asked(question);
    const given = withContext(question, { approval: { id: told.task.id, approved_until: told.task.expires_at } });
    expect((await evaluate(given)).body).toEqual(
      refusedBecause('grant_pending', { next_action: 'retry', retry_after: 5 }),
    );
    await approve(told);
    expect((await evaluate(question)).body).toMatchObject({ decision: false });
    for (const id of ['apr_unknown', 'AAAA'])
      expect((await evaluate(withContext(question, { approval: { id } }))).body).toEqual(
        refusedBecause('approval_unverifiable', { next_action: 'none' }),
      );
    expect((await evaluate(given)).body).toMatchObject({ decision: true });
  });

  it.each<[string, (question: Body) => Body]>([
    ['other arguments', (question) => withContext(question, { arguments: { path: '/etc/passwd' } })],
    [
      'another agent',
      (question) => ({ ...question, subject: { type: 'identity', id: alice, properties: { act: 'agt_a2' } } }),
    ],
    ['another key', (question) => withContext(question, { cnf: { jkt: 'A'.repeat(43) } })],
  ])('AR-04: covers no %s', async (_what, change) => {
    const { again } = await approved();
    const { body } = await evaluate(change(again));
    expect(body).toMatchObject({ decision: false });
    expect((await evaluate(again)).body).toMatchObject({ decision: true });
  });

  it("is no agent's, and no other server's", async () => {
    const { again } = await approved();
    expect((await evaluate(again, world.a1)).body).toMatchObject({ decision: false, context: { next_action: 'none' } });
    expect((await evaluate(again, world.rs2)).body).toMatchObject({ decision: false });
    expect((await evaluate(again)).body).toMatchObject({ decision: true });
  });

  it('is a no once a person refused it, and nobody is asked again for it', async () => {
    const question = something();
    const told = await asked(question);
    await browser.submit(await browser.get(told.task.links?.review ?? ''), { action: 'deny' });
    const { body } = await evaluate(withContext(question, { approval: { id: told.task.id } }));
    expect(body).toEqual(refusedBecause('policy_denied', { next_action: 'none' }));
    expect((body as { context: Body }).context).not.toHaveProperty('access_request');
  });

  it('asks anew where the policy that asked says something else by now', async () => {
    const { again } = await approved();
    await activate(world, ASK.replace('each write', 'each and every write'));
    const { body } = await evaluate(again);
    await activate(world, ASK);
    expect(body).toEqual(refusedBecause('approval_expired', { next_action: 'request' }));
  });

  it('is one yes in a batch that brings the same approval twice', async () => {
    const { again } = await approved();
    const { body } = await send('evaluations', { evaluations: [again, again] });
    expect((body as { evaluations: { decision: boolean }[] }).evaluations.map(({ decision }) => decision)).toEqual([
      true,
      false,
    ]);
  });

  it('AP-11 is one yes of twenty that come at once, at two replicas where there can be two', async () => {
    const replica = databaseKinds.includes('server') ? await startReplica(world) : undefined;
    const { again, told } = await approved();
    const at = [world.issuer, replica?.url ?? world.issuer];
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, n) => send(`${at[n % 2] ?? ''}/access/v1/evaluation`, again)),
    );
    await replica?.close();
    const decisions = replies.map(({ body }) => (body as { decision: boolean }).decision);
    expect(replies.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
    expect(decisions.filter(Boolean)).toEqual([true]);
    expect((await world.held({ id: told.task.id, code: '', number: '', page: '' })).state).toBe('used');
  });

  it('is not spent by a credential that was used before', async () => {
    const { again } = await approved();
    const used = await assertion(world.issuer, world.rs1);
    const by = { headers: { authorization: `Bearer ${used}` } };
    expect((await send('evaluation', something(), world.rs1, by)).status).toBe(200);
    expect((await send('evaluation', again, world.rs1, by)).status).toBe(401);
    expect((await evaluate(again)).body).toMatchObject({ decision: true });
  });

  it('is not spent because another one of its batch is spent already', async () => {
    const [one, other] = [await approved(), await approved()];
    await world.writ.database.prisma.$executeRawUnsafe(
      `INSERT INTO replay (key, spender, expires_at) VALUES ($1, 'another', now() + interval '1 hour')`,
      `approval:${other.told.task.id}`,
    );
    const { body } = await send('evaluations', { evaluations: [one.again, other.again] });
    const { evaluations } = body as { evaluations: { decision: boolean }[] };
    expect(evaluations.map(({ decision }) => decision)).toEqual([true, false]);
    expect((await evaluate(one.again)).body).toMatchObject({ decision: false });
  });

  it.each<[string, unknown, string]>([
    ['is no object', 'apr_1', 'context.approval must be a JSON object'],
    ['has no id', {}, 'context.approval.id is missing'],
    ['has an id that is none', { id: 'a b' }, 'context.approval.id must be text of 1 to 512 characters'],
  ])('names the field of an approval that %s', async (_what, approval, error_description) => {
    expect(answerOf(await evaluate(something({ approval })))).toEqual([
      400,
      { error: 'invalid_request', error_description },
    ]);
  });
});

describe('the approval by which a token was bought, where its call is decided', () => {
  /** A token of a deferred exchange, and the question of the server that it is for. */
  async function bought(): Promise<{ question: Body; approval: Body }> {
    const args = { path: `/tmp/${String(++count)}` };
    const own = await world.ask(args);
    await browser.submit(await browser.get(own.page), { action: 'approve' });
    const claims = decodeJwt<{ txn: string; writ: { approval: string } }>(tokenOf(await world.poll(own)));
    const question = aboutCall(alice, 'write_file', { arguments: args, txn: claims.txn });
    return { question, approval: { id: claims.writ.approval } };
  }

  it('lets that call through, and is not spent: the token says how often it may be used', async () => {
    const { question, approval } = await bought();
    for (const one of [1, 2]) {
      const { body } = await evaluate(withContext(question, { approval }));
      expect([one, body]).toEqual([
        one,
        {
          decision: true,
          context: {
            evaluation_id: expect.stringMatching(/^dec_/),
            evaluated_at: expect.stringMatching(/Z$/),
            policies: ['agents', 'people'],
            approval: { id: approval['id'], approved_until: expect.stringMatching(/\.000Z$/) },
          },
        },
      ]);
    }
    expect((await evaluate(question)).body).toMatchObject({ decision: false, context: { remedy: 'approval' } });
  });

  it.each<[string, (question: Body) => Body]>([
    ['other arguments', (question) => withContext(question, { arguments: { path: '/etc/passwd' } })],
    ['another transaction', (question) => withContext(question, { txn: 'another' })],
    ['another key', (question) => withContext(question, { cnf: { jkt: 'A'.repeat(43) } })],
    [
      'another agent',
      (question) => ({ ...question, subject: { type: 'identity', id: alice, properties: { act: 'agt_a2' } } }),
    ],
  ])('covers no %s', async (_what, change) => {
    const { question, approval } = await bought();
    expect((await evaluate(change(withContext(question, { approval })))).body).toMatchObject({ decision: false });
  });

  it('lifts no policy that says something else by now', async () => {
    const { question, approval } = await bought();
    await activate(world, ASK.replace('each write', 'each and every write'));
    const { body } = await evaluate(withContext(question, { approval }));
    await activate(world, ASK);
    expect(body).toEqual(refusedBecause('approval_expired', { next_action: 'request' }));
  });

  it('is nothing before it has bought one', async () => {
    const args = { path: `/tmp/${String(++count)}` };
    const own = await world.ask(args);
    await browser.submit(await browser.get(own.page), { action: 'approve' });
    const question = aboutCall(alice, 'write_file', { arguments: args, approval: { id: own.id } });
    expect((await evaluate(question)).body).toEqual(refusedBecause('approval_expired', { next_action: 'request' }));
    expect((await world.poll(own)).status).toBe(200);
  });
});

// Last: nobody is signed in any more, and no token is good.
describe('ARAP: a revocation', () => {
  it.each<[string, () => Body]>([
    ['its tool', () => ({ tool: `${RS1}#write_file` })],
    ['its server', () => ({ server: RS1 })],
    ['its agent', () => ({ agent: 'agt_a1' })],
    ['its person', () => ({ person: alice })],
  ])('gives nothing that was approved before %s was revoked', async (_what, target) => {
    const { again } = await approved();
    const revoked = await world.admin('POST', '/revocations', { ...target(), reason: 'test' });
    expect(revoked.status).toBe(201);
    expect((await evaluate(again)).body).toEqual(refusedBecause('approval_expired', { next_action: 'request' }));
    await world.writ.database.prisma.$executeRawUnsafe(
      `UPDATE revocation SET revoked_at = revoked_at - interval '1 minute'`,
    );
    browser = await world.signedIn();
  });
});
