import { err, ok, type Result } from '../../base/index.js';
import {
  isObject,
  type Json,
  type JsonObject,
  memberText,
  parseArguments,
  parseObject,
  ToolName,
} from '../../protocol/index.js';
import { type Answer, rpcError } from './answer.js';
import type { Inbound } from './credential.js';

/** One JSON-RPC message of a request, read once and strictly; the MCP SDK gets `body`, so nobody reads it differently. */
export type Message = Readonly<{ text: string; body: JsonObject; call: ToolCall | undefined }>;

/** A `tools/call` as it was sent: before schema defaults, before coercion. */
export type ToolCall = Readonly<{
  id: string | number;
  tool: string;
  arguments: JsonObject;
  sha256: string;
  modern: boolean;
  /** The revision that the headers name. */
  version: string | undefined;
  /** What the client says with this request that it can do. */
  capabilities: Json | undefined;
  /** It is sent again, with what the client was asked for. */
  answersInput: boolean;
  /** The client was led to the page of an approval, and its person would not go there. */
  declines: boolean;
}>;

/** The first revision in which every request repeats method and name in headers. */
const HEADERS_SINCE = '2026-07-28';
const HEADER_MISMATCH = -32020;

/** Takes exactly one message: JSON-RPC batches, which would hide a second call, are refused. */
export function readMessage(text: string, request: Inbound): Result<Message, Answer> {
  const parsed = parseObject(text);
  if (!parsed.ok) {
    const unreadable = parsed.error === 'not_json';
    return err(
      unreadable ? rpcError(400, -32700, 'Parse error') : rpcError(400, -32600, `Invalid request: ${parsed.error}`),
    );
  }
  const body = parsed.value;
  const modern = isModern(body, request);
  const mismatch = contradiction(body, request, modern);
  if (mismatch !== undefined) return err(rpcError(400, HEADER_MISMATCH, mismatch, idOf(body)));
  if (body['method'] !== 'tools/call') return ok({ text, body, call: undefined });
  const call = readCall(text, body, { modern, version: request.header('mcp-protocol-version')[0] });
  return call.ok ? ok({ text, body, call: call.value }) : call;
}

function readCall(
  text: string,
  body: JsonObject,
  revision: Pick<ToolCall, 'modern' | 'version'>,
): Result<ToolCall, Answer> {
  const id = idOf(body);
  const { params } = body;
  if (id === null || !isObject(params))
    return err(rpcError(400, -32600, 'Invalid request: tools/call needs id and params', id));
  const tool = ToolName.safeParse(params['name']);
  if (!tool.success) return err(rpcError(400, -32602, 'Invalid params: name', id));
  const read = parseArguments(memberText(memberText(text, 'params') ?? '{}', 'arguments') ?? '{}');
  if (!read.ok) return err(rpcError(400, -32602, `Invalid params: arguments: ${read.error}`, id));
  const meta = params['_meta'];
  const capabilities = isObject(meta) ? meta['io.modelcontextprotocol/clientCapabilities'] : undefined;
  const answersInput = 'inputResponses' in params;
  const declines = isDeclined(params['inputResponses']);
  return ok({ id, tool: tool.data, ...revision, capabilities, answersInput, declines, ...read.value });
}

/** MCP 2026-07-28, elicitation: a person may decline, which is a no, or cancel, which is none. */
const isDeclined = (responses: Json | undefined): boolean =>
  isObject(responses) && isObject(responses['approval']) && responses['approval']['action'] === 'decline';

/** MCP 2026-07-28: a policy that reads the header while the tool runs the body would be no policy. */
function contradiction(body: JsonObject, request: Inbound, modern: boolean): string | undefined {
  const { method, params } = body;
  if (typeof method !== 'string') return undefined;
  const isCall = method === 'tools/call';
  const name = isCall && isObject(params) ? params['name'] : undefined;
  const must = modern && 'id' in body;
  if (differs(request.header('mcp-method'), method, must)) return 'Header mismatch: Mcp-Method';
  if (isCall && differs(request.header('mcp-name'), name, must)) return 'Header mismatch: Mcp-Name';
  return undefined;
}

function differs([sent, ...more]: readonly string[], inBody: unknown, must: boolean): boolean {
  if (sent === undefined) return must;
  return more.length > 0 || decoded(sent) !== inBody;
}

/** Names that do not fit into a header come as `=?base64?…?=`. */
function decoded(value: string): string {
  const [, encoded] = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/.exec(value) ?? [];
  return encoded === undefined ? value : Buffer.from(encoded, 'base64').toString('utf8');
}

function isModern({ params }: JsonObject, request: Inbound): boolean {
  const meta = isObject(params) ? params['_meta'] : undefined;
  const inBody = isObject(meta) ? meta['io.modelcontextprotocol/protocolVersion'] : undefined;
  return [...request.header('mcp-protocol-version'), inBody].some(
    (version) => typeof version === 'string' && version >= HEADERS_SINCE,
  );
}

function idOf({ id }: JsonObject): string | number | null {
  return typeof id === 'string' || typeof id === 'number' ? id : null;
}
