import type { Context } from 'koa';
import type { Clock } from '../base/index.js';
import type { LogReader } from '../audit/index.js';
import { answerProblem, type PathParams, plainProblem, requestId, type Route } from '../http/index.js';
import type { RegistryReader, RegistryWriter } from '../registry/index.js';
import type { SessionsAdmin } from '../session/index.js';
import type { KeysAdmin } from '../token/index.js';
import { applyOperation } from './apply.js';
import { makeTurns } from './change.js';
import { agents, issuers, servers } from './collections.js';
import { isAdministrator } from './guard.js';
import { keyOperations } from './keys.js';
import { logOperation } from './log.js';
import { objectOperations } from './objects.js';
import { describeApi, openapiOperation } from './openapi.js';
import type { Answer, Operation } from './operation.js';
import { secretOperations } from './secrets.js';
import { sessionOperations } from './sessions.js';

export type AdminDeps = Readonly<{
  registry: RegistryReader;
  writer: RegistryWriter;
  sessions: SessionsAdmin;
  keys: KeysAdmin;
  log: LogReader;
  /** SHA-256 of the bearer token; see adminTokenDigest. */
  adminTokenDigest: Uint8Array;
  issuer: string;
  trustDomain: string;
  clock: Clock;
}>;

/** The path below which the admin API owns every request. */
export const adminPrefix = (issuer: string): string => `${mountOf(issuer)}/admin/v1`;

/** The routes of the admin API, each behind the bearer token. */
export function createAdmin(deps: AdminDeps): readonly Route[] {
  const operations = adminOperations(deps);
  const document = describeApi(operations, deps.issuer);
  return [...operations, openapiOperation(() => document)].map((operation) => ({
    method: operation.method,
    path: `${mountOf(deps.issuer)}${operation.path}`,
    handle: (ctx, params) => serve(operation, ctx, { params, digest: deps.adminTokenDigest }),
  }));
}

const mountOf = (issuer: string): string => new URL(issuer).pathname.replace(/\/$/, '');

function adminOperations({ sessions, keys, log, issuer, trustDomain, ...deps }: AdminDeps): readonly Operation[] {
  const changes = { ...deps, us: { issuer, trustDomain }, inTurn: makeTurns() };
  return [
    ...objectOperations(agents, changes),
    ...objectOperations(servers, changes),
    ...objectOperations(issuers, changes),
    ...secretOperations(changes),
    applyOperation(changes),
    ...sessionOperations(sessions),
    ...keyOperations(keys),
    logOperation(log),
  ];
}

async function serve(
  operation: Operation,
  ctx: Context,
  { params, digest }: Readonly<{ params: PathParams; digest: Uint8Array }>,
): Promise<void> {
  ctx.set('Cache-Control', 'no-store');
  if (!isAdministrator(ctx, digest)) {
    ctx.set('WWW-Authenticate', 'Bearer realm="writ-admin"');
    answerProblem(ctx, plainProblem('unauthorized'));
    return;
  }
  const answer = await operation.run(ctx, params);
  if (answer.ok) write(ctx, answer.value);
  else answerProblem(ctx, answer.error);
}

function write(ctx: Context, { status, body, headers }: Answer): void {
  requestId(ctx);
  for (const [name, value] of Object.entries(headers ?? {})) ctx.set(name, value);
  ctx.body = body === undefined ? null : harmlessJson(body);
  ctx.status = status;
  if (body !== undefined) ctx.type = 'application/json';
}

/** JSON that may be printed as it is: what would steer a terminal, or show text in another order, is escaped. */
const harmlessJson = (body: object): string =>
  JSON.stringify(body).replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
