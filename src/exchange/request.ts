import { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import type { Target, Wanted, WantedTool } from '../delegation/index.js';
import {
  Digest,
  digest,
  type FormRequest,
  isObject,
  type Json,
  type JsonObject,
  MCP_TOOL_CALL,
  parseExact,
  parseScope,
  parseStrict,
  TokenType,
  ToolName,
  Text,
} from '../protocol/index.js';

/** RFC 8693 section 2.1 in our words; snake_case ends here. */
export type ExchangeRequest = Readonly<{
  subjectToken: string;
  subjectTokenType: TokenType;
  actor: Readonly<{ token: string; type: string }> | undefined;
  requestedType: TokenType | undefined;
  /** Txn-AT draft: of the transaction that this exchange shall join. */
  handle: string | undefined;
  wanted: Wanted;
  /** Parameters that were sent, mean nothing to us, and go into the record. */
  ignored: readonly string[];
}>;

export type RequestRefusal =
  | Readonly<{
      reason: 'parameter_missing' | 'parameter_repeated' | 'parameter_malformed';
      parameter: string;
      hint?: string;
    }>
  | Readonly<{
      reason: 'unsupported_token_type';
      parameter: 'subject_token_type' | 'actor_token_type' | 'requested_token_type';
    }>
  | Readonly<{ reason: 'one_target_required' | 'malformed_target' }>
  | Readonly<{ reason: 'malformed_scope' }>
  | Readonly<{ reason: 'malformed_details'; path: string; hint: string }>;

type Form = FormRequest['form'];

const SUBJECT_TYPES: readonly string[] = [
  TokenType.accessToken,
  TokenType.idToken,
  TokenType.jwt,
  TokenType.txnToken,
  TokenType.txnAccessToken,
];
const REQUESTED_TYPES: readonly string[] = [TokenType.accessToken, TokenType.txnToken, TokenType.txnAccessToken];
const isTokenType = (value: string | undefined): value is TokenType =>
  Object.values<string | undefined>(TokenType).includes(value);

/** RFC 6749 section 3.2: a parameter is sent once, but for `resource` and `audience` (RFC 8693 section 2.1). */
export function parseRequest(form: Form, trustDomain: string): Result<ExchangeRequest, RequestRefusal> {
  for (const [name, values] of form) {
    if (values.length > 1 && name !== 'resource' && name !== 'audience')
      return err({ reason: 'parameter_repeated', parameter: name });
  }
  const subject = parseSubject(form);
  if (!subject.ok) return subject;
  const actor = parseActor(form);
  if (!actor.ok) return actor;
  const requestedType = form.get('requested_token_type')?.[0];
  if (requestedType !== undefined && !(isTokenType(requestedType) && REQUESTED_TYPES.includes(requestedType))) {
    return err({ reason: 'unsupported_token_type', parameter: 'requested_token_type' });
  }
  const handle = parseHandle(form, requestedType);
  if (!handle.ok) return handle;
  const wanted = parseWanted(form, trustDomain);
  if (!wanted.ok) return wanted;
  const { ignored, ...rest } = wanted.value;
  return ok({ ...subject.value, actor: actor.value, requestedType, handle: handle.value, wanted: rest, ignored });
}

/** Txn-AT draft: a handle is for requests that name that token type. */
function parseHandle(form: Form, requestedType: TokenType | undefined): Result<string | undefined, RequestRefusal> {
  const handle = form.get('txn_handle')?.[0];
  if (handle === undefined || requestedType === TokenType.txnAccessToken) return ok(handle);
  const hint = `goes with requested_token_type=${TokenType.txnAccessToken} only`;
  return err({ reason: 'parameter_malformed', parameter: 'txn_handle', hint });
}

function parseSubject(form: Form): Result<Pick<ExchangeRequest, 'subjectToken' | 'subjectTokenType'>, RequestRefusal> {
  const token = form.get('subject_token')?.[0]?.trim() ?? '';
  if (token === '') return err({ reason: 'parameter_missing', parameter: 'subject_token' });
  const type = form.get('subject_token_type')?.[0];
  if (type === undefined || type === '') return err({ reason: 'parameter_missing', parameter: 'subject_token_type' });
  // TT-07: a refresh token is never a subject; SAML and the rest are not supported.
  if (!isTokenType(type) || !SUBJECT_TYPES.includes(type))
    return err({ reason: 'unsupported_token_type', parameter: 'subject_token_type' });
  return ok({ subjectToken: token, subjectTokenType: type });
}

/** RFC 8693 section 2.1: actor_token and actor_token_type come together or not at all. */
function parseActor(form: Form): Result<ExchangeRequest['actor'], RequestRefusal> {
  const [token, type] = [form.get('actor_token')?.[0], form.get('actor_token_type')?.[0]];
  if (token === undefined && type === undefined) return ok(undefined);
  if (token === undefined || token === '') return err({ reason: 'parameter_missing', parameter: 'actor_token' });
  if (type === undefined || type === '') return err({ reason: 'parameter_missing', parameter: 'actor_token_type' });
  if (type !== TokenType.jwt) return err({ reason: 'unsupported_token_type', parameter: 'actor_token_type' });
  return ok({ token, type });
}

function parseWanted(
  form: Form,
  trustDomain: string,
): Result<Wanted & Pick<ExchangeRequest, 'ignored'>, RequestRefusal> {
  const target = parseTarget(form, trustDomain);
  if (!target.ok) return target;
  const scope = form.get('scope')?.[0];
  const scopes = scope === undefined ? undefined : parseScope(scope);
  if (scope !== undefined && scopes === undefined) return err({ reason: 'malformed_scope' });
  const tools = parseDetails(form.get('authorization_details')?.[0], target.value);
  if (!tools.ok) return tools;
  const context = parseContext(form);
  if (!context.ok) return context;
  return ok({ target: target.value, scopes, tools: tools.value, ...context.value });
}

/** Exactly one target: one `resource`, or as one `audience` the trust domain or a sub-agent. */
function parseTarget(form: Form, trustDomain: string): Result<Target, RequestRefusal> {
  const [resources, audiences] = [form.get('resource') ?? [], form.get('audience') ?? []];
  if (resources.length + audiences.length !== 1) return err({ reason: 'one_target_required' });
  const [resource] = resources;
  if (resource !== undefined) {
    // RFC 8707 section 2: an absolute URI without fragment.
    if (resource.length > 512 || resource.includes('#') || !URL.canParse(resource))
      return err({ reason: 'malformed_target' });
    return ok({ kind: 'server', resource });
  }
  const [audience = ''] = audiences;
  if (audience === '' || audience.length > 512) return err({ reason: 'malformed_target' });
  return ok(audience === trustDomain ? { kind: 'domain', name: audience } : { kind: 'agent', clientId: audience });
}

const Detail = z.strictObject({
  type: z.literal(MCP_TOOL_CALL),
  locations: z.tuple([z.string()]),
  actions: z.tuple([z.literal('tools/call')]).optional(),
  identifier: ToolName,
  arguments: z
    .custom<JsonObject>((value) => typeof value === 'object' && value !== null && !Array.isArray(value), {
      error: 'must be an object',
    })
    .optional(),
  arguments_sha256: Digest.optional(),
  definition_sha256: Digest.optional(),
  max_uses: z.number().int().min(1).max(1_000).optional(),
});

const Details = z.array(Detail).min(1).max(64);

/** RFC 9396 section 5: unknown types, fields and values are refused, naming the field. */
function parseDetails(
  raw: string | undefined,
  target: Target,
): Result<readonly WantedTool[] | undefined, RequestRefusal> {
  if (raw === undefined) return ok(undefined);
  const malformed = (path: string, hint: string) => err({ reason: 'malformed_details' as const, path, hint });
  const checked = checkNumbers(raw);
  if (!checked.ok) return malformed('', checked.error);
  const details = Details.safeParse(checked.value);
  if (!details.success) {
    const [issue] = details.error.issues;
    return malformed(issue?.path.join('.') ?? '', 'is missing, unknown or not of the form that mcp_tool_call wants');
  }
  const tools: WantedTool[] = [];
  for (const [index, detail] of details.data.entries()) {
    if (target.kind === 'server' && detail.locations[0] !== target.resource)
      return malformed(`${index}.locations`, 'must be the requested resource');
    if (tools.some(({ name }) => name === detail.identifier))
      return malformed(`${index}.identifier`, 'names a tool twice');
    // The policy will want to see the arguments, not only their digest: a digest alone could hide what is being approved.
    if (detail.arguments === undefined && detail.arguments_sha256 !== undefined)
      return malformed(`${index}.arguments`, 'must be given; a digest alone is not enough');
    const argumentsSha256 = detail.arguments === undefined ? ok(undefined) : digest(detail.arguments);
    if (!argumentsSha256.ok) return malformed(`${index}.arguments`, argumentsSha256.error);
    if (detail.arguments_sha256 !== undefined && detail.arguments_sha256 !== argumentsSha256.value) {
      return malformed(`${index}.arguments_sha256`, 'is not the RFC 8785 SHA-256 of arguments');
    }
    tools.push({
      name: detail.identifier,
      arguments: detail.arguments,
      argumentsSha256: argumentsSha256.value,
      definitionSha256: detail.definition_sha256,
      maxUses: detail.max_uses,
    });
  }
  return ok(tools);
}

/** The same rules for numbers, keys and depth as the verifier's, so that both ends hash the same thing or refuse. */
function checkNumbers(raw: string): Result<Json, string> {
  const wrapped = parseExact(`{"details":${raw}}`);
  if (!wrapped.ok) return wrapped;
  const { details: value, ...behind } = wrapped.value;
  // `[],"x":1` would close our wrapping: it is not one JSON value.
  if (value === undefined || Object.keys(behind).length > 0) return err('not_json');
  return ok(value);
}

const RequestDetails = z.strictObject({
  task: Text.min(1).max(128).optional(),
  purpose: Text.min(1).max(256).optional(),
});

/**
 * Transaction token draft: request_details and request_context are evaluated, never copied. We take a task and a purpose.
 * `txn` is ours to choose and is ignored (TX-31); every other name is refused, so nobody believes it was honoured (TX-23).
 */
function parseContext(
  form: Form,
): Result<Pick<Wanted, 'task' | 'purpose'> & Pick<ExchangeRequest, 'ignored'>, RequestRefusal> {
  const ignored: string[] = [];
  const malformed = (parameter: string, hint: string) =>
    err({ reason: 'parameter_malformed' as const, parameter, hint });
  const details = readObject(form.get('request_details')?.[0]);
  if (details === undefined) return malformed('request_details', 'must be a JSON object');
  const { txn, ...rest } = details;
  if (txn !== undefined) ignored.push('request_details.txn');
  const known = RequestDetails.safeParse(rest);
  if (!known.success)
    return malformed(
      'request_details',
      'may hold task (1 to 128 characters) and purpose (1 to 256) only, without control characters',
    );
  const context = readObject(form.get('request_context')?.[0]);
  if (context === undefined) return malformed('request_context', 'must be a JSON object');
  if (Object.keys(context).some((name) => name !== 'txn'))
    return malformed('request_context', 'must be empty: Writ takes the context of a request from the request itself');
  if (context['txn'] !== undefined) ignored.push('request_context.txn');
  return ok({ task: known.data.task, purpose: known.data.purpose, ignored });
}

function readObject(raw: string | undefined): JsonObject | undefined {
  if (raw === undefined) return {};
  const parsed = parseStrict(raw);
  return parsed.ok && isObject(parsed.value) ? parsed.value : undefined;
}
