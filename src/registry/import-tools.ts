import {
  definitionDigest,
  definitionOf,
  type JsonObject,
  listedPin,
  sha256,
  type ToolDefinition,
} from '../protocol/index.js';
import { type Proposal, proposeTool } from './propose.js';
import { withoutReport } from './report.js';
import type { McpServer } from './server.js';
import { Tool, toolState } from './tool.js';

/** What an import found out about one tool. */
export const IMPORT_RESULTS = [
  'new',
  'unchanged',
  'draft_changed',
  'changed',
  'still_changed',
  'as_reviewed',
  'unreadable',
  'vanished',
] as const;
export type ImportResult = (typeof IMPORT_RESULTS)[number];
export type ImportedTool = Readonly<{
  name: string;
  result: ImportResult;
  /** The tool as it stands after this import; absent when it is not registered. */
  tool: Tool | undefined;
  why: readonly string[];
}>;

export type Import = Readonly<{
  listed: readonly JsonObject[];
  scopes: readonly string[] | undefined;
  seenAt: string;
}>;

/**
 * The server with what its own `tools/list` says. Unknown tools become drafts, a known one whose definition differs from
 * the reviewed one waits for a review, and one that is as it was reviewed no longer does, whoever had said otherwise.
 * What is not listed any more stays registered: that it is gone is for a person to say.
 */
export function importTools(
  server: McpServer,
  { listed, scopes, seenAt }: Import,
): Readonly<{ server: McpServer; tools: readonly ImportedTool[] }> {
  const names = listed.map(({ name }) => name);
  const found = listed
    .filter(({ name }, i) => names.indexOf(name) === i)
    .map((entry): ImportedTool => {
      const isTwice = names.filter((name) => name === entry['name']).length > 1;
      const known = server.tools.find(({ name }) => name === entry['name']);
      const definition = isTwice ? undefined : definitionOf(entry);
      if (definition === undefined) return unreadable(entry, known, { isTwice, seenAt });
      if (known !== undefined) return seenAgain(known, definition, { pin: listedPin(entry) ?? '', seenAt });
      return proposed(proposeTool(definition, { scopes: server.scopes, given: scopes }));
    });
  const gone = server.tools.filter(({ name }) => !names.includes(name));
  const after = new Map(found.flatMap(({ tool }) => (tool === undefined ? [] : [[tool.name, tool] as const])));
  const added = [...after.values()].filter(({ name }) => !server.tools.some((tool) => tool.name === name));
  return {
    server: { ...server, tools: [...server.tools.map((tool) => after.get(tool.name) ?? tool), ...added] },
    tools: [
      ...found,
      ...gone.map((tool): ImportedTool => ({
        name: tool.name,
        result: 'vanished',
        tool,
        why: ['the server lists it no more'],
      })),
    ],
  };
}

const proposed = ({ tool, why }: Proposal): ImportedTool => ({ name: tool.name, result: 'new', tool, why });

function pinOf(definition: ToolDefinition): string | undefined {
  const pin = definitionDigest(definition);
  return pin.ok ? pin.value : undefined;
}

type Seen = Readonly<{ pin: string; seenAt: string }>;

function seenAgain(known: Tool, definition: ToolDefinition, { pin, seenAt }: Seen): ImportedTool {
  const { name, changed } = known;
  if (toolState(known) === 'draft') return draftAgain(known, definition, pin);
  if (pin === known.reviewed) {
    const tool = settled(known, definition);
    return changed === undefined
      ? { name, result: 'unchanged', tool, why: [] }
      : {
          name,
          result: 'as_reviewed',
          tool,
          why: [`it is as it was reviewed, and not what ${changed.by ?? changed.seen_by} reported`],
        };
  }
  if (pin === changed?.sha256 && changed.definition !== undefined)
    return { name, result: 'still_changed', tool: known, why: ['it waits for a review'] };
  const tool: Tool = { ...known, changed: { sha256: pin, definition, seen_by: 'import', seen_at: seenAt } };
  return { name, result: 'changed', tool, why: ['its definition differs from the reviewed one'] };
}

/** Nobody has reviewed it, so nothing is lost; what a person wrote about it stays as far as it fits. */
function draftAgain(known: Tool, definition: ToolDefinition, pin: string): ImportedTool {
  const { name } = known;
  if (known.definition !== undefined && pinOf(known.definition) === pin)
    return { name, result: 'unchanged', tool: known, why: [] };
  const kept = { ...known, definition };
  delete kept.changed;
  if (Tool.safeParse(kept).success) return { name, result: 'draft_changed', tool: kept, why: [] };
  delete kept.sentence;
  return {
    name,
    result: 'draft_changed',
    tool: kept,
    why: ['its sentence named an argument that is gone, and was removed'],
  };
}

/**
 * An agent that had reported something else was wrong, or was lied to: it cannot stop this tool a second time. The server
 * itself may be of several minds, and is heard again.
 */
function settled({ changed, ...known }: Tool, definition: ToolDefinition): Tool {
  const tool: Tool = { ...known, definition };
  return changed?.seen_by === 'agent' ? withoutReport({ ...tool, changed }) : tool;
}

/** What cannot be registered cannot be reviewed either: a tool that was reviewed and became so cannot be called. */
function unreadable(
  entry: JsonObject,
  known: Tool | undefined,
  { isTwice, seenAt }: Readonly<{ isTwice: boolean; seenAt: string }>,
): ImportedTool {
  const name = typeof entry['name'] === 'string' ? entry['name'].slice(0, 128) : '';
  const why = [isTwice ? 'the server lists it twice' : 'the server describes it in a way that cannot be registered'];
  const pin =
    (isTwice ? undefined : listedPin(entry)) ??
    sha256(`${name} ${String(isTwice)} ${JSON.stringify(Object.keys(entry))}`);
  if (known === undefined || toolState(known) === 'draft') return { name, result: 'unreadable', tool: known, why };
  if (known.changed?.sha256 === pin) return { name, result: 'unreadable', tool: known, why };
  return {
    name,
    result: 'unreadable',
    tool: { ...known, changed: { sha256: pin, seen_by: 'import', seen_at: seenAt } },
    why,
  };
}
