import { z } from 'zod';
import { ok } from '../base/index.js';
import { type ProblemCode, PROBLEMS } from '../http/index.js';
import { agents, issuers, servers } from './collections.js';
import { KeyView } from './keys.js';
import { LogEntryView } from './log.js';
import { type AnswerShape, NoBody, NoQuery, type Operation, operation } from './operation.js';
import { ObjectChange } from './plan.js';
import { SessionView } from './sessions.js';

type Described = Readonly<Record<string, unknown>>;

/** The document that describes these operations and itself: OpenAPI 3.1, made from the schemas that check every request. */
export function describeApi(operations: readonly Operation[], issuer: string): Described {
  const all = [...operations, openapiOperation(() => ({}))];
  const paths = new Map<string, Record<string, Described>>();
  for (const each of all) {
    const path = each.path.replaceAll(/:(\w+)/g, '{$1}');
    paths.set(path, { ...paths.get(path), [each.method.toLowerCase()]: describe(each) });
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Writ admin API',
      version: '1',
      description: 'Agents, MCP servers, trusted issuers, sessions, signing keys and the log.',
    },
    servers: [{ url: issuer }],
    security: [{ adminToken: [] }],
    paths: Object.fromEntries(paths),
    components: {
      securitySchemes: { adminToken: { type: 'http', scheme: 'bearer' } },
      schemas: {
        ...Object.fromEntries([...NAMES].map(([schema, name]) => [name, schemaOf(schema, 'output')])),
        Problem: PROBLEM,
      },
    },
    'x-problems': PROBLEMS,
  };
}

/** `GET /admin/v1/openapi.json`. */
export const openapiOperation = (document: () => object): Operation =>
  operation({
    id: 'getOpenapi',
    method: 'GET',
    path: '/admin/v1/openapi.json',
    about: 'This document.',
    query: NoQuery,
    body: NoBody,
    answers: [
      {
        status: 200,
        about: 'OpenAPI 3.1.',
        schema: z.looseObject({ openapi: z.string() }),
        example: { openapi: '3.1.1' },
      },
    ],
    run: () => Promise.resolve(ok({ status: 200, body: document() })),
  });

/** Schemas that many answers share have a name. */
const NAMES = new Map<z.ZodType, string>([
  [agents.view, agents.schemaName],
  [servers.view, servers.schemaName],
  [issuers.view, issuers.schemaName],
  [SessionView, 'Session'],
  [KeyView, 'SigningKey'],
  [LogEntryView, 'LogEntry'],
  [ObjectChange, 'ObjectChange'],
]);

function describe(each: Operation): Described {
  const problems = problemsOf(each);
  return {
    operationId: each.id,
    summary: each.about,
    parameters: [...pathParameters(each), ...queryParameters(each), ...(each.ifMatch ? [IF_MATCH] : [])],
    ...(each.body === NoBody ? {} : { requestBody: bodyOf(each) }),
    responses: {
      ...Object.fromEntries(each.answers.map((answer) => [answer.status, answerOf(answer)])),
      ...Object.fromEntries(
        [...new Set(problems.map(statusOf))].sort().map((status) => [status, problemAnswer(status, problems)]),
      ),
    },
  };
}

const pathParameters = ({ params }: Operation): readonly Described[] =>
  Object.entries(params).map(([name, description]) => {
    return { name, in: 'path', required: true, description, schema: { type: 'string', minLength: 1, maxLength: 512 } };
  });

const queryParameters = ({ query }: Operation): readonly Described[] =>
  Object.entries(JsonSchema.parse(schemaOf(query, 'input')).properties ?? {}).map(([name, schema]) => {
    return { name, in: 'query', required: false, schema };
  });

const JsonSchema = z.looseObject({ properties: z.record(z.string(), z.unknown()).optional() });

const IF_MATCH = {
  name: 'If-Match',
  in: 'header',
  required: false,
  description: 'The ETag of the object that this change is meant for.',
  schema: { type: 'string' },
};

const bodyOf = ({ body, bodyExample }: Operation): Described => ({
  required: !body.safeParse(undefined).success,
  content: { 'application/json': { schema: schemaOf(body, 'input'), example: bodyExample } },
});

function answerOf({ about, schema, example }: AnswerShape): Described {
  if (schema === undefined) return { description: about };
  return { description: about, content: { 'application/json': { schema: referTo(schema), example } } };
}

/** What any operation may answer, and what this one may in particular. */
function problemsOf(each: Operation): readonly ProblemCode[] {
  const ofPath: readonly ProblemCode[] = Object.keys(each.params).length > 0 ? ['bad_path'] : [];
  const ofBody: readonly ProblemCode[] = ['invalid_json', 'too_large', 'unsupported_media_type'];
  return [
    ...ofPath,
    ...ofBody,
    'invalid_field',
    'unauthorized',
    'method_not_allowed',
    ...each.problems,
    'internal',
    'unavailable',
  ];
}

const statusOf = (code: ProblemCode): string => String(PROBLEMS[code].status);

function problemAnswer(status: string, problems: readonly ProblemCode[]): Described {
  const codes = problems.filter((code) => statusOf(code) === status);
  const examples = codes.map((code) => [code, { value: problemExample(code) }] as const);
  return {
    description: codes.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(' '),
    content: {
      'application/problem+json': {
        schema: { $ref: '#/components/schemas/Problem' },
        examples: Object.fromEntries(examples),
      },
    },
  };
}

const problemExample = (code: ProblemCode): Described => ({
  title: PROBLEMS[code].title,
  status: PROBLEMS[code].status,
  detail: PROBLEMS[code].title,
  code,
  doc: `/admin/v1/openapi.json#/x-problems/${code}`,
  request_id: 'req_3q2-7w8xYzAbCdEfGhIjKl',
});

const PROBLEM = {
  type: 'object',
  description: 'RFC 9457.',
  required: ['title', 'status', 'detail', 'code', 'doc', 'request_id'],
  additionalProperties: false,
  properties: {
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { enum: Object.keys(PROBLEMS) },
    param: { type: 'string', description: 'The path of the field that is wrong.' },
    errors: {
      type: 'array',
      description: 'Every field that is wrong, when there is more than one.',
      items: {
        type: 'object',
        required: ['param', 'detail'],
        additionalProperties: false,
        properties: { param: { type: 'string' }, detail: { type: 'string' } },
      },
    },
    doc: { type: 'string' },
    request_id: { type: 'string' },
  },
};

const referTo = (schema: z.ZodType): Described => {
  const name = NAMES.get(schema);
  return name === undefined ? schemaOf(schema, 'output') : { $ref: `#/components/schemas/${name}` };
};

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Described {
  const described: Record<string, unknown> = { ...z.toJSONSchema(schema, { io }) };
  delete described['$schema'];
  return described;
}
