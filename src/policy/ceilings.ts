import { err, ok, type Result } from '../base/index.js';
import type { Subject, Wanted, WantedTool } from '../delegation/index.js';
import { MCP_TOOL_CALL, type McpToolCall, MOST_TOOLS } from '../protocol/index.js';
import { type Ceiling, type Tool, toolState } from '../registry/index.js';
import type { Parties, PolicyRefusal } from './types.js';

/** Uses of a low-tier tool in one token: what an agent gets when it names none, and the most that it may name. */
const DEFAULT_USES = 10;
const MAX_USES = 100;

export type Narrowed = Readonly<{
  scopes: readonly string[];
  details: readonly McpToolCall[] | undefined;
  localUses: boolean;
}>;

/** What of a delegation the ceilings look at. */
export type Wish = Readonly<{
  wanted: Pick<Wanted, 'tools' | 'scopes'>;
  subject: Pick<Subject, 'kind' | 'scopes' | 'details'>;
}>;

/** Person AND agent AND server AND request, for tool calls at one MCP server. */
export function narrow(wish: Wish, { client, server }: Parties): Result<Narrowed, PolicyRefusal> {
  const ceiling = client.allow.find(({ resource }) => resource === server.resource);
  if (ceiling === undefined) return err({ reason: 'target_not_allowed', term: 'agent' });
  const { wanted, subject } = wish;
  // Naming nothing asks for nothing: a token to connect and list with, good for no tool and without any scope.
  if (wanted.tools === undefined && wanted.scopes === undefined)
    return ok({ scopes: [], details: undefined, localUses: true });
  const wide = tooWide(wanted.scopes ?? [], { subject: subject.scopes, ceiling, server: server.scopes });
  if (wide) return err(wide);
  const allowed = server.tools.filter((tool) => isLeft(tool, server.resource, subject));
  const tools = wanted.tools ?? toolsOfScopes(wanted.scopes ?? [], ceiling, allowed);
  const granted = grantTools(tools, wish, { ceiling, tools: server.tools, isServer: 'resource' in client });
  if (!granted.ok) return granted;
  if (granted.value.length === 0) return err({ reason: 'nothing_granted', term: 'request' });
  const needed = new Set(granted.value.flatMap(({ tool }) => tool.scopes));
  const missing = tooWide([...needed], { subject: subject.scopes, ceiling, server: server.scopes });
  if (missing) return err(missing);
  const changed = shownOtherwise(granted.value);
  if (changed) return err(changed);
  return settleScope(wanted.scopes, needed, granted.value, server.resource);
}

/** Everything that a client may ask for anywhere: what it cannot ask for, it cannot pass on either. */
export const scopesOf = (client: Parties['client']): ReadonlySet<string> =>
  new Set([...client.allow.flatMap(({ scopes }) => scopes), ...('resource' in client ? client.scopes : [])]);

/** What the person left at the consent; whoever names only scopes gets no tool that they took away. */
const isLeft = ({ name }: Tool, resource: string, { kind, details }: Wish['subject']): boolean =>
  kind !== 'person' ||
  details?.some(({ identifier, locations }) => identifier === name && locations[0] === resource) !== false;

type Granted = Readonly<{ tool: Tool; wanted: WantedTool; uses: number }>;

/** Absent scope means what the named tools need, never what the server has; a wider one is refused, a narrower one too. */
function settleScope(
  asked: readonly string[] | undefined,
  needed: ReadonlySet<string>,
  granted: readonly Granted[],
  resource: string,
): Result<Narrowed, PolicyRefusal> {
  const short = asked && granted.find(({ tool }) => !tool.scopes.every((scope) => asked.includes(scope)));
  if (short) return err({ reason: 'scope_misses_tool', term: 'request', tool: short.tool.name });
  const beyond = (asked ?? []).filter((scope) => !needed.has(scope));
  if (beyond.length > 0) return err({ reason: 'scope_too_wide', term: 'request', scopes: beyond });
  return ok({
    scopes: [...needed],
    details: granted.map((one) => detail(one, resource)),
    localUses: !granted.some(({ tool: { tier } }) => isGrave(tier)),
  });
}

function grantTools(
  tools: readonly WantedTool[],
  { subject }: Wish,
  rules: Readonly<{ ceiling: Ceiling; tools: readonly Tool[]; isServer: boolean }>,
): Result<readonly Granted[], PolicyRefusal> {
  if (tools.length > MOST_TOOLS) return err({ reason: 'too_many_tools', term: 'request' });
  const granted: Granted[] = [];
  for (const wanted of tools) {
    const tool = rules.tools.find(({ name }) => name === wanted.name);
    if (tool === undefined) return err({ reason: 'tool_not_granted', term: 'server', tool: wanted.name });
    if (!permits(rules.ceiling, wanted.name))
      return err({ reason: 'tool_not_granted', term: 'agent', tool: wanted.name });
    const waiting = unreviewed(tool);
    if (waiting) return err(waiting);
    const inherited = withinSubject(wanted, { tool, ...rules }, subject);
    if (!inherited.ok) return inherited;
    const uses = usesOf(tool, wanted, tools.length, inherited.value);
    if (!uses.ok) return uses;
    granted.push({
      tool,
      wanted: { ...wanted, argumentsSha256: wanted.argumentsSha256 ?? inherited.value?.arguments_sha256 },
      uses: uses.value,
    });
  }
  return ok(granted);
}

/**
 * RFC 9396 section 6.1 with DESIGN 2: what a transaction was not given for cannot be asked for with it. The one exception
 * is the hop behind an MCP server: at servers that the transaction does not name, the server that it reached may go on
 * within its own ceiling and the transaction's scope, with tools of tier low.
 */
function withinSubject(
  wanted: WantedTool,
  { tool, ceiling: { resource }, isServer }: Readonly<{ tool: Tool; ceiling: Ceiling; isServer: boolean }>,
  { kind, details }: Wish['subject'],
): Result<McpToolCall | undefined, PolicyRefusal> {
  const isHop = kind === 'transaction' && !(details ?? []).some(({ locations }) => locations[0] === resource);
  // An agent that exchanges its own transaction token is no hop: it has no more than the person left it.
  const mayHop = tool.tier === 'low' && (isServer || details === undefined);
  if (isHop && !mayHop) return err({ reason: 'tool_not_granted', term: 'person', tool: wanted.name });
  if (isHop || details === undefined) return ok(undefined);
  const held = details.find(({ identifier, locations }) => identifier === wanted.name && locations[0] === resource);
  if (held === undefined) return err({ reason: 'tool_not_granted', term: 'person', tool: wanted.name });
  if (held.definition_sha256 !== undefined && held.definition_sha256 !== tool.reviewed)
    return err({ reason: 'tool_changed', term: 'tool', tool: wanted.name, seen: held.definition_sha256 });
  const digest = held.arguments_sha256;
  if (digest !== undefined && wanted.argumentsSha256 !== undefined && digest !== wanted.argumentsSha256) {
    return err({ reason: 'arguments_changed', term: 'person', tool: wanted.name });
  }
  return ok(held);
}

/** Authority is proportional to risk: medium and above one call, high and critical one call with exact arguments. */
function usesOf(
  { name, tier }: Tool,
  wanted: WantedTool,
  together: number,
  held: McpToolCall | undefined,
): Result<number, PolicyRefusal> {
  const cap = Math.min(tier === 'low' ? MAX_USES : 1, held?.max_uses ?? MAX_USES);
  if (tier !== 'low' && together > 1) return err({ reason: 'one_call_per_token', term: 'server', tool: name });
  const exact = wanted.argumentsSha256 ?? held?.arguments_sha256;
  if (isGrave(tier) && exact === undefined) {
    return err({ reason: 'arguments_required', term: 'server', tool: name });
  }
  if (wanted.maxUses !== undefined && wanted.maxUses > cap)
    return err({ reason: 'too_many_uses', term: 'server', tool: name });
  return ok(wanted.maxUses ?? Math.min(exact === undefined ? DEFAULT_USES : 1, cap));
}

const isGrave = (tier: Tool['tier']): boolean => tier === 'high' || tier === 'critical';

/** TL-01: what a person reviewed is what may be called. A tool that changed since waits until somebody has looked at it. */
function unreviewed(tool: Tool): PolicyRefusal | undefined {
  const state = toolState(tool);
  if (state === 'reviewed') return undefined;
  return { reason: state === 'draft' ? 'tool_not_reviewed' : 'tool_needs_review', term: 'tool', tool: tool.name };
}

/**
 * The agent was shown another definition than a person reviewed. Its word has the tool wait for a review, for everybody:
 * so it is asked last, when agent and person have all that a call of the tool needs.
 */
function shownOtherwise(granted: readonly Granted[]): PolicyRefusal | undefined {
  for (const { tool, wanted } of granted) {
    const seen = wanted.definitionSha256;
    if (seen !== undefined && seen !== tool.reviewed)
      return { reason: 'tool_changed', term: 'tool', tool: tool.name, seen };
  }
  return undefined;
}

/** A request by scope alone gets the low-tier tools that those scopes cover, named one by one in the token. */
function toolsOfScopes(scopes: readonly string[], ceiling: Ceiling, tools: readonly Tool[]): readonly WantedTool[] {
  return tools
    .filter(
      (tool) =>
        tool.tier === 'low' &&
        toolState(tool) === 'reviewed' &&
        permits(ceiling, tool.name) &&
        tool.scopes.every((scope) => scopes.includes(scope)),
    )
    .map(({ name }) => ({
      name,
      arguments: undefined,
      argumentsSha256: undefined,
      definitionSha256: undefined,
      maxUses: undefined,
    }));
}

const permits = ({ tools }: Ceiling, name: string): boolean => tools === '*' || tools.includes(name);

/** RFC 6749 section 3.3: the first term that does not give one of these scopes, or nothing. */
function tooWide(
  scopes: readonly string[],
  ceilings: Readonly<{ subject: readonly string[]; ceiling: Ceiling; server: readonly string[] }>,
): PolicyRefusal | undefined {
  const terms = [
    ['server', ceilings.server],
    ['agent', ceilings.ceiling.scopes],
    ['person', ceilings.subject],
  ] as const;
  for (const [term, allowed] of terms) {
    const beyond = scopes.filter((scope) => !allowed.includes(scope));
    if (beyond.length > 0) return { reason: 'scope_too_wide', term, scopes: beyond };
  }
  return undefined;
}

function detail({ tool, wanted, uses }: Granted, resource: string): McpToolCall {
  return {
    type: MCP_TOOL_CALL,
    locations: [resource],
    actions: ['tools/call'],
    identifier: tool.name,
    ...(wanted.argumentsSha256 === undefined ? {} : { arguments_sha256: wanted.argumentsSha256 }),
    ...(tool.reviewed === undefined ? {} : { definition_sha256: tool.reviewed }),
    max_uses: uses,
  };
}
