import type { Context } from 'koa';
import { z } from 'zod';
import { ok, type Result } from '../base/index.js';
import type { JsonObject } from '../protocol/index.js';
import {
  checked,
  JSON_LIMIT,
  type Method,
  type PathParams,
  type Problem,
  type ProblemCode,
  readJson,
  readQuery,
} from '../http/index.js';

/** What an operation answers when it does what it was asked. `noted`: what the record of a look has instead of the question. */
export type Answer = Readonly<{
  status: 200 | 201 | 204;
  body?: object;
  headers?: Readonly<Record<string, string>>;
  noted?: Readonly<Record<string, string>>;
}>;

/** How an answer looks, for the description of the API. */
export type AnswerShape = Readonly<{ status: Answer['status']; about: string; schema?: z.ZodType; example?: unknown }>;

/** A request that has been checked and is ready to be done. */
export type Ready = Readonly<{
  /** The query and the body as they were understood: what makes it the same request as another. */
  asked: JsonObject;
  run: () => Promise<Result<Answer, Problem>>;
}>;

/** RFC 9110 section 13.1: what must be so before a change is made. */
export type Preconditions = Readonly<{ ifMatch: string | undefined; ifNoneMatch: string | undefined }>;

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
  /** The preconditions that it obeys; it looks at no other. */
  preconditions: readonly Precondition[];
  /** Whether its answer has the ETag of the object. */
  hasTag: boolean;
  /** Whether it is for everybody: without the bearer token. */
  isOpen: boolean;
  /** Whether the log has who asked for it, though it changes nothing. */
  isRecorded: boolean;
  ready: (ctx: Context, params: PathParams) => Promise<Result<Ready, Problem>>;
}>;
export type Precondition = 'If-Match' | 'If-None-Match';

/** Whether it may change something. */
export const isChange = ({ method }: Pick<Operation, 'method'>): boolean => method !== 'GET';

type Request<Q, B> = Readonly<{ params: PathParams; query: Q; body: B } & Preconditions>;

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
    preconditions?: Operation['preconditions'];
    hasTag?: boolean;
    isOpen?: boolean;
    isRecorded?: boolean;
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
    preconditions: spec.preconditions ?? [],
    hasTag: spec.hasTag ?? false,
    isOpen: spec.isOpen ?? false,
    isRecorded: spec.isRecorded ?? false,
    ready: async (ctx, params) => {
      const query = readQuery(spec.query, ctx.querystring);
      if (!query.ok) return query;
      const json = await readJson(ctx, spec.bodyLimit ?? JSON_LIMIT);
      if (!json.ok) return json;
      const body = checked(spec.body, json.value);
      if (!body.ok) return body;
      const conditions = conditionsOf(ctx, spec.preconditions ?? []);
      return ok({
        asked: { query: ctx.querystring, ...plainConditions(conditions), body: json.value ?? null },
        run: () => spec.run({ params, query: query.value, body: body.value, ...conditions }),
      });
    },
  };
}

function conditionsOf(ctx: Context, known: Operation['preconditions']): Preconditions {
  const given = (name: Precondition): string | undefined => {
    const value = known.includes(name) ? ctx.get(name) : '';
    return value === '' ? undefined : value;
  };
  return { ifMatch: given('If-Match'), ifNoneMatch: given('If-None-Match') };
}

const plainConditions = ({ ifMatch, ifNoneMatch }: Preconditions): JsonObject => ({
  if_match: ifMatch ?? null,
  if_none_match: ifNoneMatch ?? null,
});
