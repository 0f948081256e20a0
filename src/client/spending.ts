import type { Spend } from './caller.js';

/** Spends what a request brought, and says whether it was new and the registry is still the one it was checked against. */
export interface Spending {
  ask(
    question: Readonly<{
      requestId: string;
      registryVersion: number;
      spends: readonly Spend[];
      tokenHash: undefined;
      consume: undefined;
    }>,
  ): Promise<Readonly<{ registryVersion: number; replayed: boolean }>>;
}
