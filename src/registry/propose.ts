import type { ActionClass, Tier, ToolDefinition } from '../protocol/index.js';
import { argumentsOf, type Tool } from './tool.js';

/** Classes for a tool that nobody has looked at yet, and why these. */
export type Proposal = Readonly<{ tool: Tool; why: readonly string[] }>;

/**
 * A draft of a tool as its server describes it. Annotations are the server's own word (MC-14), so they only make a
 * proposal, a missing one counts as the careful side, and nothing is allowed before a person has confirmed it.
 */
export function proposeTool(
  definition: ToolDefinition,
  { scopes, given }: Readonly<{ scopes: readonly string[]; given: readonly string[] | undefined }>,
): Proposal {
  const [action, tier, ...reasons] = classOf(definition.annotations ?? {});
  const sensitive = argumentsOf(definition)
    .filter((name) => SENSITIVE.test(name))
    .slice(0, 64);
  const needed = given ?? scopesFor(action, scopes);
  return {
    tool: { name: definition.name, scopes: [...needed], tier, action, data: 'confidential', sensitive, definition },
    why: [
      ...reasons,
      'data confidential: no annotation speaks of data',
      given === undefined ? `scopes ${needed.join(' ')}: by their names` : `scopes ${needed.join(' ')}: as given`,
      ...(sensitive.length === 0 ? [] : [`sensitive ${sensitive.join(', ')}: by their names`]),
    ],
  };
}

const SENSITIVE =
  /pass(?:word|wd|phrase|code)|secret|token|credential|api[-_]?key|private[-_]?key|\bpin\b|card[-_]?number|cvv|iban/i;

type Classes = readonly [ActionClass, Tier, ...string[]];

function classOf(annotations: Readonly<Record<string, unknown>>): Classes {
  const [readOnly, destructive, open] = ['readOnlyHint', 'destructiveHint', 'openWorldHint'].map(
    (name) => annotations[name],
  );
  const reach = said('openWorldHint', open);
  if (readOnly === true && destructive !== true)
    return open === false
      ? ['read', 'low', 'action read: readOnlyHint is true', `tier low: ${reach}`]
      : [
          'read',
          'medium',
          'action read: readOnlyHint is true',
          `tier medium: ${reach}, so it may reach beyond its server`,
        ];
  if (destructive === false)
    return open === false
      ? [
          'write',
          'medium',
          `action write: ${said('readOnlyHint', readOnly)} and destructiveHint is false`,
          `tier medium: ${reach}`,
        ]
      : [
          'write',
          'high',
          `action write: ${said('readOnlyHint', readOnly)} and destructiveHint is false`,
          `tier high: ${reach}, so it may reach beyond its server`,
        ];
  return [
    'delete',
    'high',
    `action delete: ${said('destructiveHint', destructive)}`,
    'tier high: what it does may not be undone',
  ];
}

const said = (name: string, value: unknown): string =>
  `${name} is ${typeof value === 'boolean' ? String(value) : 'missing'}`;

/** For reading the scopes that are named so, for anything else the others; all of them where the names do not tell. */
function scopesFor(action: ActionClass, scopes: readonly string[]): readonly string[] {
  const isReading = (scope: string): boolean => /(?:^|[:._/-])(?:read|list|get|view|ro)$/i.test(scope);
  const fitting = scopes.filter((scope) => isReading(scope) === (action === 'read'));
  return (fitting.length > 0 ? fitting : scopes).slice(0, 32);
}
