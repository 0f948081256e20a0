import { type JsonObject, listedPin, memberText, parseObject, watchToolsList } from '../../protocol/index.js';
import { AgentError } from './errors.js';
import type { WantedTool } from './request.js';

/** Names that are remembered for one server; what comes after that is not. */
const MAX_SHOWN = 2_048;

/** What the tools of one server were shown to be, by the answers to `tools/list` that passed by. */
export interface ShownTools {
  watch(response: Response): Response;
  pinOf(tool: string): string | undefined;
}

/** See {@link ShownTools}. The newest answer counts. */
export function createShownTools(): ShownTools {
  const pins = new Map<string, string | undefined>();
  const learn = (tools: readonly JsonObject[]): void => {
    for (const tool of tools) {
      const { name } = tool;
      if (typeof name === 'string' && (pins.has(name) || pins.size < MAX_SHOWN)) pins.set(name, listedPin(tool));
    }
  };
  return { watch: (response) => watchToolsList(response, learn), pinOf: (tool) => pins.get(tool) };
}

/** True for a request for the list of tools. */
export function asksForTools(text: string): boolean {
  const parsed = parseObject(text);
  return parsed.ok && parsed.value['method'] === 'tools/list';
}

/** The tool call in a JSON-RPC request, with its arguments as they will be sent; `undefined` for any other message. */
export function toolCallIn(text: string): WantedTool | undefined {
  const parsed = parseObject(text);
  if (!parsed.ok) throw new AgentError('unsafe_request', `the request has no one reading: ${parsed.error}`);
  if (parsed.value['method'] !== 'tools/call') return undefined;
  const params = memberText(text, 'params') ?? '{}';
  const named = parseObject(params);
  const name = named.ok ? named.value['name'] : undefined;
  if (typeof name !== 'string') throw new AgentError('unsafe_request', 'the tool call names no tool');
  return { name, argumentsText: memberText(params, 'arguments') ?? '{}' };
}
