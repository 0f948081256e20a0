import { z } from 'zod';
import { digest, type JsonObject } from '../../protocol/index.js';
import { CLIENT_PROOFS } from '../../registry/index.js';
import type { CedarValue } from './engine.js';
import type { DecisionInput } from './facts.js';
import { EVERYTHING, type Mentions, NOTHING } from './mentions.js';
import { projectArguments } from './projection.js';
import type { ShelvedTool } from './schema.js';
import { groupsOf } from './tool.js';
import type { Verdict } from './verdict.js';

/** What came of a decision, in one word; a question by what has to happen first. */
export const Outcome = z.enum(['allow', 'deny', 'approval', 'reauthentication', 'exact_call', 'broken']);
export type Outcome = z.infer<typeof Outcome>;

export const outcomeOf = (verdict: Verdict): Outcome =>
  verdict.verdict === 'ask' ? (verdict.requires[0] ?? 'approval') : verdict.verdict;

/** Which parts of a value are kept: all of it, or these members. Of one without members, only that it is there. */
type Covered = true | Readonly<{ [name: string]: Covered }>;
const Covered: z.ZodType<Covered> = z.lazy(() => z.union([z.literal(true), z.record(z.string(), Covered)]));
const Value: z.ZodType<CedarValue> = z.lazy(() =>
  z.union([z.boolean(), z.number(), z.string(), z.array(Value), z.record(z.string(), Value)]),
);

/** The arguments as far as they are kept, as policies see them; or why they could not be read. */
const KeptArguments = z.union([
  z.strictObject({ seen: Value, covered: Covered }),
  z.strictObject({
    problem: z.enum(['missing', 'wrong_type', 'out_of_range', 'undeclared', 'reserved_name']),
  }),
]);

/** A decision's input as it is kept, and what came of it. `fingerprint` is the tool's: its classes and reviewed schema. */
export const KeptInput = z.strictObject({
  form: z.literal(1),
  outcome: Outcome,
  fingerprint: z.string(),
  tool: z.strictObject({ server: z.string(), name: z.string() }),
  person: z.strictObject({ id: z.string().optional(), attributes: z.record(z.string(), z.string()) }),
  agent: z.strictObject({ id: z.string(), owner: z.string(), kind: z.enum(['agent', 'mcp_server']) }),
  chain: z.array(z.string()).readonly(),
  chainAuthentication: z.enum(CLIENT_PROOFS).optional(),
  session: z
    .strictObject({
      state: z.enum(['new', 'active']),
      age: z.number(),
      depth: z.number(),
      purpose: z.string().optional(),
      acr: z.string().optional(),
    })
    .optional(),
  task: z.string().optional(),
  purpose: z.string().optional(),
  now: z.number(),
  ip: z.string().optional(),
  acr: z.string().optional(),
  authTime: z.number().optional(),
  senderConstrained: z.boolean(),
  arguments: KeptArguments.optional(),
  discharged: z.array(z.string()).readonly(),
  /** The SHA-256 of the text of each discharged policy. */
  lifted: z.record(z.string(), z.string()).optional(),
});
export type KeptInput = z.infer<typeof KeptInput>;

/** What of an input may be kept: everything but the arguments, and of those the parts that `named` has. */
export function keptInput(
  input: DecisionInput,
  verdict: Verdict,
  {
    tool,
    named,
    fingerprint,
    lifted,
  }: Keeping & Readonly<{ fingerprint: string; lifted: Readonly<Record<string, string>> }>,
): KeptInput {
  const kept = input.arguments && keptArguments(input.arguments, verdict, { tool, named });
  const more = input.discharged.length === 0 ? {} : { lifted: { ...lifted } };
  return { ...input, form: 1, outcome: outcomeOf(verdict), fingerprint, arguments: kept, ...more };
}

/** The same without any argument: for what is too large to keep. */
export const withoutArguments = (kept: KeptInput): KeptInput =>
  kept.arguments === undefined ? kept : { ...kept, arguments: { seen: {}, covered: {} } };

/** The input again. Its arguments are not among it: they are kept as policies see them. */
export function factsOf({ person, ...kept }: KeptInput): DecisionInput {
  const { tool, agent, chain, now, senderConstrained, discharged } = kept;
  return {
    ...{ tool, agent, chain, now, senderConstrained, discharged },
    person: { id: person.id, attributes: person.attributes },
    session: kept.session && { ...kept.session, purpose: kept.session.purpose, acr: kept.session.acr },
    chainAuthentication: kept.chainAuthentication,
    task: kept.task,
    purpose: kept.purpose,
    ip: kept.ip,
    acr: kept.acr,
    authTime: kept.authTime,
    arguments: undefined,
  };
}

/** Whether all that is looked at is kept. Only that a value is there is less than its value. */
export function covers(covered: Covered, mentions: Mentions | undefined): boolean {
  if (covered === true || mentions === undefined) return true;
  if (mentions.whole) return false;
  return [...mentions.members].every(([name, inner]) => {
    const held = Object.hasOwn(covered, name) ? covered[name] : undefined;
    return held !== undefined && covers(held, inner);
  });
}

/** A tool that differs in one of these would be decided over otherwise, or read otherwise. */
export function fingerprintOf({ tool }: ShelvedTool): string | undefined {
  const hashed = digest({ groups: [...groupsOf(tool)], schema: tool.inputSchema ?? null });
  return hashed.ok ? hashed.value : undefined;
}

type Keeping = Readonly<{ tool: ShelvedTool; named: Mentions | undefined }>;

function keptArguments(values: JsonObject, verdict: Verdict, { tool, named }: Keeping): KeptInput['arguments'] {
  if (verdict.verdict === 'deny' && verdict.argument !== undefined) return { problem: verdict.argument.problem };
  const keepable = withoutSensitive(named ?? NOTHING, tool);
  const projected = projectArguments(values, tool.type, keepable);
  // Another policy of the set, not asked about this person or agent, would read a number that does not fit.
  if (!projected.ok) return { seen: {}, covered: {} };
  return { seen: trimmed(projected.value, keepable), covered: coveredBy(keepable) };
}

/** INVARIANT: no value of an argument that the catalogue marks as sensitive is kept, whatever policies name. */
function withoutSensitive({ whole, members }: Mentions, { tool: { sensitive }, type }: ShelvedTool): Mentions {
  if (sensitive.length === 0 && whole) return EVERYTHING;
  const named = whole ? [...type.members.keys()].map((name) => [name, EVERYTHING] as const) : [...members];
  return { whole: false, members: new Map(named.filter(([name]) => !sensitive.includes(name))) };
}

/** Of a value that is only asked whether it is there, that it is there. */
function trimmed(value: CedarValue, { whole, members }: Mentions): CedarValue {
  if (whole) return value;
  if (!isRecord(value)) return true;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, trimmed(inner, members.get(name) ?? NOTHING)]),
  );
}

const isRecord = (value: CedarValue): value is Record<string, CedarValue> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !('__extn' in value);

const coveredBy = ({ whole, members }: Mentions): Covered =>
  whole || Object.fromEntries([...members].map(([name, inner]) => [name, coveredBy(inner)]));
