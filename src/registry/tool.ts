import { z } from 'zod';
import { ok, type Result } from '../base/index.js';
import {
  ActionClass,
  Budgets,
  type CanonicalFlaw,
  ClientId,
  Currency,
  DataClass,
  definitionDigest,
  Digest,
  ScopeToken,
  Text,
  Tier,
  ToolDefinition,
  ToolName,
} from '../protocol/index.js';

/** The name of one argument of a tool: a member of `params.arguments`. */
const ArgumentName = Text.min(1).max(128);

/** A definition that differs from the reviewed one: what was seen, by whom, and when (milliseconds do not matter). */
const ChangedDefinition = z.strictObject({
  sha256: Digest,
  definition: ToolDefinition.optional().describe('Absent where only its hash was reported.'),
  seen_by: z.enum(['import', 'verifier', 'agent']),
  seen_at: z.iso.datetime(),
  by: ClientId.optional().describe('The agent or MCP server that reported it.'),
});

/** Which argument is money. `minor_units`: 2 where the number counts cents. */
const Money = z
  .strictObject({
    argument: ArgumentName,
    currency: Currency.optional(),
    currency_argument: ArgumentName.optional().describe('The argument that names the currency.'),
    minor_units: z.number().int().min(0).max(6).default(0),
  })
  .refine((money) => (money.currency === undefined) !== (money.currency_argument === undefined), {
    error: 'needs exactly one of currency and currency_argument',
  });

/**
 * A tool of an MCP server as an authorization object. Its key is the pair of server and name (MC-15), so a tool of the
 * same name elsewhere is another one. It can be called only while `toolState` is `reviewed`.
 */
export const Tool = z
  .strictObject({
    name: ToolName,
    scopes: z.array(ScopeToken).min(1).max(32).describe('All of these are needed to call it.'),
    tier: Tier.describe('How much harm one call can do.'),
    action: ActionClass.optional().describe('What a call does. Needed before the tool can be reviewed.'),
    data: DataClass.optional().describe('The data it touches. Needed before the tool can be reviewed.'),
    sensitive: z.array(ArgumentName).max(64).default([]).describe('Arguments that are kept nowhere and shown masked.'),
    money: Money.optional().describe('The argument that says how much a call spends: an exact decimal.'),
    budgets: Budgets.optional().describe('What everybody together, or each one, may spend on this tool.'),
    sentence: Text.min(1)
      .max(256)
      .optional()
      .describe(
        'What a call does, for people, with {argument} in place of values: "Delete repository {owner}/{repo}".',
      ),
    definition: ToolDefinition.optional().describe('As the server describes it in tools/list.'),
    reviewed: Digest.optional().describe('RFC 8785 SHA-256 of the definition that a person has reviewed.'),
    disbelieved: z
      .array(ClientId)
      .max(64)
      .optional()
      .describe('Clients that reported a change of this definition wrongly: not heard again before its next review.'),
    changed: ChangedDefinition.optional().describe('A different definition that waits for a review.'),
  })
  .refine(({ name, definition }) => definition === undefined || definition.name === name, {
    error: 'must be the name of the tool',
    path: ['definition', 'name'],
  })
  .refine(({ reviewed, action, data }) => reviewed === undefined || (action !== undefined && data !== undefined), {
    error: 'needs action and data: nobody can have reviewed a tool without them',
    path: ['reviewed'],
  })
  .refine(({ reviewed, definition }) => reviewed === undefined || pinFits(reviewed, definition), {
    error: 'is not the RFC 8785 SHA-256 of this definition',
    path: ['reviewed'],
  })
  .refine(({ money, definition }) => moneyArguments(money).every((name) => hasArgument(definition, name)), {
    error: 'names an argument that the definition does not have',
    path: ['money'],
  })
  .refine(({ sentence, definition }) => placeholdersOf(sentence).every((name) => hasArgument(definition, name)), {
    error: 'names an argument that the definition does not have',
    path: ['sentence'],
  });
export type Tool = z.infer<typeof Tool>;
export type ToolInput = z.input<typeof Tool>;

export type ToolState = 'reviewed' | 'draft' | 'needs_review';

/** Only a reviewed tool can be called. A draft was never reviewed; one that needs review has changed since. */
export const toolState = ({ reviewed, changed }: Readonly<{ reviewed?: unknown; changed?: unknown }>): ToolState =>
  reviewed === undefined ? 'draft' : changed === undefined ? 'reviewed' : 'needs_review';

/** The tool once a person has confirmed this definition of it; the difference that waited is settled by it. */
export function withReview(tool: Tool, definition: ToolDefinition): Result<Tool, CanonicalFlaw> {
  const pin = definitionDigest(definition);
  if (!pin.ok) return pin;
  const reviewed: Tool = { ...tool, definition, reviewed: pin.value };
  delete reviewed.changed;
  delete reviewed.disbelieved;
  return ok(reviewed);
}

function pinFits(reviewed: string, definition: ToolDefinition | undefined): boolean {
  if (definition === undefined) return true;
  const pin = definitionDigest(definition);
  return pin.ok && pin.value === reviewed;
}

/** The arguments that a sentence speaks of, in order. */
export const placeholdersOf = (sentence = ''): readonly string[] =>
  [...sentence.matchAll(/\{([^{}]+)\}/g)].map(([, name = '']) => name);

/** The arguments that a definition has. */
export function argumentsOf({ inputSchema }: ToolDefinition): readonly string[] {
  const { properties } = inputSchema;
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : [];
}

const moneyArguments = (money: z.infer<typeof Money> | undefined): readonly string[] =>
  [money?.argument, money?.currency_argument].filter((name) => name !== undefined);

function hasArgument(definition: ToolDefinition | undefined, name: string): boolean {
  return definition === undefined || argumentsOf(definition).includes(name);
}
