import { z } from 'zod';
import {
  ActionClass,
  ClientId,
  DataClass,
  Digest,
  ScopeToken,
  Text,
  Tier,
  ToolDefinition,
  ToolName,
} from '../protocol/index.js';
import { DefinitionChange, Finding, IMPORT_RESULTS, Tool } from '../registry/index.js';
import { SENT_SERVER } from './examples.js';
import { ChangeEffect } from './foresight.js';
import { Paging } from './shapes.js';

const State = z.enum(['reviewed', 'draft', 'needs_review']);

export const ToolPaging = Paging.extend({ state: State.optional().describe('Only tools in this state.') });

/** A tool as lists show it. */
export const ToolSummary = z.strictObject({
  name: ToolName,
  state: State,
  tier: Tier,
  action: ActionClass.nullable(),
  data: DataClass.nullable(),
  scopes: z.array(ScopeToken),
  reviewed: Digest.nullable(),
  pending: Digest.nullable().describe('The definition that waits for a review.'),
});
export type ToolSummary = z.infer<typeof ToolSummary>;

const Pending = z.strictObject({
  definition_sha256: Digest.describe('What a review has to name.'),
  definition: ToolDefinition.nullable().describe('Null where only its hash was reported: import the tools to see it.'),
  seen_by: z.enum(['import', 'verifier', 'agent']).nullable().describe('Null for a draft.'),
  by: ClientId.nullable().describe('The agent or MCP server that reported it.'),
  seen_at: z.iso.datetime().nullable(),
});

/** A tool with everything that a person needs to review it. */
export const ToolView = z.strictObject({
  state: State,
  tool: Tool,
  pending: Pending.nullable().describe('What waits for a review.'),
  difference: z.array(DefinitionChange).describe('How that differs from the reviewed definition.'),
  findings: z.array(Finding).describe('What to look at twice: hidden, look-alike and instruction-like text.'),
});
export type ToolView = z.infer<typeof ToolView>;

/** A tool as a change of it is answered. */
export const ChangedTool = ToolView.extend({ effect: ChangeEffect.optional() });
export type ChangedTool = z.infer<typeof ChangedTool>;

/** What a person says of a tool after looking at it; what is left out stays as it is. */
export const ReviewBody = z.strictObject({
  definition_sha256: Digest.describe('`pending.definition_sha256` of the definition that was looked at.'),
  action: ActionClass.optional(),
  data: DataClass.optional(),
  tier: Tier.optional(),
  scopes: z.array(ScopeToken).min(1).max(32).optional(),
  sensitive: z.array(Text.min(1).max(128)).max(64).optional(),
  sentence: Text.min(1).max(256).nullable().optional().describe('Null removes it.'),
});
export type ReviewBody = z.infer<typeof ReviewBody>;

/** A report that somebody has looked into and found wrong. */
export const DismissBody = z.strictObject({
  definition_sha256: Digest.describe('`pending.definition_sha256` of the report.'),
});
export type DismissBody = z.infer<typeof DismissBody>;

export const ImportBody = z
  .strictObject({
    token: z
      .string()
      .regex(/^[\x21-\x7e]{1,8192}$/, { error: 'must be a bearer token' })
      .optional()
      .describe('Sent to the server for this one reading, and kept nowhere.'),
    scopes: z.array(ScopeToken).min(1).max(32).optional().describe('Scopes of the tools that are new.'),
  })
  .optional();

export const Imported = z.strictObject({
  dry_run: z.boolean(),
  version: z.number().int().describe('The version of the registry; the same as before when nothing changed.'),
  revision: z.string().describe('The protocol revision that the server speaks.'),
  tools: z.array(
    z.strictObject({
      name: z.string(),
      result: z.enum(IMPORT_RESULTS),
      state: State.nullable().describe('Null for a tool that is not registered.'),
      why: z.array(z.string()),
      findings: z.array(Finding),
    }),
  ),
  effect: ChangeEffect.optional(),
});

const PIN = 'BTSmC-twTnLfoJ9oFzjo8a5Gqncx0nl6D94pDuaLBZo';
const DEFINITION = {
  name: 'read_file',
  description: 'Reads a file.',
  inputSchema: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] },
  annotations: { readOnlyHint: true },
};
const CHANGED = { ...DEFINITION, description: 'Reads one file.' };
const CHANGED_PIN = '2-KCC0cTnLfoJ9oFzjo8a5Gqncx0nl6D94pDuaLBZo4';

export const EXAMPLE_SUMMARY: ToolSummary = {
  name: 'read_file',
  state: 'needs_review',
  tier: 'low',
  action: 'read',
  data: 'internal',
  scopes: ['files:read'],
  reviewed: PIN,
  pending: CHANGED_PIN,
};

export const EXAMPLE_TOOL: ToolView = {
  state: 'needs_review',
  tool: {
    name: 'read_file',
    scopes: ['files:read'],
    tier: 'low',
    action: 'read',
    data: 'internal',
    sensitive: [],
    sentence: 'Read the file {path}',
    definition: DEFINITION,
    reviewed: PIN,
    changed: { sha256: CHANGED_PIN, definition: CHANGED, seen_by: 'import', seen_at: '2026-11-22T12:00:00Z' },
  },
  pending: {
    definition_sha256: CHANGED_PIN,
    definition: CHANGED,
    seen_by: 'import',
    by: null,
    seen_at: '2026-11-22T12:00:00Z',
  },
  difference: [
    {
      path: 'description',
      change: 'changed',
      before: 'Reads a file.',
      after: 'Reads one file.',
      words: [
        { kind: 'same', text: 'Reads ' },
        { kind: 'removed', text: 'a' },
        { kind: 'added', text: 'one' },
        { kind: 'same', text: ' file.' },
      ],
    },
  ],
  findings: [],
};

export const EXAMPLE_DISMISS: DismissBody = { definition_sha256: CHANGED_PIN };

export const EXAMPLE_REVIEW: ReviewBody = {
  definition_sha256: CHANGED_PIN,
  action: 'read',
  data: 'internal',
  tier: 'low',
  sentence: 'Read the file {path}',
  sensitive: [],
};

export const EXAMPLE_IMPORT = {
  dry_run: false,
  version: 8,
  revision: '2026-07-28',
  tools: [
    { name: 'read_file', result: 'unchanged', state: 'reviewed', why: [], findings: [] },
    {
      name: 'delete_file',
      result: 'new',
      state: 'draft',
      why: ['action delete: destructiveHint is missing', 'tier high: what it does may not be undone'],
      findings: [],
    },
  ],
} as const;

export const OF_SERVER = {
  id: `The resource of the MCP server, percent-encoded, such as ${encodeURIComponent(SENT_SERVER.resource)}.`,
};
