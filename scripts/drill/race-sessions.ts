import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type AgentId, claimsOf, RESOURCE, SUSPECTS } from './cast.js';
import type { Person } from './code-flow.js';
import { type Act, type Arena, atOnce, type Contest, isActive, saidBy, somebody, succeeded } from './contest.js';
import { type Form, type Line, type Reply, textOf } from './line.js';
import { withDatabase } from './rig.js';
import { refundWinners, revocationWinners, survivalOf } from './verdicts.js';

type Named = Readonly<{ jti: string; session: string; txn: string }>;

function nameOf(token: string): Named {
  const { jti, txn, writ } = claimsOf(token);
  const session = typeof writ === 'object' && writ !== null && 'session' in writ ? writ.session : undefined;
  return { jti: String(jti), txn: String(txn), session: String(session) };
}

/** The same person's token at each exchange, and each time a new assertion. */
const minting =
  ({ cast }: Arena, form: Form, agent: AgentId = 'agt_planner'): Act<Reply> =>
  (line) =>
    line.post('/token', { ...form, ...cast.authentication(agent) });

const minted = async (arena: Arena, form: Form, agent?: AgentId): Promise<string> =>
  textOf(await minting(arena, form, agent)(arena.servers[0].line), 'access_token');

const tokenIn = (reply: Reply): string | undefined => (succeeded(reply) ? textOf(reply, 'access_token') : undefined);

/** Both exchanges succeed, and all that there is belongs to one session. */
async function inOneSession(arena: Arena, form: Form, before: readonly string[] = []): ReturnType<Contest> {
  const replies = await atOnce(arena, minting(arena, form), minting(arena, form));
  const tokens = replies.map(tokenIn).filter((token) => token !== undefined);
  const sessions = new Set([...before, ...tokens.map((token) => nameOf(token).session)]);
  return { winners: tokens.length < 2 ? 0 : sessions.size, said: saidBy(replies) };
}

/** One of two changes of a session does it, and there is one record more. */
async function changed(arena: Arena, what: 'pause' | 'resume' | 'end', result: string): ReturnType<Contest> {
  const { session } = nameOf(await minted(arena, arena.cast.exchange(somebody())));
  const change: Act<Reply> = (line) =>
    line.json('POST', `/admin/v1/sessions/${session}/${what}`, arena.adminToken, { reason: 'drill' });
  if (what === 'resume')
    await arena.servers[0].line.json('POST', `/admin/v1/sessions/${session}/pause`, arena.adminToken);
  const before = await recordsOf(arena, session);
  const replies = await atOnce(arena, change, change);
  const done = replies.filter((reply) => succeeded(reply) && reply.body['result'] === result).length;
  const records = (await recordsOf(arena, session)) - before;
  return { winners: done === records ? done : Math.max(2, records), said: `${records} records: ${saidBy(replies)}` };
}

async function recordsOf({ postgres }: Arena, session: string): Promise<number> {
  if (postgres === undefined) throw new Error('a race needs PostgreSQL');
  const sql = `SELECT count(*)::int AS number FROM log_leaf WHERE session_id = $1 AND kind = 'session'`;
  return withDatabase(postgres, async (client) => {
    const { rows } = await client.query<{ number: number }>(sql, [session]);
    return rows[0]?.number ?? Number.NaN;
  });
}

/** Two calls with a token for one, or the same call, told by two processes to have failed: what it reserved returns once. */
async function refunded(arena: Arena): ReturnType<Contest> {
  const form = arena.cast.exchange(somebody(), 'agt_spender');
  const tokens = [await minted(arena, form, 'agt_spender'), await minted(arena, form, 'agt_spender')];
  const { jti, txn, session } = nameOf(tokens[0] ?? '');
  const calls = [newCall(), newCall()];
  if (Math.random() < 0.5) calls[1] = calls[0] ?? '';
  const failed =
    (call: string): Act<Reply> =>
    (line) => {
      const { client_assertion: assertion = '' } = arena.cast.authentication('srv_files');
      const at = Math.floor(Date.now() / 1_000);
      const outcome = { jti, txn, tool: 'write_file', call, outcome: 'failed', error: 'tool_error', at };
      return line.json('POST', '/audit/v1/outcomes', assertion, { outcomes: [outcome] });
    };
  const replies = await atOnce(arena, failed(calls[0] ?? ''), failed(calls[1] ?? ''));
  const { body } = await arena.servers[0].line.json('GET', `/admin/v1/sessions/${session}`, arena.adminToken);
  const [budget] = Array.isArray(body['budgets']) ? (body['budgets'] as readonly Readonly<{ used?: unknown }>[]) : [];
  return { winners: refundWinners(budget?.used), said: `${JSON.stringify(budget)}: ${saidBy(replies)}` };
}

const newCall = (): string => randomBytes(16).toString('base64url');

type Suspicion = Readonly<{ order: object; form: Form; agent?: AgentId }>;

/** A revocation while its target gets more tokens elsewhere: it is done, and nothing lives that was got by what it ended. */
async function revoked(arena: Arena, { order, form, agent }: Suspicion): ReturnType<Contest> {
  const revoke: Act<Readonly<{ reply: Reply; at: number }>> = async (line) => {
    await pause(Math.random() * 15);
    const reply = await line.json('POST', '/admin/v1/revocations', arena.adminToken, { ...order, reason: 'drill' });
    return { reply, at: performance.now() };
  };
  const mint = minting(arena, form, agent);
  const mintSome: Act<readonly Reply[]> = (line) =>
    Promise.all(
      Array.from({ length: MINTS }, async (_, n) => {
        await pause(n * 4);
        return mint(line);
      }),
    );
  const [{ reply, at }, replies] = await atOnce(arena, revoke, mintSome);
  const tokens = replies.map(tokenIn).filter((token) => token !== undefined);
  const alive = await Promise.all(tokens.map((token) => isAlive(arena, token, at)));
  const survivors = alive.filter((one) => one !== undefined);
  const said = `revoked: ${saidBy([reply])}, alive: ${survivors.join()}, minted ${tokens.length} of ${MINTS}`;
  return { winners: revocationWinners(succeeded(reply), survivors.length), said };
}

const MINTS = 4;

/** Where it lives, at a process or by its feed, after the revocation was answered. */
async function isAlive(arena: Arena, token: string, answered: number): Promise<string | undefined> {
  const { servers, verifiers, cast } = arena;
  const asked = await Promise.all(
    servers.map(({ line }) => line.post('/introspect', { token, ...cast.authentication('srv_files') })),
  );
  if (!asked.every(succeeded)) return `introspection: ${saidBy(asked)}`;
  if (asked.some(isActive)) return `introspection: ${saidBy(asked)}`;
  const offline = await Promise.all(
    verifiers.map(async (verifier) => survivalOf(await verifier.call(token), answered)),
  );
  return offline.find((one) => one !== undefined);
}

const READ = JSON.stringify([
  { type: 'mcp_tool_call', locations: [RESOURCE], actions: ['tools/call'], identifier: 'read_file' },
]);

const reading = ({ cast }: Arena, agent?: AgentId): Form => ({
  ...cast.exchange(somebody(), agent),
  authorization_details: READ,
});

/** An agent that was cut off long enough ago to have a session again, and that session's exchange. */
async function suspect(arena: Arena): Promise<Suspicion> {
  for (let tried = 0; ; tried++) {
    const agent = SUSPECTS[suspected++ % SUSPECTS.length] ?? 'agt_suspect_0';
    const form = reading(arena, agent);
    const reply = await minting(arena, form, agent)(arena.servers[0].line);
    if (succeeded(reply)) return { order: { agent }, form, agent };
    if (tried === 90) throw new Error(`no token: ${saidBy([reply])}`);
    if (tried >= SUSPECTS.length) await pause(1_000);
  }
}

let suspected = 0;

/** RFC 6749 section 4.1: the token that a person gave the agent, and an exchange of it. */
async function ofPerson(arena: Arena, person: Person): Promise<Suspicion> {
  const form = { ...(await person.codeForm()), ...arena.cast.authentication('agt_planner') };
  const line: Line = arena.servers[0].line;
  const subject = textOf(await line.post('/token', form), 'access_token');
  return { order: { token: nameOf(subject).jti }, form: { ...reading(arena), subject_token: subject } };
}

/** What two processes could each do to one session, or to what came of one: it is done once. */
export const SESSION_CONTESTS: Readonly<Record<string, Contest>> = {
  opening_of_a_run: (arena) => inOneSession(arena, arena.cast.exchange(somebody())),
  continuing_of_a_run: async (arena) => {
    const form = arena.cast.exchange(somebody());
    return inOneSession(arena, form, [nameOf(await minted(arena, form)).session]);
  },
  pause_of_a_session: (arena) => changed(arena, 'pause', 'paused'),
  resume_of_a_session: (arena) => changed(arena, 'resume', 'resumed'),
  end_of_a_session: (arena) => changed(arena, 'end', 'ended'),
  refund_of_a_token: refunded,
  revocation_of_a_session: async (arena) => {
    const form = reading(arena);
    return revoked(arena, { order: { session: nameOf(await minted(arena, form)).session }, form });
  },
  revocation_of_an_agent: async (arena) => revoked(arena, await suspect(arena)),
  revocation_of_a_token: async (arena, person) => revoked(arena, await ofPerson(arena, person)),
};
