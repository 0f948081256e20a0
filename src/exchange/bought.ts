import type { Seconds } from '../base/index.js';
import { McpToolCalls } from '../protocol/index.js';
import type { Recorded } from '../token/index.js';

/** The one exact call of a token that an approval bought; `undefined` for what is none. */
export function boughtCall({
  token,
}: Recorded):
  | Readonly<{ transaction: string; person: string; tool: string; argumentsSha256: string; expiresAt: Seconds }>
  | undefined {
  const { transaction, personId: person, expiresAt } = token;
  const [only, ...others] = McpToolCalls.safeParse(token.claims['authorization_details']).data ?? [];
  if (only?.arguments_sha256 === undefined || others.length > 0) return undefined;
  return { transaction, person, tool: only.identifier, argumentsSha256: only.arguments_sha256, expiresAt };
}
