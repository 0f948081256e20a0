import { Fault } from '../base/index.js';
import { endFamily, grantHash, lost } from './adapter.js';
import type { EngineContext, GrantSeam } from './library.js';
import type { EngineLog, EngineStore } from './ports.js';
import { beginRedemption } from './redeemed.js';

export type RedemptionDeps = Readonly<{
  store: EngineStore;
  log: EngineLog;
  /** True once the client was told to come back: it will, with the same code or refresh token. */
  isLate(context: EngineContext): boolean;
}>;

/**
 * DESIGN 6.1: nothing is minted without a durable record, the person's token neither. What the library does in steps,
 * consuming a code or refresh token, keeping the next one and minting, happens in one statement with that record, and
 * only then is the token signed: an outage leaves the code or refresh token as good as it was.
 */
export const redeemer =
  ({ store, log, isLate }: RedemptionDeps): GrantSeam =>
  async (context, handle, sign) => {
    const redemption = beginRedemption(context);
    await handle();
    const { spent, next } = redemption;
    const token = context.oidc.entities.AccessToken;
    if (spent === undefined || token?.grantId === undefined)
      throw new Fault('internal', 'a grant was answered that nothing was redeemed for');
    if (isLate(context))
      throw new Fault('database_unavailable', 'nobody waits any more for a token that is not recorded');
    const { clientId, accountId, scope, grantId, jkt } = token;
    const issued = { client: clientId ?? '', person: accountId, scope: scope ?? '', grant: grantHash(grantId), jkt };
    if (await log.issued(issued, { key: spent.key, next })) {
      context.body = { ...bodyOf(context), access_token: await sign(token) };
      return;
    }
    await endFamily(store, await store.find(spent.key));
    throw lost(spent.model);
  };

const bodyOf = ({ body }: EngineContext): object => (typeof body === 'object' && body !== null ? body : {});
