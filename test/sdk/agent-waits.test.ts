import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  type Agent,
  AgentError,
  type AgentOptions,
  createAgent,
  type Deferral,
  memoryDeferralStore,
  type Waiting,
} from '../../src/sdk/agent/index.js';
import { Deferrals } from '../support/deferrals.js';
import { TestIssuer } from '../support/issuer.js';

let issuer: TestIssuer;
let deferrals: Deferrals;
let key: AgentOptions['key'];
beforeEach(async () => {
  issuer = await TestIssuer.start();
  deferrals = issuer.deferrals = new Deferrals();
  key = await issuer.register('agt_planner');
});
afterEach(() => issuer.close());

const make = (more: Partial<AgentOptions> = {}): Agent =>
  createAgent({ issuer: issuer.url, clientId: 'agt_planner', key, waiting: {}, ...more });
const RESOURCE = 'https://mcp1.example/files';
const request = {
  subjectToken: 'persons.access.token',
  resource: RESOURCE,
  tools: [{ name: 'write_file', arguments: { path: '/a' } }],
};
/** A promise for the first wait, and what to give to the agent. */
function firstWait() {
  const told: Waiting[] = [];
  let onWaiting: (waiting: Waiting) => void = () => undefined;
  const begun = new Promise<Waiting>((resolve) => {
    onWaiting = (waiting) => {
      told.push(waiting);
      resolve(waiting);
    };
  });
  return { told, begun, onWaiting };
}
const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );

describe('an agent that waits for a person (Deferred Token Response)', () => {
  it('opts in, tells its host once, polls with its key, and has the token', async () => {
    const { told, begun, onWaiting } = firstWait();
    const store = memoryDeferralStore();
    deferrals.more = { interaction_uri: `${issuer.url}/approvals/apr_1`, number: '42' };
    const before = Math.floor(Date.now() / 1000);
    const exchanged = make({ waiting: { onWaiting, store } }).exchange(request);
    const { id, expiresAt, ...waiting } = await begun;
    expect(waiting).toEqual({ tool: 'write_file', approvalUri: `${issuer.url}/approvals/apr_1`, number: '42' });
    expect(expiresAt - before - 300).toBeLessThanOrEqual(2);
    expect((await store.all()).map((one) => one.id)).toEqual([id]);
    expect(JSON.stringify(await store.all())).not.toContain('persons.access.token');
    deferrals.decide('granted');
    expect(await exchanged).toMatchObject({ tokenType: 'Bearer', details: [{ tool: 'write_file' }] });
    expect([await store.all(), told.length]).toEqual([[], 1]);
    const [first, poll] = issuer.forms.map((form) => Object.fromEntries(form));
    expect(first).toMatchObject({ completion_mode: 'deferred', subject_token: 'persons.access.token' });
    expect(Object.keys(poll ?? {}).sort()).toEqual([
      'client_assertion',
      'client_assertion_type',
      'deferral_code',
      'grant_type',
    ]);
  });

  it('does not opt in unless it was made to wait', async () => {
    await createAgent({ issuer: issuer.url, clientId: 'agt_planner', key }).exchange(request);
    expect(issuer.forms[0]?.has('completion_mode')).toBe(false);
  });

  it('polls at the interval, and five seconds slower when told to slow down', async () => {
    deferrals.slowDowns = 1;
    const started = Date.now();
    const { begun, onWaiting } = firstWait();
    const exchanged = make({ waiting: { onWaiting } }).exchange(request);
    await begun;
    deferrals.decide('granted');
    await exchanged;
    const [first = 0, second = 0, ...more] = deferrals.polledAt;
    expect(more).toEqual([]);
    expect(first - started).toBeGreaterThanOrEqual(1_000);
    expect(second - first).toBeGreaterThanOrEqual(6_000);
  }, 15_000);

  it.each<[string, 'refused' | 'over', object]>([
    ['the person said no', 'refused', { code: 'access_denied', message: 'the person said no' }],
    ['nobody decided in time', 'over', { code: 'expired_token', message: 'expired_token' }],
  ])('says that %s, and waits no more', async (_what, state, wanted) => {
    const { begun, onWaiting } = firstWait();
    const store = memoryDeferralStore();
    const exchanged = failure(make({ waiting: { onWaiting, store } }).exchange(request));
    await begun;
    deferrals.decide(state);
    const error = await exchanged;
    expect(error).toBeInstanceOf(AgentError);
    expect(error).toMatchObject(wanted);
    expect(await store.all()).toEqual([]);
  });

  it('withdraws the request when its caller gives up, whose reason is thrown', async () => {
    const { begun, onWaiting } = firstWait();
    const store = memoryDeferralStore();
    const giveUp = new AbortController();
    const exchanged = failure(make({ waiting: { onWaiting, store } }).exchange(request, giveUp.signal));
    await begun;
    giveUp.abort(new Error('enough'));
    expect(await exchanged).toEqual(new Error('enough'));
    expect([deferrals.states(), await store.all()]).toEqual([['withdrawn'], []]);
  });

  it('withdraws the request when its host cannot tell anybody', async () => {
    const onWaiting = (): void => {
      throw new Error('no screen');
    };
    expect(await failure(make({ waiting: { onWaiting } }).exchange(request))).toEqual(new Error('no screen'));
    expect(deferrals.states()).toEqual(['withdrawn']);
  });

  it('waits on through an outage of the issuer', async () => {
    const { begun, onWaiting } = firstWait();
    const exchanged = make({ waiting: { onWaiting }, timeoutMs: 500 }).exchange(request);
    await begun;
    issuer.down = true;
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    issuer.down = false;
    deferrals.decide('granted');
    expect(await exchanged).toMatchObject({ tokenType: 'Bearer' });
  });

  it('goes on after a restart with what it waited for, by the same request with another token of that person', async () => {
    const { begun, onWaiting } = firstWait();
    const store = memoryDeferralStore();
    const token = (jti: string): string =>
      ['{"alg":"ES256"}', JSON.stringify({ iss: 'https://i', sub: 'prs_1', jti }), 'x']
        .map((part) => Buffer.from(part).toString('base64url'))
        .join('.');
    let isDead = false;
    const alive: AgentOptions['fetch'] = (url, init) => (isDead ? Promise.reject(new Error('dead')) : fetch(url, init));
    const end = new AbortController();
    const first = make({ waiting: { onWaiting, store }, fetch: alive });
    const died = failure(first.exchange({ ...request, subjectToken: token('1') }, end.signal));
    await begun;
    isDead = true;
    const kept = JSON.parse(JSON.stringify(await store.all())) as Deferral[];
    deferrals.decide('granted');
    const again = memoryDeferralStore();
    for (const one of kept) await again.keep(one);
    const tokens = await make({ waiting: { store: again } }).exchange({ ...request, subjectToken: token('2') });
    expect(tokens.details).toMatchObject([{ tool: 'write_file' }]);
    expect([await again.all(), deferrals.held.size]).toEqual([[], 0]);
    end.abort(new Error('the end'));
    expect(await died).toEqual(new Error('the end'));
    expect(issuer.forms.filter((form) => form.has('completion_mode'))).toHaveLength(1);
  });

  it('asks anew, and withdraws nothing, where the person has to sign in again first', async () => {
    const { begun, onWaiting } = firstWait();
    const store = memoryDeferralStore();
    const exchanged = failure(make({ waiting: { onWaiting, store } }).exchange(request));
    await begun;
    deferrals.decide('signed_in_long_ago');
    expect(await exchanged).toMatchObject({ code: 'insufficient_user_authentication' });
    expect([await store.all(), deferrals.states()]).toEqual([[], ['signed_in_long_ago']]);
  });

  it('forgets what is over', async () => {
    const store = memoryDeferralStore();
    const now = Math.floor(Date.now() / 1000);
    const over = {
      id: 'over',
      code: 'c',
      request: 'r',
      tool: undefined,
      approvalUri: undefined,
      number: undefined,
      jkt: undefined,
    };
    await store.keep({ ...over, intervalSeconds: 1, expiresAt: now - 61 });
    await store.keep({ ...over, id: 'answer lost', intervalSeconds: 1, expiresAt: now - 50 });
    await store.keep({ ...over, id: 'open', intervalSeconds: 1, expiresAt: now + 60 });
    issuer.deferrals = undefined;
    await make({ waiting: { store } }).exchange(request);
    expect((await store.all()).map(({ id }) => id)).toEqual(['answer lost', 'open']);
  });

  it.each<[string, object]>([
    ['another call', { tools: [{ name: 'write_file', arguments: { path: '/b' } }] }],
    ['another person', { subjectToken: 'another.persons.token' }],
  ])('does not take what waits for %s', async (_what, other) => {
    const { begun, onWaiting } = firstWait();
    const store = memoryDeferralStore();
    const agent = make({ waiting: { onWaiting, store } });
    const first = agent.exchange(request);
    await begun;
    const kept = await store.all();
    const again = memoryDeferralStore();
    for (const one of kept) await again.keep(one);
    const second = make({ waiting: { store: again } }).exchange({ ...request, ...other });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(issuer.forms.filter((form) => form.has('completion_mode'))).toHaveLength(2);
    deferrals.decide('granted');
    await Promise.allSettled([first, second]);
  });

  it('asks for an approval of its own for each of two calls that are the same', async () => {
    const waiting: Waiting[] = [];
    const agent = make({ waiting: { onWaiting: (one) => waiting.push(one) } });
    const both = Promise.all([agent.exchange(request), agent.exchange(request)]);
    while (waiting.length < 1) await new Promise((resolve) => setTimeout(resolve, 20));
    deferrals.decide('granted');
    while (waiting.length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
    deferrals.decide('granted');
    const [one, other] = await both;
    expect(one.accessToken).not.toBe(other.accessToken);
    expect(new Set(waiting.map(({ id }) => id)).size).toBe(2);
  });

  it.each(['https://evil.example/approvals/apr_1', 'javascript:alert(1)', 'no address'])(
    'leads nobody to %s (EL-05)',
    async (interaction_uri) => {
      deferrals.more = { interaction_uri };
      const { begun, onWaiting } = firstWait();
      const exchanged = make({ waiting: { onWaiting } }).exchange(request);
      expect((await begun).approvalUri).toBeUndefined();
      deferrals.decide('granted');
      await exchanged;
    },
  );
});
