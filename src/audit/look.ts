import { atOnce, type Finding, type FindingStore, type SeenEntry, whenDue } from './findings.js';
import { latestUses, type RightUse } from './rights-used.js';
import { type MarkStore, twoWorkloads } from './workloads.js';

/** What is read of the log for the sake of the agents, in the same round. */
export interface AgentStore extends MarkStore {
  /** Counts a use that is later than what is known of the right. */
  noteUses(uses: readonly RightUse[]): Promise<void>;
}

type Store = FindingStore & AgentStore;

/** Whoever is in the tree up to the place of this consumer has been counted. */
export const DUE = 'findings-due';

/** One round over what is new in the tree: what is wrong in itself, what has been missing for too long, and how agents are used. */
export async function lookForFindings(store: Store, dueAfter: number): Promise<void> {
  await advance('findings', store, { kinds: ['outcome', 'session'], olderThan: 0 }, (entries) =>
    atOnce(entries, store),
  );
  const want = { kinds: ['exchange', 'introspection', 'decision'], olderThan: dueAfter };
  await advance(DUE, store, want, async (entries) => {
    await store.noteUses(latestUses(entries));
    return [...(await whenDue(dueAfter)(entries, store)), ...(await twoWorkloads(entries, store))];
  });
}

async function advance(
  consumer: string,
  store: FindingStore,
  want: Parameters<FindingStore['entries']>[1],
  look: (entries: readonly SeenEntry[]) => Promise<readonly Finding[]>,
): Promise<void> {
  for (;;) {
    const from = await store.position(consumer);
    const entries = await store.entries(from, want);
    if (entries.length === 0) return;
    const found = new Map((await look(entries)).map((finding) => [finding.id, finding]));
    const step = { from, to: from + entries.length, findings: [...found.values()] };
    if (!(await store.keep(consumer, step))) return;
  }
}
