import {
  type JsonObject,
  listedPin,
  MCP_TOOL_CALL,
  parseArguments,
  TOKEN_EXCHANGE_GRANT,
  TokenType,
} from '../../protocol/index.js';
import { AgentError } from './errors.js';

/** A tool that the token shall permit. With arguments, in one of the two forms, it permits exactly that call. */
export type WantedTool = Readonly<{
  name: string;
  /** The MCP server it belongs to; that of the request when left out. */
  resource?: string;
  arguments?: JsonObject;
  /** The arguments as JSON text, byte for byte as they will be sent. */
  argumentsText?: string;
  /** The tool as `tools/list` showed it: if that is not what was reviewed, there is no token. */
  definition?: JsonObject;
  /** The RFC 8785 SHA-256 of that definition, where only this is at hand. */
  definitionSha256?: string;
  /** How many calls; 1 when left out. */
  uses?: number;
}>;

/** What an agent asks for. Exactly one of `resource` (an MCP server) and `audience` (trust domain or another agent). */
export type ExchangeRequest = Readonly<{
  subjectToken: string;
  subjectTokenType?: string;
  /** A JWT that this agent signed about the instance of it that acts. */
  actorToken?: string;
  actorTokenType?: string;
  resource?: string;
  audience?: string;
  requestedTokenType?: string;
  /** Of an earlier answer: this exchange joins its transaction. Goes with that `requestedTokenType`. */
  transactionHandle?: string;
  scope?: string | readonly string[];
  tools?: readonly WantedTool[];
  task?: string;
  purpose?: string;
}>;

/** RFC 8693 section 2.1 as form fields, without the client's own authentication. */
export function toForm(request: ExchangeRequest): Record<string, string> {
  if ((request.resource === undefined) === (request.audience === undefined))
    throw new TypeError('exchange: give resource or audience, not both');
  const { scope, tools, task, purpose } = request;
  return defined({
    grant_type: TOKEN_EXCHANGE_GRANT,
    subject_token: request.subjectToken,
    subject_token_type: request.subjectTokenType ?? TokenType.accessToken,
    actor_token: request.actorToken,
    actor_token_type: request.actorToken === undefined ? undefined : (request.actorTokenType ?? TokenType.jwt),
    resource: request.resource,
    audience: request.audience,
    requested_token_type: request.requestedTokenType,
    txn_handle: request.transactionHandle,
    scope: typeof scope === 'object' ? scope.join(' ') : scope,
    authorization_details: tools && `[${tools.map((tool) => toDetail(tool, request.resource)).join(',')}]`,
    request_details: task === undefined && purpose === undefined ? undefined : JSON.stringify({ task, purpose }),
  });
}

/** Written as text, not through JSON.stringify: the digest covers the numbers as they are spelled. */
function toDetail(tool: WantedTool, fallback: string | undefined): string {
  const resource = tool.resource ?? fallback;
  if (resource === undefined) throw new TypeError(`exchange: tool ${tool.name} needs a resource`);
  const detail = {
    type: MCP_TOOL_CALL,
    locations: [resource],
    actions: ['tools/call'],
    identifier: tool.name,
    max_uses: tool.uses ?? 1,
    definition_sha256: pinOf(tool),
  };
  const text = JSON.stringify(detail);
  const sent = argumentsOf(tool);
  return sent === undefined ? text : `${text.slice(0, -1)},"arguments":${sent}}`;
}

function pinOf({ name, definition, definitionSha256 }: WantedTool): string | undefined {
  if (definition === undefined) return definitionSha256;
  const pin = listedPin(definition);
  if (pin === undefined || definition['name'] !== name)
    throw new AgentError('unsafe_request', `the definition of ${name} is another tool's, or has no one reading`);
  return pin;
}

function argumentsOf({ arguments: given, argumentsText }: WantedTool): string | undefined {
  const text = argumentsText ?? (given && JSON.stringify(given));
  if (text === undefined) return undefined;
  const read = parseArguments(text);
  if (!read.ok) throw new AgentError('unsafe_request', `the arguments have no one reading: ${read.error}`);
  return text;
}

function defined(fields: Record<string, string | undefined>): Record<string, string> {
  const form: Record<string, string> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) form[name] = value;
  }
  return form;
}
