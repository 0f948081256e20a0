import { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import { isObject, type Json, type JsonObject } from '../protocol/index.js';

/** As many questions as one request may ask. */
export const MAX_EVALUATIONS = 64;

/** Where a request is malformed, and what belongs there. */
export type FieldFlaw = Readonly<{ path: string; hint: string }>;

const Type = z.string().min(1).max(256);
const Id = z.string().min(1).max(512);
const JsonValue: z.ZodType<Json> = z.json();
const Properties = z.record(z.string(), JsonValue);
const Entity = z.object({ type: Type, id: Id, properties: Properties.default({}) });

/** AuthZEN 1.0, information model. Unknown members are ignored, as it wants it. */
export const Evaluation = z.object({
  subject: Entity,
  action: z.object({ name: Type, properties: Properties.default({}) }),
  resource: Entity,
  context: Properties.default({}),
});
export type Evaluation = z.infer<typeof Evaluation>;

export const Semantic = z.enum(['execute_all', 'deny_on_first_deny', 'permit_on_first_permit']);
export type Semantic = z.infer<typeof Semantic>;

/** `semantic` is absent where one question was asked, which is answered without a list. */
export type Evaluations = Readonly<{ questions: readonly Evaluation[]; semantic: Semantic | undefined }>;

export function readEvaluation(body: JsonObject): Result<Evaluations, FieldFlaw> {
  const read = readOne(body, '');
  return read.ok ? ok({ questions: [read.value], semantic: undefined }) : read;
}

/** AuthZEN 1.0, evaluations: without any in the list the request is a single evaluation. */
export function readEvaluations(body: JsonObject): Result<Evaluations, FieldFlaw> {
  const { evaluations = [], options = {} } = body;
  if (!isList(evaluations)) return err({ path: 'evaluations', hint: 'must be a list' });
  if (evaluations.length > MAX_EVALUATIONS)
    return err({ path: 'evaluations', hint: `must have at most ${String(MAX_EVALUATIONS)} entries` });
  if (!isObject(options)) return err({ path: 'options', hint: HINTS.object });
  const semantic = Semantic.safeParse(options['evaluations_semantic'] ?? 'execute_all');
  if (!semantic.success)
    return err({ path: 'options.evaluations_semantic', hint: `must be one of ${Semantic.options.join(', ')}` });
  if (evaluations.length === 0) return readEvaluation(body);
  const questions: Evaluation[] = [];
  for (const [at, one] of evaluations.entries()) {
    const path = `evaluations.${String(at)}`;
    if (!isObject(one)) return err({ path, hint: HINTS.object });
    const read = readOne({ ...defaultsOf(body), ...one }, `${path}.`);
    if (!read.ok) return read;
    questions.push(read.value);
  }
  return ok({ questions, semantic: semantic.data });
}

const isList = (value: Json): value is readonly Json[] => Array.isArray(value);

/** AuthZEN 1.0, default values: a member of an evaluation replaces the whole default. */
const defaultsOf = (body: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(body).filter(([name]) => name in Evaluation.shape));

function readOne(raw: JsonObject, prefix: string): Result<Evaluation, FieldFlaw> {
  const read = Evaluation.safeParse(raw);
  return read.success ? ok(read.data) : err(flawOf(read.error, raw, prefix));
}

/** The first thing that is wrong, in our words: what zod says stays here. */
export function flawOf({ issues: [issue] }: z.ZodError, raw: Json, prefix: string): FieldFlaw {
  const path = (issue?.path ?? []).map(String);
  const last = path.at(-1) ?? '';
  const isMissing = valueAt(raw, path) === undefined;
  return { path: `${prefix}${path.join('.')}`, hint: isMissing ? 'is missing' : (SPECIAL[last] ?? hintOf(path)) };
}

const HINTS = { object: 'must be a JSON object', text: 'must be text of the allowed length' } as const;

const SPECIAL: Readonly<Record<string, string>> = {
  type: 'must be text of 1 to 256 characters',
  name: 'must be text of 1 to 256 characters',
  id: 'must be text of 1 to 512 characters',
  subject: HINTS.object,
  action: HINTS.object,
  resource: HINTS.object,
  context: HINTS.object,
  properties: HINTS.object,
  arguments: HINTS.object,
  act: 'must be a client id, or an object with sub, nested at most 8 times',
  agent: 'must be a client id',
  server: "must be an MCP server's resource URI",
  scope: 'must be scope tokens separated by single spaces',
  args_sha256: 'must be a base64url SHA-256',
  definition_sha256: 'must be a base64url SHA-256',
  auth_time: 'must be a time in seconds since 1970',
  ip: 'must be an IP address',
  jkt: 'must be a base64url SHA-256',
  approval: HINTS.object,
};

const hintOf = (path: readonly string[]): string =>
  path.includes('act') ? (SPECIAL['act'] ?? HINTS.text) : HINTS.text;

function valueAt(value: Json | undefined, [step, ...rest]: readonly string[]): Json | undefined {
  if (step === undefined) return value;
  return isObject(value) && Object.hasOwn(value, step) ? valueAt(value[step], rest) : undefined;
}
