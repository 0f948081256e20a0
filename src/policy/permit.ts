import type { Seconds } from '../base/index.js';
import type { Delegation } from '../delegation/index.js';
import type { McpToolCall } from '../protocol/index.js';

/** What exactly is permitted. Never wider than the delegation, the registry and the request. */
export type Grant = Readonly<{
  decision: string;
  policy: string;
  /** The ids of the policies that permit its tools. */
  policies: readonly string[];
  delegation: Delegation;
  shape: 'txnat+jwt' | 'at+jwt' | 'txntoken+jwt' | 'hand-over';
  audience: string;
  scopes: readonly string[];
  details: readonly McpToolCall[] | undefined;
  /** Whether the MCP server may count the uses itself: no tool is of tier high or critical. */
  localUses: boolean;
  notAfter: Seconds;
}>;

/**
 * Proof that a decision was made. Nominal: only `decide` makes one (its module is imported nowhere else), and it is
 * spent when a token is prepared from it.
 */
export class Permit {
  #grant: Grant | undefined;

  constructor(grant: Grant) {
    this.#grant = grant;
  }

  /** What was permitted, once. A second call is a bug and throws. */
  spend(): Grant {
    const grant = this.#grant;
    if (grant === undefined) throw new TypeError('a Permit is spent once');
    this.#grant = undefined;
    return grant;
  }
}
