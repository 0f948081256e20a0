import { type Clock, err, Fault, ok, type Result, type Seconds } from '../base/index.js';
import type { Problem } from '../http/index.js';
import { digest } from '../protocol/index.js';
import type { AccountablePeople, RegistryReader, RegistryWriter } from '../registry/index.js';
import { type Contents, contentsOf } from './contents.js';
import { plain } from './difference.js';
import type { Flaw } from './flaw.js';
import type { ChangeEffect, Foreseeable, Foresight } from './foresight.js';
import type { InTurn } from './in-turn.js';
import { type Plan, plan, type Wanted, type Wish } from './plan.js';
import { policyFlaws } from './policy-rules.js';
import { flawsOf, type Ourselves } from './rules.js';
import { dated, named, peopleFlaws } from './settle.js';

export type ChangeDeps = Readonly<{
  registry: RegistryReader;
  writer: RegistryWriter;
  clock: Clock;
  us: Ourselves;
  people: AccountablePeople;
  /** How far ahead the end of an agent may be. */
  agentLife: Seconds;
  inTurn: InTurn;
  foresight: Foresight;
}>;

/** A change that is asked for. `object` may refuse it in view of what is there; `refuse` puts flaws into an answer's words. */
export type ChangeRequest = Readonly<{
  wish: (before: Contents) => Wanted;
  object?: (before: Contents) => Problem | undefined;
  refuse: (flaws: readonly Flaw[], wish: Wish) => Problem;
  dryRun?: boolean;
  /** Whether a dry run says what would end; it does unless told not to. */
  isForeseen?: boolean;
}>;
export type Changed = Readonly<{
  changes: Plan['changes'];
  after: Contents;
  version: number;
  /** Of a dry run. */
  effect?: ChangeEffect;
}>;

/** Who the log names for what comes through the bearer token. */
export const ADMINISTRATOR = 'admin-token';

/** How often a change is checked anew because another one, in this process or elsewhere, came first. */
const TRIES = 5;

/**
 * Makes the change when every rule allows what the registry would be afterwards; writes nothing when nothing changes.
 * What was checked and what is written are the same version: a faster change elsewhere has it checked again.
 */
export async function makeChange(request: ChangeRequest, deps: ChangeDeps): Promise<Result<Changed, Problem>> {
  const done = await deps.inTurn(() => settledAtLast(() => tryChange(request, deps)));
  if (!done.ok) return done;
  const { changed, foreseeable } = done.value;
  if (foreseeable === undefined || request.isForeseen === false) return ok(changed);
  return ok({ ...changed, effect: await deps.foresight(foreseeable) });
}

type Tried = Readonly<{ changed: Changed; foreseeable?: Foreseeable }>;

async function tryChange(request: ChangeRequest, deps: ChangeDeps): Promise<Result<Tried, Problem>> {
  const snapshot = await deps.registry.refresh();
  const before = contentsOf(snapshot);
  const objection = request.object?.(before);
  if (objection !== undefined) return err(objection);
  const { us, people } = deps;
  const [now, latest] = [deps.clock.now(), deps.clock.now() + deps.agentLife];
  const known = async (issuer: string, subject: string): Promise<string | undefined> =>
    (await people.find(issuer, subject))?.id;
  const wish = await named(dated(request.wish(before), before, latest), known);
  const planned = plan(before, wish);
  const flaws = [
    ...flawsOf(wish, planned, { us, now, latest }),
    ...policyFlaws(planned, snapshot.policies),
    ...(await peopleFlaws(planned, people, us)),
  ];
  if (flaws.length > 0) return err(request.refuse(flaws, wish));
  const changed = { ...planned, version: snapshot.version };
  if (request.dryRun === true)
    return ok({
      changed,
      foreseeable: { before, plan: planned, version: snapshot.version, policies: snapshot.policies },
    });
  if (planned.writes.length === 0) return ok({ changed });
  const final = plan(before, await named(wish, people.meet));
  const version = await deps.writer.write(final.writes, ADMINISTRATOR, snapshot.version);
  return ok({ changed: { ...final, version } });
}

/** Tries again while the registry moves under a change; after that the caller is told to come back. */
export async function settledAtLast<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await attempt();
    } catch (thrown) {
      if (!(thrown instanceof Fault && thrown.code === 'registry_unsettled') || tried === TRIES) throw thrown;
    }
  }
}

/** The ETag of an object: changes whenever the object does. */
export function etagOf(object: object): string {
  const hash = digest(plain(object));
  if (!hash.ok) throw new Fault('internal', `An object of the registry has no canonical form: ${hash.error}`);
  return `"${hash.value}"`;
}
