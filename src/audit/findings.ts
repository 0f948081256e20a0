import { z } from 'zod';
import { type JsonObject, sha256 } from '../protocol/index.js';
import { permitFactsOf, type StoredPermit } from './outcome.js';
import type { LogRecord } from './record.js';

/** What can be wrong with a log that is whole. */
export const FindingKind = z.enum([
  'no_outcome',
  'used_without_outcome',
  'outcome_without_permit',
  'more_outcomes_than_uses',
  'sequence_gap',
  'session_without_summary',
  'unsequenced',
  'agent_on_two_workloads',
]);
export type FindingKind = z.infer<typeof FindingKind>;

/** Something that does not fit together. The id is the same whoever finds it, and whenever. */
export type Finding = Readonly<{
  id: string;
  kind: FindingKind;
  session: string | undefined;
  server: string | undefined;
  txn: string | undefined;
  tokenHash: string | undefined;
  facts: JsonObject;
}>;

/** An entry of the tree. `record` is read only of the kinds that were asked for. */
export type SeenEntry = Readonly<{
  index: number;
  kind: string | undefined;
  at: number;
  leafHash: string;
  session: string | undefined;
  txn: string | undefined;
  tokenHash: string | undefined;
  record: LogRecord | undefined;
}>;

export type UseCount = Readonly<{ tokenHash: string; tool: string; count: number }>;

/**
 * Whether outcomes of an MCP server are expected, and since when. What the registry says comes first; where it says nothing,
 * a server reports as soon as it has reported once.
 */
export type Expectation = Readonly<{ server: string }> &
  Readonly<
    | { since: number; because: 'registry_says_so' | 'server_has_reported' }
    | { since: undefined; because: 'registry_says_no' | 'never_reported' }
  >;

export interface Expectations {
  /** Of every MCP server that is registered or has reported. */
  expectations(): Promise<readonly Expectation[]>;
}

/** What looking for findings needs to know and to keep. */
export interface FindingStore extends Expectations {
  position(consumer: string): Promise<number>;
  /** Entries from this index on, in order and without a gap, as old as `olderThan` seconds at least. */
  entries(from: number, want: Readonly<{ kinds: readonly string[]; olderThan: number }>): Promise<readonly SeenEntry[]>;
  permits(tokenHashes: readonly string[]): Promise<readonly StoredPermit[]>;
  /** Those of these tokens for which there is an outcome. */
  reported(tokenHashes: readonly string[]): Promise<ReadonlySet<string>>;
  uses(tokenHashes: readonly string[]): Promise<readonly UseCount[]>;
  /** The uses of these transactions' tokens that Writ itself counted, as old as `olderThan` seconds at least. */
  counted(txns: readonly string[], olderThan: number): Promise<readonly UseCount[]>;
  /** Keeps findings and moves on, in one statement; false when another process did so before. */
  keep(consumer: string, step: Readonly<{ from: number; to: number; findings: readonly Finding[] }>): Promise<boolean>;
}

export type Look = (entries: readonly SeenEntry[], store: FindingStore) => Promise<readonly Finding[]>;

/** What is wrong in itself. */
export const atOnce: Look = async (entries, store) => {
  const tokens = entries.flatMap(({ record }) => (isReport(record) ? [tokenOf(record)] : []));
  const excess = tokens.length === 0 ? [] : await tooMany([...new Set(tokens)], store);
  return [...entries.flatMap(strayOrGap), ...excess];
};

const isReport = (record: LogRecord | undefined): record is LogRecord =>
  record?.kind === 'outcome' && record.outcome.decision === 'done';

const tokenOf = ({ facts }: LogRecord): string => textOf(facts['token']) ?? '';
const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

function strayOrGap({ record, leafHash, session }: SeenEntry): readonly Finding[] {
  if (record?.kind === 'outcome' && record.outcome.decision === 'refuse') {
    const { server, outcome, reported_at } = record.facts;
    const facts = {
      why: record.outcome.reason,
      leaf: leafHash,
      outcome: outcome ?? null,
      reported_at: reported_at ?? null,
    };
    return [finding('outcome_without_permit', leafHash, { server: textOf(server), tokenHash: tokenOf(record), facts })];
  }
  const missing = record?.kind === 'session' ? record.facts['missing'] : undefined;
  if (!Array.isArray(missing) || session === undefined) return [];
  return [finding('sequence_gap', session, { session, facts: { missing, summary: leafHash } })];
}

async function tooMany(tokens: readonly string[], store: FindingStore): Promise<readonly Finding[]> {
  const permits = new Map((await store.permits(tokens)).map((permit) => [permit.tokenHash, permit]));
  return (await store.uses(tokens)).flatMap(({ tokenHash, tool, count }) => {
    const permit = permits.get(tokenHash);
    const allowed = permit?.tools?.find(({ name }) => name === tool)?.max_uses;
    if (permit === undefined || allowed === undefined || count <= allowed) return [];
    const facts = { tool, max_uses: allowed, outcomes: count, permit: permit.leafHash };
    return [finding('more_outcomes_than_uses', `${tokenHash} ${tool}`, { ...about(permit), facts })];
  });
}

/** What has been missing for too long. */
export const whenDue =
  (dueAfter: number): Look =>
  async (entries, store) => {
    const uses = entries.filter(({ record }) => record?.kind === 'introspection' && record.outcome.reason === 'used');
    const used = uses.flatMap(({ record }) => (record === undefined ? [] : [{ record, tokenHash: tokenOf(record) }]));
    const minted = entries.flatMap(permitOf);
    const tokens = [...new Set([...minted, ...used].map(({ tokenHash }) => tokenHash))];
    if (tokens.length === 0) return [];
    const expected = new Map((await store.expectations()).map((one) => [one.server, one]));
    const reported = await store.reported(tokens);
    const permits = new Map((await store.permits(used.map((use) => use.tokenHash))).map((one) => [one.tokenHash, one]));
    const unreported = await shortOf([...permits.values()], store, dueAfter);
    const missing = ({ target }: StoredPermit, at: number): Because | undefined => {
      if (target.kind !== 'server') return undefined;
      const { since = Infinity, because = 'never_reported' } = expected.get(target.resource) ?? {};
      return at >= since ? { expected_because: because } : undefined;
    };
    return [
      ...minted.flatMap((permit) => {
        const because = reported.has(permit.tokenHash) ? undefined : missing(permit, permit.at);
        if (because === undefined) return [];
        const facts = { ...because, permit: permit.leafHash, tools: (permit.tools ?? []).map(({ name }) => name) };
        return [finding('no_outcome', permit.tokenHash, { ...about(permit), facts })];
      }),
      ...used.flatMap(({ record, tokenHash }) => {
        const permit = permits.get(tokenHash);
        const because = permit && missing(permit, record.at);
        const tool = textOf(record.facts['tool']) ?? '';
        const counts = unreported.get(`${tokenHash} ${tool}`);
        if (permit === undefined || because === undefined || counts === undefined) return [];
        const facts = { ...because, permit: permit.leafHash, tool, ...counts };
        return [finding('used_without_outcome', `${tokenHash} ${tool}`, { ...about(permit), facts })];
      }),
    ];
  };

/** Of which tools of which tokens more uses were counted than outcomes came. */
async function shortOf(
  permits: readonly StoredPermit[],
  store: FindingStore,
  dueAfter: number,
): Promise<ReadonlyMap<string, Readonly<{ uses: number; outcomes: number }>>> {
  if (permits.length === 0) return new Map();
  const counted = await store.counted([...new Set(permits.map(({ txn }) => txn))], dueAfter);
  const came = await store.uses(permits.map(({ tokenHash }) => tokenHash));
  const outcomes = new Map(came.map(({ tokenHash, tool, count }) => [`${tokenHash} ${tool}`, count]));
  return new Map(
    counted
      .map(({ tokenHash, tool, count }): [string, { uses: number; outcomes: number }] => {
        const key = `${tokenHash} ${tool}`;
        return [key, { uses: count, outcomes: outcomes.get(key) ?? 0 }];
      })
      .filter(([, counts]) => counts.outcomes < counts.uses),
  );
}

type Because = Readonly<{ expected_because: Expectation['because'] }>;

function permitOf({
  record,
  tokenHash,
  txn,
  session,
  leafHash,
  at,
}: SeenEntry): readonly (StoredPermit & { at: number })[] {
  const facts = record && permitFactsOf(record);
  if (facts === undefined || tokenHash === undefined || txn === undefined || session === undefined) return [];
  return [{ ...facts, tokenHash, txn, session, leafHash, at }];
}

const about = ({
  session,
  txn,
  tokenHash,
  target,
}: StoredPermit): Pick<Finding, 'session' | 'server' | 'txn' | 'tokenHash'> => ({
  ...{ session, txn, tokenHash },
  server: target.kind === 'server' ? target.resource : undefined,
});

/** `key` is what it is about, so that it is found once. */
export function finding(
  kind: FindingKind,
  key: string,
  more: Partial<Omit<Finding, 'id' | 'kind'>> & Pick<Finding, 'facts'>,
): Finding {
  const none = { session: undefined, server: undefined, txn: undefined, tokenHash: undefined };
  return { ...none, ...more, id: `fnd_${sha256(`${kind} ${key}`).slice(0, 22)}`, kind };
}
