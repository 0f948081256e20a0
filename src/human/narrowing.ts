import { err, ok, type Result, type Seconds } from '../base/index.js';
import { MCP_TOOL_CALL, type McpToolCall, McpToolCalls, MOST_TOOLS, PersonalBudget } from '../protocol/index.js';
import type { ConsentRequest, ConsentTool } from './consent.js';

/** What the person left of what was asked: tools by their place in the page, and how long it lasts. */
export type Choice = Readonly<{
  tools: ReadonlySet<number>;
  readsOnly: boolean;
  lasts: Seconds | undefined;
  calls: number | undefined;
}>;

/** `scopes` and `tools`: absent where all of it was allowed as it was asked. `lasts`: absent for as long as may be. */
export type Narrowing = Readonly<{
  scopes: readonly string[] | undefined;
  tools: readonly McpToolCall[] | undefined;
  lasts: Seconds | undefined;
  /** So many in all, of whatever they are. */
  calls: number | undefined;
}>;

export type NarrowingFlaw = 'nothing_left' | 'too_many_tools' | 'unknown_time' | 'unreadable_limit';

const MAX_USES = 1_000;

/**
 * RFC 9396: fewer tools than were asked for become authorization details of the person's token, with the scopes that
 * those need and no other. A token has room for 32 of them.
 */
export function narrowed(request: ConsentRequest, choice: Choice): Result<Narrowing, NarrowingFlaw> {
  const { lasts, calls } = choice;
  if (lasts !== undefined && !request.lasts.includes(lasts)) return err('unknown_time');
  if (calls !== undefined && !isLimit(calls)) return err('unreadable_limit');
  const all = request.servers.flatMap(({ resource, tools }) => tools.map((tool) => ({ resource, tool })));
  const left = all.filter(
    ({ tool }, place) => choice.tools.has(place) && (!choice.readsOnly || tool.action === 'read'),
  );
  if (left.length === all.length) return ok({ scopes: undefined, tools: undefined, lasts, calls });
  if (left.length === 0) return err('nothing_left');
  if (left.length > MOST_TOOLS) return err('too_many_tools');
  const scopes = [...new Set(left.flatMap(({ tool }) => tool.scopes))];
  return ok({ scopes, tools: McpToolCalls.parse(left.map(detailOf)), lasts, calls });
}

const isLimit = (calls: number): boolean => PersonalBudget.shape.calls.safeParse(calls).success;

const detailOf = ({ resource, tool }: Readonly<{ resource: string; tool: ConsentTool }>): McpToolCall => ({
  type: MCP_TOOL_CALL,
  locations: [resource],
  actions: ['tools/call'],
  identifier: tool.name,
  max_uses: MAX_USES,
});
