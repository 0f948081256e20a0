import { err, ok, type Result } from '../../base/index.js';
import type { Delegation, ToolGrant } from './delegation.js';
import type { Reason } from './errors.js';
import type { ToolCall } from './message.js';

/** Scopes that each tool needs besides what the token says of it. */
export type ToolScopes = Readonly<Record<string, readonly string[]>>;

/**
 * RFC 9396: the detail that permits this call, exactly with these arguments where it has a digest. A token without
 * details calls only tools that are listed in `scopes`, and `undefined` says that none needs consuming.
 */
export function grantFor(
  call: ToolCall,
  delegation: Delegation,
  { resource, scopes }: { resource: string; scopes: ToolScopes },
): Result<ToolGrant | undefined, Reason | 'arguments_changed'> {
  const needed = scopesOf(call.tool, scopes);
  if (needed.some((scope) => !delegation.scopes.includes(scope))) return err('scope_missing');
  if (delegation.details.length === 0) return needed.length > 0 ? ok(undefined) : err('tool_not_granted');
  const named = delegation.details.filter((grant) => grant.tool === call.tool && grant.resource === resource);
  if (named.length === 0) return err('tool_not_granted');
  const fitting = named.find(({ argumentsSha256 }) => argumentsSha256 === undefined || argumentsSha256 === call.sha256);
  return fitting ? ok(fitting) : err('arguments_changed');
}

/** Whether some call of this tool is covered. It says nothing of arguments and uses. */
export function mayCall(
  tool: string,
  delegation: Delegation,
  { resource, scopes }: { resource: string; scopes: ToolScopes },
): boolean {
  const needed = scopesOf(tool, scopes);
  if (needed.some((scope) => !delegation.scopes.includes(scope))) return false;
  if (delegation.details.length === 0) return needed.length > 0;
  return delegation.details.some((grant) => grant.tool === tool && grant.resource === resource);
}

/** The scopes that this server asks for a tool; none for one that it does not list. */
export const scopesOf = (tool: string, scopes: ToolScopes): readonly string[] =>
  Object.hasOwn(scopes, tool) ? (scopes[tool] ?? []) : [];
