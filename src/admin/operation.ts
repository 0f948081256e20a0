import type { Context } from 'koa';
import { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import {
  fieldProblem,
  type FieldProblem,
  JSON_LIMIT,
  type Method,
  type PathParams,
  type Problem,
  type ProblemCode,
  readJson,
} from '../http/index.js';

/** What an operation answers when it does what it was asked. */
export type Answer = Readonly<{ status: 200 | 201 | 204; body?: object; headers?: Readonly<Record<string, string>> }>;

/** How an answer looks, for the description of the API. */
export type AnswerShape = Readonly<{ status: Answer['status']; about: string; schema?: z.ZodType; example?: unknown }>;

/** One thing that the admin API can do: described and done in one place, so that the description cannot be wrong. */
export type Operation = Readonly<{
  id: string;
  method: Method;
  path: string;
  about: string;
  params: Readonly<Record<string, string>>;
  query: z.ZodObject;
  body: z.ZodType;
  bodyExample: unknown;
  answers: readonly AnswerShape[];
  problems: readonly ProblemCode[];
  ifMatch: boolean;
  run: (ctx: Context, params: PathParams) => Promise<Result<Answer, Problem>>;
}>;

type Request<Q, B> = Readonly<{ params: PathParams; query: Q; body: B; ifMatch: string | undefined }>;

type Spec<Q extends z.ZodObject, B extends z.ZodType> = Pick<
  Operation,
  'id' | 'method' | 'path' | 'about' | 'answers'
> &
  Readonly<{
    params?: Operation['params'];
    query: Q;
    body: B;
    bodyExample?: unknown;
    bodyLimit?: number;
    problems?: readonly ProblemCode[];
    ifMatch?: boolean;
    run: (request: Request<z.output<Q>, z.output<B>>) => Promise<Result<Answer, Problem>>;
  }>;

export const NoQuery = z.strictObject({});
export const NoBody = z.undefined({ error: 'there must be no body' });

/** Makes an operation whose query and body have been checked before it runs. */
export function operation<Q extends z.ZodObject, B extends z.ZodType>(spec: Spec<Q, B>): Operation {
  return {
    ...spec,
    params: spec.params ?? {},
    bodyExample: spec.bodyExample,
    problems: spec.problems ?? [],
    ifMatch: spec.ifMatch ?? false,
    run: async (ctx, params) => {
      const query = parseQuery(spec.query, ctx.querystring);
      if (!query.ok) return query;
      const body = await parseBody(spec, ctx);
      if (!body.ok) return body;
      const ifMatch = ctx.get('If-Match');
      return spec.run({ params, query: query.value, body: body.value, ifMatch: ifMatch === '' ? undefined : ifMatch });
    },
  };
}

function parseQuery<Q extends z.ZodType>(schema: Q, text: string): Result<z.output<Q>, Problem> {
  const entries = [...new URLSearchParams(text)];
  const twice = entries.find(([name], i) => entries.findIndex(([other]) => other === name) < i);
  if (twice !== undefined) return err(fieldProblem([{ param: twice[0], detail: 'is given twice' }]));
  return check(schema, Object.fromEntries(entries));
}

async function parseBody<Q extends z.ZodObject, B extends z.ZodType>(
  { body, bodyLimit }: Spec<Q, B>,
  ctx: Context,
): Promise<Result<z.output<B>, Problem>> {
  const json = await readJson(ctx, bodyLimit ?? JSON_LIMIT);
  if (!json.ok) return json;
  return check(body, json.value);
}

function check<S extends z.ZodType>(schema: S, value: unknown): Result<z.output<S>, Problem> {
  const parsed = schema.safeParse(value);
  return parsed.success ? ok(parsed.data) : err(fieldProblem(parsed.error.issues.flatMap(fieldsOf)));
}

function fieldsOf(issue: z.core.$ZodIssue): readonly FieldProblem[] {
  const path = issue.path.map(String);
  if (issue.code !== 'unrecognized_keys') return [{ param: path.join('.') || 'body', detail: wordsOf(issue) }];
  return issue.keys.map((key) => ({ param: [...path, key].join('.'), detail: 'is not a field' }));
}

function wordsOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type' && issue.input === undefined && issue.message.endsWith('received undefined')) {
    return 'is missing';
  }
  return issue.message;
}
