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

/**
 * Stops the agents that nobody answers for. Every replica may do it at any time: the version that was looked at is the
 * one that is changed, and whoever comes second finds nothing to do.
 */
export async function stopOrphans(
  {
    registry,
    writer,
    people,
  }: Readonly<{ registry: RegistryReader; writer: RegistryWriter; people: AccountablePeople }>,
  by: string,
): Promise<readonly string[]> {
  const { agents, version } = await registry.refresh();
  const orphans = await orphansAmong(agents, people);
  if (orphans.length === 0) return [];
  await writer.write(orphans.map(stopped), by, version);
  return orphans.map(({ client_id: id }) => id);
}

/** As it is written: without what only the database knows. */
function stopped(agent: Agent): RegistryChange {
  return { kind: 'agent', object: { ...Agent.strip().parse(agent), status: 'disabled' } };
}
