import type { RegistryReader } from '../registry/index.js';
import { ceilingOf } from './clients.js';
import { type EngineContext, errors } from './library.js';

/** Scopes that the engine itself knows; every other one is a scope of an MCP server. */
export const OWN_SCOPES = ['openid', 'offline_access'] as const;

/**
 * Judges and completes `scope` at /auth and /request: an agent that names none gets its ceiling (real MCP clients name
 * none), and one that names more than its ceiling is refused rather than cut down in silence.
 */
export function completeScope(registry: RegistryReader, context: EngineContext, requested: string | undefined): void {
  const { client, params } = context.oidc;
  const ceiling = ceilingOf(client === undefined ? undefined : registry.current().agent(client.clientId));
  const allowed = new Set<string>([...ceiling.split(' '), ...OWN_SCOPES]);
  const excess = (requested?.split(' ') ?? []).find((scope) => !allowed.has(scope));
  if (excess !== undefined) throw new errors.InvalidScope('requested scope is not allowed', excess);
  if (requested !== undefined) return;
  if (ceiling === '') throw new errors.InvalidScope('no scope is registered for this client', '');
  if (params !== undefined) params['scope'] = ceiling;
}
