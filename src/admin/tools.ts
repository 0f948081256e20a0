import { err, ok, type Result } from '../base/index.js';
import { fieldProblem, plainProblem, type Problem } from '../http/index.js';
import { definitionDigest, type ToolDefinition } from '../protocol/index.js';
import {
  definitionDifference,
  findingsIn,
  McpServer,
  Tool,
  toolState,
  withoutReport,
  withReview,
} from '../registry/index.js';
import { type ChangeDeps, makeChange } from './change.js';
import { type Contents, contentsOf } from './contents.js';
import { NoBody, NoQuery, type Operation, operation } from './operation.js';
import { NOTHING } from './plan.js';
import { DryRun, pageOf } from './shapes.js';
import {
  ChangedTool,
  DismissBody,
  EXAMPLE_DISMISS,
  EXAMPLE_REVIEW,
  EXAMPLE_SUMMARY,
  EXAMPLE_TOOL,
  OF_SERVER,
  ReviewBody,
  ToolPaging,
  ToolSummary,
  ToolView,
} from './tool-shapes.js';

const OF_TOOL = { ...OF_SERVER, name: 'The name of the tool.' };

/** The tools of one MCP server: what they are, what waits for a review, and the review itself. */
export const toolOperations = (deps: ChangeDeps): readonly Operation[] => [
  listTools(deps),
  getTool(deps),
  reviewTool(deps),
  dismissReport(deps),
];

const listTools = ({ registry }: ChangeDeps): Operation =>
  operation({
    id: 'listTools',
    method: 'GET',
    path: '/admin/v1/servers/:id/tools',
    params: OF_SERVER,
    about: 'Lists the tools of one MCP server in the order of names, those of one state when asked so.',
    query: ToolPaging,
    body: NoBody,
    answers: [
      { status: 200, about: 'A page.', schema: pageOf(ToolSummary), example: { items: [EXAMPLE_SUMMARY], next: null } },
    ],
    problems: ['not_found'],
    run: async ({ params: { id = '' }, query: { limit, after, state } }) => {
      const server = contentsOf(await registry.refresh()).server.get(id);
      if (server === undefined) return err(noServer(id));
      const left = server.tools
        .filter(
          (tool) => (state === undefined || toolState(tool) === state) && (after === undefined || tool.name > after),
        )
        .sort((one, other) => (one.name < other.name ? -1 : 1));
      const items = left.slice(0, limit);
      const last = left.length > items.length ? items.at(-1) : undefined;
      return ok({ status: 200, body: { items: items.map(summaryOf), next: last?.name ?? null } });
    },
  });

const getTool = ({ registry }: ChangeDeps): Operation =>
  operation({
    id: 'getTool',
    method: 'GET',
    path: '/admin/v1/servers/:id/tools/:name',
    params: OF_TOOL,
    about: 'Shows one tool, what waits for a review, how that differs, and what in it to look at twice.',
    query: NoQuery,
    body: NoBody,
    answers: [{ status: 200, about: 'The tool.', schema: ToolView, example: EXAMPLE_TOOL }],
    problems: ['not_found'],
    run: async ({ params: { id = '', name = '' } }) => {
      const found = find(contentsOf(await registry.refresh()), id, name);
      return found.ok ? ok({ status: 200, body: viewOf(found.value.tool) }) : found;
    },
  });

const reviewTool = (deps: ChangeDeps): Operation =>
  operation({
    id: 'reviewTool',
    method: 'POST',
    path: '/admin/v1/servers/:id/tools/:name/review',
    params: OF_TOOL,
    about: 'Confirms the definition that was looked at, with its classes: from then on the tool can be called so.',
    query: DryRun,
    body: ReviewBody,
    bodyExample: EXAMPLE_REVIEW,
    answers: [
      {
        status: 200,
        about: 'The tool as it is now.',
        schema: ChangedTool,
        example: { ...EXAMPLE_TOOL, state: 'reviewed', pending: null, difference: [] },
      },
    ],
    problems: ['not_found', 'conflict'],
    run: ({ params: { id = '', name = '' }, query, body }) =>
      change({ id, name, dryRun: query.dry_run === 'true' }, (before) => reviewed(before, { id, name, body }), deps),
  });

const dismissReport = (deps: ChangeDeps): Operation =>
  operation({
    id: 'dismissReport',
    method: 'POST',
    path: '/admin/v1/servers/:id/tools/:name/dismiss',
    params: OF_TOOL,
    about:
      'Says that what an agent or the MCP server reported of a tool is wrong: it can be called as it was reviewed, and who reported it is not heard again about it before its next review.',
    query: DryRun,
    body: DismissBody,
    bodyExample: EXAMPLE_DISMISS,
    answers: [
      {
        status: 200,
        about: 'The tool as it is now.',
        schema: ChangedTool,
        example: { ...EXAMPLE_TOOL, state: 'reviewed', pending: null, difference: [] },
      },
    ],
    problems: ['not_found', 'conflict'],
    run: ({ params: { id = '', name = '' }, query, body }) =>
      change({ id, name, dryRun: query.dry_run === 'true' }, (before) => dismissed(before, { id, name, body }), deps),
  });

type At = Readonly<{ id: string; name: string }>;

/** Changes one tool, and shows what it is then. */
async function change(
  { id, name, dryRun }: At & Readonly<{ dryRun: boolean }>,
  make: (before: Contents) => Result<McpServer, Problem>,
  deps: ChangeDeps,
): Promise<Result<Readonly<{ status: 200; body: ChangedTool }>, Problem>> {
  const changed = await makeChange(
    {
      object: (before) => problemOf(make(before)),
      wish: (before) => ({ ...NOTHING, server: valueOf(make(before)) }),
      refuse: (flaws) => fieldProblem(flaws.map(({ path, message }) => ({ param: path, detail: message }))),
      dryRun,
    },
    deps,
  );
  if (!changed.ok) return changed;
  const found = find(changed.value.after, id, name);
  const { effect } = changed.value;
  return found.ok ? ok({ status: 200, body: { ...viewOf(found.value.tool), effect } }) : found;
}

export const problemOf = <T>(result: Result<T, Problem>): Problem | undefined => (result.ok ? undefined : result.error);
export const valueOf = <T>(result: Result<T, Problem>): readonly T[] => (result.ok ? [result.value] : []);

export const noServer = (id: string): Problem =>
  plainProblem('not_found', `There is no MCP server ${id}; register it first`);

function find(contents: Contents, id: string, name: string): Result<{ server: McpServer; tool: Tool }, Problem> {
  const server = contents.server.get(id);
  if (server === undefined) return err(noServer(id));
  const tool = server.tools.find((candidate) => candidate.name === name);
  return tool === undefined ? err(plainProblem('not_found', `${id} has no tool ${name}`)) : ok({ server, tool });
}

type Review = At & Readonly<{ body: ReviewBody }>;

/** The server after the review, or why there is none: it must be of the definition that waits, and of no other. */
function reviewed(before: Contents, { id, name, body }: Review): Result<McpServer, Problem> {
  const found = find(before, id, name);
  if (!found.ok) return found;
  const { server, tool } = found.value;
  const waiting = waitingOf(tool);
  const { definition_sha256: seen, sentence } = body;
  if (seen !== waiting?.sha256)
    return err(
      plainProblem('conflict', `What waits for a review is ${waiting?.sha256 ?? 'nothing'}; look at it again`),
    );
  if (waiting.definition === undefined)
    return err(
      plainProblem('conflict', 'Only the hash of this definition is known; import the tools of the server to see it'),
    );
  const next: Tool = {
    ...tool,
    action: body.action ?? tool.action,
    data: body.data ?? tool.data,
    tier: body.tier ?? tool.tier,
    scopes: body.scopes ?? tool.scopes,
    sensitive: body.sensitive ?? tool.sensitive,
    sentence: sentence ?? tool.sentence,
  };
  if (sentence === null) delete next.sentence;
  const confirmed = withReview(next, waiting.definition);
  if (!confirmed.ok) return err(plainProblem('conflict', `The definition has no canonical form: ${confirmed.error}`));
  return checked(
    { ...server, tools: server.tools.map((each) => (each === tool ? confirmed.value : each)) },
    confirmed.value,
  );
}

/** What Writ has read at the server itself is no report: that is for a review. */
function dismissed(
  before: Contents,
  { id, name, body }: At & Readonly<{ body: DismissBody }>,
): Result<McpServer, Problem> {
  const found = find(before, id, name);
  if (!found.ok) return found;
  const { server, tool } = found.value;
  const { changed } = tool;
  if (changed?.sha256 !== body.definition_sha256)
    return err(
      plainProblem('conflict', `What waits for a review is ${changed?.sha256 ?? 'nothing'}; look at it again`),
    );
  if (changed.by === undefined)
    return err(
      plainProblem('conflict', 'Writ has read this definition at the server itself; only a review settles it'),
    );
  return ok({ ...server, tools: server.tools.map((each) => (each === tool ? withoutReport(tool) : each)) });
}

/** By the rules of a tool first, whose fields are those of the body, then by those of its server. */
function checked(server: McpServer, tool: Tool): Result<McpServer, Problem> {
  const wrong = [Tool.safeParse(tool), McpServer.safeParse(server)].find(({ success }) => !success);
  const issues = wrong?.error?.issues ?? [];
  if (issues.length === 0) return ok(server);
  const [first] = issues;
  const isMissing = first?.path[0] === 'reviewed' && (tool.action === undefined || tool.data === undefined);
  return err(
    isMissing
      ? fieldProblem([
          { param: tool.action === undefined ? 'action' : 'data', detail: 'is missing: a review has to say it' },
        ])
      : fieldProblem(issues.map(({ path, message }) => ({ param: path.join('.'), detail: message }))),
  );
}

type Waiting = Readonly<{ sha256: string; definition: ToolDefinition | undefined }>;

/** The definition that a review has to name; for a tool that is reviewed that is the one that it has. */
function waitingOf({ definition, changed }: Tool): Waiting | undefined {
  if (changed !== undefined) return { sha256: changed.sha256, definition: changed.definition };
  const pin = definition === undefined ? undefined : definitionDigest(definition);
  return pin?.ok === true ? { sha256: pin.value, definition } : undefined;
}

function summaryOf(tool: Tool): ToolSummary {
  const { name, tier, action = null, data = null, scopes, reviewed: pin = null } = tool;
  const state = toolState(tool);
  const pending = state === 'reviewed' ? null : (waitingOf(tool)?.sha256 ?? null);
  return { name, state, tier, action, data, scopes, reviewed: pin, pending };
}

/** A tool for a person who is about to review it. */
export function viewOf(tool: Tool): ToolView {
  const state = toolState(tool);
  const { changed, definition } = tool;
  const waiting = state === 'reviewed' ? undefined : waitingOf(tool);
  const latest = waiting?.definition ?? definition;
  return {
    state,
    tool,
    pending: waiting
      ? {
          definition_sha256: waiting.sha256,
          definition: waiting.definition ?? null,
          seen_by: changed?.seen_by ?? null,
          by: changed?.by ?? null,
          seen_at: changed?.seen_at ?? null,
        }
      : null,
    difference:
      changed?.definition && definition && tool.reviewed !== undefined
        ? [...definitionDifference(definition, changed.definition)]
        : [],
    findings: latest === undefined ? [] : [...findingsIn(latest)],
  };
}
