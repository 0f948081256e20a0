import { type Call, callDigest, discharged, type Held, stillLifted, transition } from '../approval/index.js';
import { err, ok, type Result } from '../base/index.js';
import { sha256 } from '../protocol/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import type { AskedCall } from './asked-call.js';
import type { Granted } from './kept.js';
import type { Moment } from './moment.js';

/** ARAP, re-evaluation denial reasons: why what was approved does not carry this call. */
export type NotGranted =
  'approval_expired' | 'out_of_scope' | 'grant_pending' | 'policy_denied' | 'approval_unverifiable';

type About = Readonly<{ call: Call | undefined; jkt: string | undefined; txn: string | undefined }>;

/** AR-01: looked up, never believed. It has to be of this server and key, for exactly this call (AR-04), and unspent. */
export async function grantOf(id: string, about: About, moment: Moment): Promise<Result<Granted, NotGranted>> {
  const { requests, now, rules } = moment;
  const { call } = about;
  const held = await requests.byId(id, now);
  if (call === undefined || held?.server !== call.server) return err('approval_unverifiable');
  if (held.about.by === 'agent') return boughtBy(held, { ...about, call }, moment);
  const digest = callDigest(call);
  const { approval, state } = held;
  if (state === 'refused') return err('policy_denied');
  if (approval === undefined || moment.taken.has(id)) return err('approval_expired');
  if (!digest.ok || approval.frozen.call !== digest.value || held.jkt !== about.jkt) return err('out_of_scope');
  if (state === 'asked') return err('grant_pending');
  const used = transition(approval, { event: 'use', call: digest.value }, now);
  if (!used.ok || (await requests.isVoid(held))) return err('approval_expired');
  const lifted = rules.policies === undefined ? [] : discharged(approval, rules.policies.texts);
  return ok({ held, lifted, until: held.expiresAt, isSpent: true });
}

/**
 * An agent's own approval, at the server that its token is for: good for the call of that token, as long as that lives. It is
 * spent already; how often the token may be used, it says itself.
 */
async function boughtBy(
  held: Held,
  { call, jkt, txn }: About & Readonly<{ call: Call }>,
  { requests, now, rules }: Moment,
): Promise<Result<Granted, NotGranted>> {
  const bought = held.state === 'used' ? await requests.bought(held.id) : undefined;
  if (bought === undefined) return err('approval_expired');
  const { transaction, person, tool, argumentsSha256, expiresAt } = bought;
  const isTheirs = person === call.person && held.client === call.chain[0] && held.jkt === jkt && transaction === txn;
  if (!isTheirs || tool !== call.tool || argumentsSha256 !== call.argumentsSha256) return err('out_of_scope');
  if (now >= expiresAt || (await requests.isVoid(held))) return err('approval_expired');
  const lifted = rules.policies === undefined ? [] : stillLifted(held, rules.policies.texts);
  return ok({ held, lifted, until: expiresAt, isSpent: false });
}

/**
 * The one exact call that a server asks about; `undefined` where its arguments are not known. It is of no session, and so
 * never what an agent itself waits for (ARAP and the deferred exchange share one store).
 */
export function callOf(
  { about, agents, server }: Readonly<{ about: AskedCall['about']; agents: readonly string[]; server: string }>,
  person: string,
  registry: RegistrySnapshot,
): Call | undefined {
  const { tool, arguments: args, argumentsSha256 } = about;
  if (args === undefined || argumentsSha256 === undefined) return undefined;
  const registered = registry.serverByResource(server)?.tools.find(({ name }) => name === tool);
  const definition = registered?.reviewed ?? sha256('no definition');
  return {
    ...{ person, chain: agents, session: null, server, tool },
    ...{ definition, arguments: args, argumentsSha256 },
  };
}
