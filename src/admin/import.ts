import { err, ok, type Result } from '../base/index.js';
import { fieldProblem, plainProblem, type Problem } from '../http/index.js';
import {
  findingsIn,
  importTools,
  McpServer,
  type ImportedTool,
  toolState,
  type ToolsReader,
} from '../registry/index.js';
import { type ChangeDeps, makeChange } from './change.js';
import { type Contents, contentsOf } from './contents.js';
import { type Operation, operation } from './operation.js';
import { NOTHING } from './plan.js';
import { DryRun, instant } from './shapes.js';
import { EXAMPLE_IMPORT, ImportBody, Imported, OF_SERVER } from './tool-shapes.js';
import { noServer, problemOf, valueOf } from './tools.js';

export type ImportDeps = ChangeDeps & Readonly<{ readTools: ToolsReader }>;

/** `POST /admin/v1/servers/{resource}/import`: asks the live server for its tools, and proposes; a person confirms. */
export const importOperation = (deps: ImportDeps): Operation =>
  operation({
    id: 'importTools',
    method: 'POST',
    path: '/admin/v1/servers/:id/import',
    params: OF_SERVER,
    about: 'Reads the tools of the live server: new ones become drafts, changed ones wait for a review.',
    query: DryRun,
    body: ImportBody,
    bodyExample: { scopes: ['files:read'] },
    answers: [{ status: 200, about: 'What was found, tool by tool.', schema: Imported, example: EXAMPLE_IMPORT }],
    problems: ['not_found', 'server_unreadable'],
    run: async ({ params: { id = '' }, query, body }) => {
      if (!contentsOf(await deps.registry.refresh()).server.has(id)) return err(noServer(id));
      // The registry waits for no other server, so it is read before it is this change's turn.
      const read = await deps.readTools({ resource: id, token: body?.token });
      if (!read.ok) return err(plainProblem('server_unreadable', `${read.error.code}: ${read.error.sentence}`));
      const asked = { listed: read.value.tools, scopes: body?.scopes, seenAt: instant(deps.clock.now()) };
      const dryRun = query.dry_run === 'true';
      let tools: readonly ImportedTool[] = [];
      const work = (before: Contents): Result<McpServer, Problem> => {
        const server = before.server.get(id);
        if (server === undefined) return err(noServer(id));
        const imported = importTools(server, asked);
        ({ tools } = imported);
        return checked(imported.server);
      };
      const changed = await makeChange(
        {
          object: (before) => problemOf(work(before)),
          wish: (before) => ({ ...NOTHING, server: valueOf(work(before)) }),
          refuse: (flaws) => fieldProblem(flaws.map(({ path, message }) => ({ param: path, detail: message }))),
          dryRun,
        },
        deps,
      );
      if (!changed.ok) return changed;
      const { version, effect } = changed.value;
      const { revision } = read.value;
      return ok({ status: 200, body: { dry_run: dryRun, version, revision, tools: tools.map(viewOf), effect } });
    },
  });

/** Scopes that the server does not have, or more tools than one may have. */
function checked(server: McpServer): Result<McpServer, Problem> {
  const parsed = McpServer.safeParse(server);
  if (parsed.success) return ok(server);
  return err(
    fieldProblem(parsed.error.issues.map(({ path, message }) => ({ param: path.join('.'), detail: message }))),
  );
}

const viewOf = ({ name, result, tool, why }: ImportedTool): (typeof Imported)['_output']['tools'][number] => {
  const definition = tool?.changed?.definition ?? tool?.definition;
  return {
    name,
    result,
    state: tool === undefined ? null : toolState(tool),
    why: [...why],
    findings: definition === undefined || result === 'unchanged' ? [] : [...findingsIn(definition)],
  };
};
