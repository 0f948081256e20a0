import { asClient, type AsClientDeps, type Spending } from '../client/index.js';
import {
  type Answer,
  definitionOf,
  Digest,
  type FormRequest,
  isObject,
  listedPin,
  parseStrict,
  ToolName,
  type ToolDefinition,
} from '../protocol/index.js';
import { type DriftDeps, markChanged } from './mark-changed.js';

export type ReportDeps = AsClientDeps & DriftDeps & Readonly<{ states: Spending }>;

const HEADERS = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;

/**
 * `POST /tools/v1/reports`: an MCP server says what a tool of its own is now (`tool`, and `definition` as JSON or
 * `definition_sha256`). The same report again changes nothing.
 */
export function reportsEndpoint(http: FormRequest, deps: ReportDeps): Promise<Answer> {
  return asClient(http, '/tools/v1/reports', deps, async ({ clientId, party, spends }, registry) => {
    const { requestId } = http;
    const question = { requestId, registryVersion: registry.version, spends, tokenHash: undefined, consume: undefined };
    const state = await deps.states.ask(question);
    if (state.registryVersion !== registry.version) return 'stale';
    if (state.replayed) return 'replayed';
    if (party.kind !== 'server') return refused('unauthorized_client', 'only an MCP server reports its tools');
    const report = readReport(http);
    if ('status' in report) return report;
    const { resource } = party.server;
    const result = await markChanged({ ...report, resource, seenBy: 'verifier', by: clientId }, deps);
    return { status: 200, headers: HEADERS, body: { tool: report.tool, result }, notes: { outcome: 'done' } };
  });
}

type Report = Readonly<{ tool: string; sha256: string; definition: ToolDefinition | undefined }>;

function readReport({ form }: FormRequest): Report | Answer {
  for (const [name, values] of form) if (values.length > 1) return malformed(`${name} must be sent once`);
  const one = (name: string): string | undefined => form.get(name)?.[0];
  const tool = ToolName.safeParse(one('tool'));
  if (!tool.success) return malformed('tool must be a tool name');
  const text = one('definition');
  if (text === undefined) {
    const sha256 = Digest.safeParse(one('definition_sha256'));
    return sha256.success
      ? { tool: tool.data, sha256: sha256.data, definition: undefined }
      : malformed('definition or definition_sha256 must be given');
  }
  const parsed = parseStrict(text);
  const sha256 = parsed.ok && isObject(parsed.value) ? listedPin(parsed.value) : undefined;
  if (!parsed.ok || !isObject(parsed.value) || sha256 === undefined || parsed.value['name'] !== tool.data)
    return malformed('definition must be that of the tool, as tools/list has it');
  return { tool: tool.data, sha256, definition: definitionOf(parsed.value) };
}

const malformed = (error_description: string): Answer => ({
  status: 400,
  headers: HEADERS,
  body: { error: 'invalid_request', error_description },
});

const refused = (error: string, error_description: string): Answer => ({
  status: 400,
  headers: HEADERS,
  body: { error, error_description },
});
