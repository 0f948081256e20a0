import { Fault } from './base/index.js';
import { compilePolicySet, type PolicyFile, type PolicyStore, policyTools } from './policy/index.js';
import type { RegistryReader } from './registry/index.js';

const BY = 'writ';

/**
 * A database without an active policy set gets this one, so that a new installation decides by something that was written
 * down. Whatever an administrator activated stays.
 */
export async function activateFirst(
  files: readonly PolicyFile[],
  { store, registry }: Readonly<{ store: PolicyStore; registry: RegistryReader }>,
): Promise<void> {
  for (let snapshot = registry.current(); snapshot.policies === undefined; snapshot = await registry.refresh()) {
    const set = compilePolicySet(files, policyTools(snapshot.servers));
    if (!set.ok) throw new Fault('configuration_invalid', sentence(set.error[0]));
    await store.stage({ hash: set.value.hash, files }, BY);
    // Of two replicas that start at once one activates it, and the other finds it active.
    await store.activate(set.value.hash, { by: BY, basis: snapshot.version });
  }
}

const sentence = (
  flaw: Readonly<{ path: string; line: number; column: number; problem: string }> | undefined,
): string =>
  flaw === undefined
    ? 'The policies (WRIT_POLICIES) are refused.'
    : `The policies (WRIT_POLICIES) are refused: ${flaw.path}:${flaw.line}:${flaw.column} ${flaw.problem}`;
