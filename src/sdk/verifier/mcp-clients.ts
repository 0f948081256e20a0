import { isObject, type JsonObject } from '../../protocol/index.js';
import type { Elicitation } from './approval.js';
import type { Delegation } from './delegation.js';
import type { ToolCall } from './message.js';

/** What the MCP clients of this server said that they can do. */
export interface McpClients {
  /** Hears what a client declares when it connects, up to MCP 2025-11-25; later ones say it with each request. */
  hear(body: JsonObject, delegation: Delegation): void;
  elicitationOf(call: ToolCall, delegation: Delegation): Elicitation;
}

const MOST = 10_000;

/**
 * See {@link McpClients}. Of the revisions without it in the request it is kept by agent session, in this process alone: where
 * nothing is known, and where clients of one session differ, nobody is asked for what they may not be able to do.
 */
export function createMcpClients(): McpClients {
  const known = new Map<string, boolean>();
  const keyOf = ({ session, client }: Delegation): string => `${session} ${client}`;
  return {
    hear({ method, params }, delegation) {
      if (method !== 'initialize' || !isObject(params)) return;
      const key = keyOf(delegation);
      const before = known.get(key) ?? true;
      known.delete(key);
      known.set(key, before && opensUrls(params['capabilities']));
      const [oldest] = known.keys();
      if (known.size > MOST && oldest !== undefined) known.delete(oldest);
    },
    elicitationOf({ modern, version, capabilities }, delegation) {
      if (modern) return opensUrls(capabilities) ? 'input_required' : undefined;
      return version === URL_MODE_SINCE && known.get(keyOf(delegation)) === true ? 'error' : undefined;
    },
  };
}

/** The revision that has URL elicitation and its error. */
const URL_MODE_SINCE = '2025-11-25';

/** An empty `elicitation` means forms only. */
const opensUrls = (capabilities: JsonObject[string] | undefined): boolean =>
  isObject(capabilities) && isObject(capabilities['elicitation']) && isObject(capabilities['elicitation']['url']);
