import { z } from 'zod';
import { type Agent, Ceiling } from './agent.js';
import type { TrustedIssuer } from './issuer.js';
import { isNarrowedIssuer } from './narrowing-issuer.js';
import type { McpServer } from './server.js';

const WasTool = z.looseObject({
  name: z.string(),
  scopes: z.array(z.string()),
  tier: z.string(),
  action: z.string().optional(),
  data: z.string().optional(),
});
const Was = z.looseObject({
  owner: z.string().optional(),
  authentication: z.looseObject({ method: z.string() }).optional(),
  dpop_required: z.boolean().default(false),
  transaction_tokens: z.boolean().default(false),
  expires_at: z.string().optional(),
  hand_over_to: z.array(z.string()).default([]),
  allow: z.array(Ceiling).default([]),
  scopes: z.array(z.string()).default([]),
  tools: z.array(WasTool).default([]),
});
type Was = z.infer<typeof Was>;

/**
 * Whether a change takes something from tokens that live, or from what policies were told about whom they are for: such
 * tokens are to be decided over again. What is removed or disabled, and a tool whose definition is another, is cut off whole.
 * `before` is the document that was stored.
 */
export function isNarrowed(before: unknown, after: Agent | McpServer | TrustedIssuer | undefined): boolean {
  if (after !== undefined && 'accepts' in after) return isNarrowedIssuer(before, after);
  const was = Was.safeParse(before).data;
  if (was === undefined || after === undefined || !('allow' in after)) return false;
  return isLessTrusted(was, after) || ('tools' in after ? hasNarrowedTools(was, after) : isLessOfAnAgent(was, after));
}

function isLessTrusted(was: Was, after: Agent | McpServer): boolean {
  if (was.owner !== after.owner || was.authentication?.method !== after.authentication.method) return true;
  if (after.dpop_required && !was.dpop_required) return true;
  if (was.transaction_tokens && !after.transaction_tokens) return true;
  return was.allow.some((ceiling) => !isWithin(ceiling, after.allow));
}

const isLessOfAnAgent = (was: Was, after: Agent): boolean =>
  lacks(after.hand_over_to, was.hand_over_to) || Date.parse(after.expires_at) < Date.parse(was.expires_at ?? '');

const hasNarrowedTools = (was: Was, after: McpServer): boolean =>
  lacks(after.scopes, was.scopes) || was.tools.some((tool) => !isAsBefore(tool, after.tools));

function isWithin({ resource, scopes, tools }: Ceiling, allow: readonly Ceiling[]): boolean {
  const now = allow.find((other) => other.resource === resource);
  if (now === undefined || lacks(now.scopes, scopes)) return false;
  return now.tools === '*' || (tools !== '*' && !lacks(now.tools, tools));
}

/** In the classes that policies see, in whichever direction they changed, and for no more scopes than it needed. */
function isAsBefore({ name, scopes, ...was }: Was['tools'][number], tools: McpServer['tools']): boolean {
  const now = tools.find((other) => other.name === name);
  if (now === undefined || lacks(scopes, now.scopes)) return false;
  return now.tier === was.tier && now.action === was.action && now.data === was.data;
}

const lacks = (list: readonly string[], wanted: readonly string[]): boolean =>
  wanted.some((one) => !list.includes(one));
