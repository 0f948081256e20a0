import { type Call, callDigest, transition } from '../approval/index.js';
import { err, ok, type Result } from '../base/index.js';
import { sha256 } from '../protocol/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import type { AskedCall } from './asked-call.js';
import type { Granted } from './kept.js';
import type { Moment } from './moment.js';

/** ARAP, re-evaluation denial reasons: why what was approved does not carry this call. */
export type NotGranted =
  'approval_expired' | 'out_of_scope' | 'grant_pending' | 'policy_denied' | 'approval_unverifiable';

/** AR-01: looked up, never believed. It has to be of this server and key, for exactly this call (AR-04), and unspent. */
export async function grantOf(
  id: string,
  { call, jkt }: Readonly<{ call: Call | undefined; jkt: string | undefined }>,
  { requests, now, taken }: Pick<Moment, 'requests' | 'now' | 'taken'>,
): Promise<Result<Granted, NotGranted>> {
  const held = await requests.byId(id, now);
  const isTheirs = held?.about.by === 'server' && held.server === call?.server;
  const digest = call && callDigest(call);
  if (held === undefined || !isTheirs || digest?.ok !== true) return err('approval_unverifiable');
  const { approval, state } = held;
  if (state === 'refused') return err('policy_denied');
  if (approval === undefined || taken.has(id)) return err('approval_expired');
  if (approval.frozen.call !== digest.value || held.jkt !== jkt) return err('out_of_scope');
  if (state === 'asked') return err('grant_pending');
  const used = transition(approval, { event: 'use', call: digest.value }, now);
  return used.ok && !(await requests.isCutOff(held)) ? ok({ held, approval }) : err('approval_expired');
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
