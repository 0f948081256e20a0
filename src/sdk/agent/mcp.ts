import { memberText, parseObject } from '../../protocol/index.js';
import { AgentError } from './errors.js';
import type { WantedTool } from './request.js';

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
