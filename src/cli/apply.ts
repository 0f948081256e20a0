import { z } from 'zod';
import { parseYaml } from '../config/index.js';
import type { AdminApi } from './api.js';
import { effectLines } from './effect.js';
import { Failure, type Io } from './io.js';

export type ApplyOptions = Readonly<{ file: string; dryRun?: boolean; prune?: boolean; json?: boolean }>;

/** `writ apply`: makes the registry as a file has it and prints what that changed, or would. */
export async function apply(
  { file, dryRun = false, prune = false, json = false }: ApplyOptions,
  api: AdminApi,
  io: Io,
): Promise<void> {
  const document = readDocument(await readInput(file, io), file);
  const answer = await api.send('POST', `/apply?dry_run=${String(dryRun)}`, {
    ...document,
    ...(prune ? { prune } : {}),
  });
  io.out(
    json
      ? JSON.stringify(answer, null, 2)
      : [describeApplied(Applied.parse(answer)), ...effectLines(answer)].join('\n'),
  );
}

const LISTS = ['agents', 'servers', 'issuers'] as const;
type Document = Partial<Record<(typeof LISTS)[number], unknown[]>>;

/** The text of a file, or of standard input when its name is `-`. */
export async function readInput(file: string, io: Io): Promise<string> {
  if (file === '-') return io.readStdin();
  const text = io.readFile(file);
  if (text === undefined) throw new Failure(2, `there is no file ${file}`);
  return text;
}

/** One document or several, joined list by list. */
function readDocument(text: string, file: string): Document {
  const documents = parseYaml(text);
  if (!documents.ok) throw new Failure(2, `${file}: ${documents.error}`);
  if (documents.value.length === 0) throw new Failure(2, `${file} is empty`);
  const joined: Document = {};
  for (const document of documents.value) {
    for (const [name, list] of Object.entries(document)) {
      const known = LISTS.find((candidate) => candidate === name);
      if (known === undefined) throw new Failure(2, `${file}: ${name} is not one of agents, servers and issuers`);
      if (!Array.isArray(list)) throw new Failure(2, `${file}: ${name} must be a list`);
      joined[known] = [...(joined[known] ?? []), ...z.array(z.unknown()).parse(list)];
    }
  }
  return joined;
}

const FieldChange = z.object({ field: z.string(), before: z.unknown().optional(), after: z.unknown().optional() });
const Applied = z.object({
  dry_run: z.boolean(),
  version: z.number(),
  changes: z.array(
    z.object({
      kind: z.string(),
      id: z.string(),
      change: z.enum(['created', 'changed', 'unchanged', 'removed']),
      fields: z.array(FieldChange),
    }),
  ),
});
type Applied = z.infer<typeof Applied>;
export type FieldChange = z.infer<typeof FieldChange>;

const MARKS = { created: '+', changed: '~', removed: '-', unchanged: ' ' } as const;

function describeApplied({ dry_run, version, changes }: Applied): string {
  const lines = changes
    .filter(({ change }) => change !== 'unchanged')
    .flatMap(({ kind, id, change, fields }) => [`${MARKS[change]} ${kind} ${id}`, ...fields.map(describeField)]);
  const counts = (['created', 'changed', 'removed', 'unchanged'] as const)
    .map((change) => ({ change, count: changes.filter((each) => each.change === change).length }))
    .filter(({ count }) => count > 0)
    .map(({ change, count }) => `${count} ${change}`);
  const summary = counts.length === 0 ? 'nothing named' : counts.join(', ');
  const isQuiet = lines.length === 0;
  const ending = dry_run ? (isQuiet ? 'Nothing would change' : 'Would be') : isQuiet ? 'Nothing changed' : 'Applied';
  return [...lines, `${ending}: ${summary} (registry version ${version})`].join('\n');
}

export function describeField(change: FieldChange): string {
  const [before, after] = [JSON.stringify(change.before), JSON.stringify(change.after)];
  if (!('before' in change)) return `    + ${change.field}: ${after}`;
  if (!('after' in change)) return `    - ${change.field}: ${before}`;
  return `    ${change.field}: ${before} -> ${after}`;
}
