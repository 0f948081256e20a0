import type { ParameterizedContext } from 'koa';
import type { Seconds } from '../base/index.js';
import { type Limit, networkSeen } from '../http/index.js';
import type { RegistryReader } from '../registry/index.js';
import { answer, CLIENT_IS_BUSY, TOO_MANY_SIGN_INS } from './troubles.js';

/**
 * RL-10: anybody can begin an authorization of any client, without a credential, and each is kept as long as its pages
 * live. So a network may open so many pages that keep something, and a client have so many authorizations begun.
 */
export type BeginningLimits = Readonly<{ perNetwork: Limit; perClient: Limit }>;

type Deps = Readonly<{ beginnings: BeginningLimits; registry: RegistryReader }>;

/** False, and answered with a page, when this request would begin more than may be begun. */
export async function admitBeginning(context: ParameterizedContext, deps: Deps): Promise<boolean> {
  const isAuthorization = context.path === '/auth';
  if (!isAuthorization && !SIGN_IN_PAGE.test(context.path)) return true;
  const { perNetwork, perClient } = deps.beginnings;
  const wait = await perNetwork.take(networkSeen(context.req));
  if (wait !== undefined) return refuse(context, TOO_MANY_SIGN_INS, wait);
  const client = isAuthorization ? clientOf(context) : undefined;
  // Only what is registered is kept, so that nobody fills memory with names.
  if (client === undefined || deps.registry.current().agent(client) === undefined) return true;
  const busy = await perClient.take(client);
  return busy === undefined || refuse(context, CLIENT_IS_BUSY, busy);
}

/** Keeps the state of a sign-in each time it is opened. What an identity provider sends people back to keeps nothing. */
const SIGN_IN_PAGE = /^\/interaction\/(?!callback\/)/;

function clientOf(context: ParameterizedContext): string | undefined {
  const client = context.query['client_id'];
  return typeof client === 'string' ? client : undefined;
}

function refuse(context: ParameterizedContext, page: typeof TOO_MANY_SIGN_INS, wait: Seconds): false {
  answer(context, page);
  context.set('retry-after', String(wait));
  return false;
}
