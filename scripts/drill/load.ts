import { randomBytes } from 'node:crypto';
import { type Cast, claimsOf } from './cast.js';
import { type Person, refreshForm } from './code-flow.js';
import { hashOf, type Ledger, spendOf } from './ledger.js';
import { type Form, type Line, type Reply, textOf } from './line.js';

/** Who sends: over which connections, as whom, and what they remember. */
export type Sender = Readonly<{ line: Line; cast: Cast; ledger: Ledger }>;

/** One exchange with everything of it remembered. */
export async function exchange({ line, cast, ledger }: Sender, person = somebody()): Promise<Reply> {
  const authentication = cast.authentication('agt_planner');
  ledger.exchangeSpends.add(spendOf('agt_planner', authentication));
  const reply = await line.post('/token', { ...cast.exchange(person), ...authentication });
  if (reply.status === 200) ledger.received(textOf(reply, 'access_token'));
  return reply;
}

/** The introspection that takes the only use of a token. */
export async function use({ line, cast, ledger }: Sender, token: string): Promise<Reply> {
  const authentication = cast.authentication('srv_files');
  const asked = ledger.asksForUse(token, 'write_file', authentication);
  const reply = await line.post('/introspect', { token, consume: 'write_file', ...authentication });
  asked.taken = reply.status === 200 && reply.body['active'] === true;
  return reply;
}

/** What the server says of a call with this token. */
export async function report({ line, cast }: Pick<Sender, 'line' | 'cast'>, token: string): Promise<Reply> {
  const { client_assertion: assertion = '' } = cast.authentication('srv_files');
  const { jti, txn } = claimsOf(token);
  const call = randomBytes(16).toString('base64url');
  const at = Math.floor(Date.now() / 1_000);
  const outcome = { jti, txn, tool: 'write_file', call, outcome: 'executed', at };
  return line.json('POST', '/audit/v1/outcomes', assertion, { outcomes: [outcome] });
}

/** RFC 7009 by the agent that the token was issued to. */
export async function revoke({ line, cast, ledger }: Sender, token: string): Promise<Reply> {
  const reply = await line.post('/revoke', { token, ...cast.authentication('agt_planner') });
  if (reply.status === 200) ledger.revoked.add(hashOf(token));
  return reply;
}

/** A grant of the engine for a person's token: `form` is that of a code or of a refresh token. */
export async function redeem({ line, cast, ledger }: Sender, form: Form): Promise<Reply> {
  const reply = await line.post('/token', { ...form, ...cast.authentication('agt_planner') });
  if (reply.status === 200) ledger.receivedOfPerson(textOf(reply, 'access_token'));
  return reply;
}

/** What an agent and its server do all day, until something is not answered or `isOver`. */
export async function work(sender: Sender, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const issued = await exchange(sender);
    if (issued.status !== 200) return;
    const token = textOf(issued, 'access_token');
    const next = Math.random();
    const reply = next < 0.5 ? await use(sender, token) : next < 0.7 ? await revoke(sender, token) : issued;
    if (reply.status !== 200) return;
  }
}

/** A person's consent, and then one refresh after the other, until something is not answered. */
export async function keepSignedIn(sender: Sender, person: Person, isOver: () => boolean): Promise<void> {
  const form = await person.codeForm().catch(() => undefined);
  let reply = form === undefined ? undefined : await redeem(sender, form);
  while (reply?.status === 200 && !isOver()) reply = await redeem(sender, refreshForm(textOf(reply, 'refresh_token')));
}

const somebody = (): string => `person-${Math.floor(Math.random() * 50)}`;
