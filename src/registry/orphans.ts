import { Fault } from '../base/index.js';
import { Agent } from './agent.js';
import { type AccountablePeople, personIdIn } from './people.js';
import type { RegistryChange, RegistryReader, RegistryWriter } from './ports.js';

/** OWASP NHI1: the active agents whose owner is a person who is gone. One from before people were asked for is not among them. */
export async function orphansAmong(
  agents: Iterable<Agent>,
  people: Pick<AccountablePeople, 'statuses'>,
): Promise<readonly Agent[]> {
  const owned = [...agents].flatMap((agent) => {
    const owner = agent.status === 'active' ? personIdIn(agent.owner) : undefined;
    return owner === undefined ? [] : [{ agent, owner }];
  });
  if (owned.length === 0) return [];
  const statuses = await people.statuses([...new Set(owned.map(({ owner }) => owner))]);
  return owned.filter(({ owner }) => statuses.get(owner) !== 'active').map(({ agent }) => agent);
}

type Stopping = Readonly<{ registry: RegistryReader; writer: RegistryWriter; people: AccountablePeople }>;

/**
 * Stops the agents that nobody answers for. Every replica may do it at any time: the version that was looked at is the
 * one that is changed, and whoever comes second looks again and finds nothing to do.
 */
export async function stopOrphans(deps: Stopping, by: string): Promise<readonly string[]> {
  for (let tried = 1; ; tried++) {
    try {
      return await tryToStop(deps, by);
    } catch (thrown) {
      if (!isFault(thrown, 'registry_unsettled') || tried === TRIES) throw thrown;
    }
  }
}

const TRIES = 5;

async function tryToStop({ registry, writer, people }: Stopping, by: string): Promise<readonly string[]> {
  const { agents, version } = await registry.refresh();
  const orphans = await orphansAmong(agents, people);
  if (orphans.length === 0) return [];
  try {
    await writer.write(orphans.map(stopped), by, version);
  } catch (thrown) {
    if (isPassing(thrown) || orphans.length === 1) throw thrown;
    await oneByOne(orphans, { writer, by, version });
  }
  return orphans.map(({ client_id: id }) => id);
}

/** One that cannot be written stops none of the others; it is told of at the end, and tried again by whoever comes next. */
async function oneByOne(
  orphans: readonly Agent[],
  { writer, by, version: first }: Readonly<{ writer: RegistryWriter; by: string; version: number }>,
): Promise<void> {
  const failed: unknown[] = [];
  let version = first;
  for (const orphan of orphans) {
    try {
      version = await writer.write([stopped(orphan)], by, version);
    } catch (thrown) {
      if (isPassing(thrown)) throw thrown;
      failed.push(thrown);
    }
  }
  if (failed.length > 0)
    throw new Fault('internal', 'an agent that nobody answers for cannot be stopped', { cause: failed[0] });
}

const isFault = (thrown: unknown, code: Fault['code']): boolean => thrown instanceof Fault && thrown.code === code;
const isPassing = (thrown: unknown): boolean =>
  isFault(thrown, 'registry_unsettled') || isFault(thrown, 'database_unavailable');

/** As it is written: without what only the database knows. */
function stopped(agent: Agent): RegistryChange {
  return { kind: 'agent', object: { ...Agent.strip().parse(agent), status: 'disabled' } };
}
