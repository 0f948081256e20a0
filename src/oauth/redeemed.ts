import { currentContext, type EngineContext } from './library.js';
import type { EngineRecord } from './ports.js';

/** What a grant is about to do, held back until it can be done with its record in one statement. */
export type Redemption = {
  spent?: Readonly<{ key: string; model: string }>;
  next?: EngineRecord;
};

const under = new WeakMap<EngineContext, Redemption>();

export function beginRedemption(context: EngineContext): Redemption {
  const redemption: Redemption = {};
  under.set(context, redemption);
  return redemption;
}

/** The one of the request that the library is answering now, if that is a grant. */
export function currentRedemption(): Redemption | undefined {
  const context = currentContext();
  return context === undefined ? undefined : under.get(context);
}
