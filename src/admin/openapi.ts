import { z } from 'zod';
import { ok } from '../base/index.js';
import { type ProblemCode, PROBLEMS, problemsAt } from '../http/index.js';
import { agents, issuers, servers } from './collections.js';
import { ChangeEffect } from './foresight.js';
import { KeyView } from './keys.js';
import { LogEntryView } from './log.js';
import {
  type AnswerShape,
  isChange,
  NoBody,
  NoQuery,
  type Operation,
  operation,
  type Precondition,
} from './operation.js';
import { ObjectChange } from './plan.js';
import { ProblemView } from './problems.js';
import { RevocationView } from './revocations.js';
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
      description: ABOUT,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
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
    tags: TAGS.map(([name, description]) => ({ name, description })),
  };
}

const ABOUT = `Agents, MCP servers, trusted issuers, sessions, signing keys and the log.

Every change of the registry can be tried first (\`dry_run\`), and bound to what was seen (\`If-Match\` with the ETag).
Every change takes an \`Idempotency-Key\`: the same request with the same key is answered again as it was the first time,
for 24 hours. Lists are read on with \`after\`, which is \`next\` of the page before. A refusal is a problem of RFC 9457;
its \`type\` is the address that explains it.`;

const TAGS = [
  ['agents', 'AI agents: OAuth clients that act for people.'],
  ['servers', 'MCP servers: what tokens are for, with their tools.'],
  ['issuers', 'Trusted issuers: whose tokens about people may be exchanged.'],
  ['policies', 'Sets of policies, of which one decides.'],
  ['apply', 'The whole registry from one document.'],
  ['sessions', 'Runs of agents for people.'],
  ['revocations', 'What is ended or cut off, in one write, for every verifier.'],
  ['keys', 'The keys that sign tokens.'],
  ['persons', 'The people whom tokens are about, by id and by name, and their erasure.'],
  ['log', 'What was decided and done.'],
  ['reports', 'What of the registry somebody should look at.'],
  ['problems', 'What every refusal means.'],
  ['openapi', 'This description.'],
] as const;

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
  [agents.put, `Put${agents.schemaName}`],
  [servers.put, `Put${servers.schemaName}`],
  [issuers.put, `Put${issuers.schemaName}`],
  [ChangeEffect, 'ChangeEffect'],
  [SessionView, 'Session'],
  [RevocationView, 'Revocation'],
  [KeyView, 'SigningKey'],
  [LogEntryView, 'LogEntry'],
  [ObjectChange, 'ObjectChange'],
  [ProblemView, 'ProblemExplained'],
]);

function describe(each: Operation): Described {
  const problems = problemsOf(each);
  return {
    operationId: each.id,
    summary: each.about,
    tags: [tagOf(each)],
    ...(each.isOpen ? { security: [] } : {}),
    parameters: [
      ...pathParameters(each),
      ...queryParameters(each),
      ...each.preconditions.map((name) => PRECONDITIONS[name]),
      ...(isChange(each) ? [IDEMPOTENCY_KEY] : []),
    ],
    ...(each.body === NoBody ? {} : { requestBody: bodyOf(each) }),
    responses: {
      ...Object.fromEntries(each.answers.map((answer) => [answer.status, answerOf(answer, each)])),
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

const tagOf = ({ path }: Operation): string => path.split('/')[3]?.replace(/\.json$/, '') ?? '';

const headerParameter = (name: string, description: string, example: string): Described => ({
  name,
  in: 'header',
  required: false,
  description,
  schema: { type: 'string', minLength: 1, maxLength: 512 },
  example,
});

const TAG = '"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"';
const PRECONDITIONS: Readonly<Record<Precondition, Described>> = {
  'If-Match': headerParameter('If-Match', 'The ETag of the object that this change is meant for.', TAG),
  'If-None-Match': headerParameter('If-None-Match', '`*`: only when the object is not there yet.', '*'),
};

const IDEMPOTENCY_KEY = headerParameter(
  'Idempotency-Key',
  'A string of your choice for this one request, such as a UUID. The same request with it is answered again, not done again.',
  '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
);

const bodyOf = ({ body, bodyExample }: Operation): Described => ({
  required: !body.safeParse(undefined).success,
  content: { 'application/json': { schema: schemaOf(body, 'input'), example: bodyExample } },
});

function answerOf({ about, schema, example }: AnswerShape, each: Operation): Described {
  const headers = isChange(each) ? { 'Idempotent-Replayed': REPLAYED } : {};
  const tag = each.hasTag && schema !== undefined ? { ETag: ETAG } : {};
  return {
    description: about,
    headers: { ...REQUEST_ID, ...tag, ...headers },
    ...(schema === undefined ? {} : { content: { 'application/json': { schema: referTo(schema), example } } }),
  };
}

const headerOf = (description: string, example: string): Described => ({
  description,
  schema: { type: 'string' },
  example,
});
const REQUEST_ID = {
  'X-Request-Id': headerOf('Under which the log of the process has this request.', 'req_3q2-7w8xYzAbCdEfGhIjKl'),
};
const ETAG = headerOf('Changes whenever the object does; for If-Match. Not in the answer to a dry run.', TAG);
const REPLAYED = headerOf('`true` when this is the answer that the idempotency key had before.', 'true');

/** What any operation may answer, and what this one may in particular. */
function problemsOf(each: Operation): readonly ProblemCode[] {
  const ofPath: readonly ProblemCode[] = Object.keys(each.params).length > 0 ? ['bad_path'] : [];
  const ofBody: readonly ProblemCode[] = ['invalid_json', 'too_large', 'unsupported_media_type'];
  return [
    ...ofPath,
    ...ofBody,
    'invalid_field',
    ...(each.isOpen ? [] : (['unauthorized'] as const)),
    'method_not_allowed',
    ...(each.preconditions.length > 0 ? (['precondition_failed'] as const) : []),
    ...(isChange(each) ? OF_KEYS : []),
    ...each.problems,
    'internal',
    'unavailable',
  ];
}

const OF_KEYS: readonly ProblemCode[] = [
  'idempotency_key_in_use',
  'idempotency_key_reused',
  'too_many_idempotency_keys',
];

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
  type: `${problemsAt('https://writ.example.com')}/${code}`,
  title: PROBLEMS[code].title,
  status: PROBLEMS[code].status,
  detail: PROBLEMS[code].title,
  code,
  request_id: 'req_3q2-7w8xYzAbCdEfGhIjKl',
});

const PROBLEM = {
  type: 'object',
  description: 'RFC 9457.',
  required: ['type', 'title', 'status', 'detail', 'code', 'request_id'],
  additionalProperties: false,
  properties: {
    type: { type: 'string', format: 'uri', description: 'The address that explains this problem.' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', enum: Object.keys(PROBLEMS) },
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
    request_id: { type: 'string' },
  },
};

const referTo = (schema: z.ZodType): Described => {
  const name = nameOf(schema);
  return name === undefined ? schemaOf(schema, 'output') : { $ref: referenceTo(name) };
};

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Described {
  const whole: unknown = schema;
  const described: Record<string, unknown> = {
    ...z.toJSONSchema(schema, {
      io,
      override: ({ zodSchema, jsonSchema }) => {
        const name = zodSchema === whole ? undefined : nameOf(zodSchema);
        if (name === undefined) return;
        for (const key of Object.keys(jsonSchema)) Reflect.deleteProperty(jsonSchema, key);
        jsonSchema.$ref = referenceTo(name);
      },
    }),
  };
  delete described['$schema'];
  return described;
}

const nameOf = (schema: unknown): string | undefined => [...NAMES].find(([known]) => known === schema)?.[1];
const referenceTo = (name: string): string => `#/components/schemas/${name}`;
