import { application } from './application.js';
import { type Clock, systemClock } from './base/index.js';
import { type Begun, begin } from './begin.js';
import type { Config } from './config/index.js';
import { keepFeed } from './feed-keeping.js';
import { type House, openHouse } from './house.js';
import { keepHouse } from './housekeeping.js';
import { inTurns, listen, stopListening } from './http/index.js';
import { keepLog } from './log-keeping.js';
import type { OperationsDeps } from './operations.js';
import type { Database } from './storage/index.js';

/** A running Writ. */
export type Writ = Readonly<{
  config: Config;
  /** Files with secrets that were made for want of configuration. */
  madeSecrets: readonly string[];
  /** The open database, for whoever runs this in process: the embedded one admits no second. */
  database: Database;
  /** Not ready from now on, though requests are still answered: whoever balances the load goes elsewhere. */
  beginStop(): void;
  /** Resolves when the records that are written behind an answer are written. */
  flush(): Promise<void>;
  close(): Promise<void>;
}>;

export type WritOptions = Readonly<{
  clock?: Clock;
  /** Outages and bugs, for the operator's log. What clients are told has nothing of it. */
  report?: (thrown: unknown, requestId?: string) => void;
  /** Every request and commit, for the operator's log. */
  log?: OperationsDeps['log'];
  /** The start of this start, where it was made before this was loaded. */
  begun?: Begun;
}>;

/** Opens everything, or throws the Fault that says what is missing; nothing is served before all of it is there. */
export async function startWrit(
  config: Config,
  { clock = systemClock, report = () => undefined, log, begun = begin(config) }: WritOptions = {},
): Promise<Writ> {
  const { secrets } = begun;
  const database = await begun.database;
  try {
    const house = await openHouse({ config, secrets, clock, database, report, log });
    const { operations, flush } = house;
    const close = await serve(house);
    let closed: Promise<void> | undefined;
    return {
      ...{ config, database, flush },
      madeSecrets: secrets.made,
      beginStop: operations.beginStop,
      close: () => (closed ??= close()),
    };
  } catch (thrown) {
    await database.close();
    throw thrown;
  }
}

/** Opens the door, and keeps the house while it is open. Answers how to close: what is under way ends before what it needs. */
async function serve(house: House): Promise<() => Promise<void>> {
  const { config, operations, decisionPoints, database, flush } = house;
  const stopLog = await keepLog({ ...house, logKeys: house.secrets.logKeys, state: operations.log });
  const server = await listen(config, inTurns(application(house))).catch(async (thrown: unknown) => {
    await stopLog();
    throw thrown;
  });
  const kept = keepHouse(house);
  const stopFeed = keepFeed(house.feed, house.report);
  return async () => {
    await kept.stop();
    operations.beginStop();
    await stopFeed();
    await stopListening(server);
    await flush();
    await kept.stopFollowing();
    await stopLog();
    decisionPoints?.close();
    await operations.close();
    await database.close();
  };
}
