import { type RunningServer, startMcp } from '../support/mcp.js';
import { RS1 } from '../support/world.js';
import { makeKey } from '../support/writ.js';
import { change, type SignInWorld } from './sign-in.js';

/** A real MCP server behind the guard, registered at this Writ with the tools of rs1 and allowed to A1. */
export async function startGuarded(world: SignInWorld): Promise<RunningServer> {
  const mcp = await startMcp('v2 fetch', { issuer: world.issuer });
  const rs1 = (await world.admin('GET', `/servers/${encodeURIComponent(RS1)}`)).body as Record<string, unknown>;
  const authentication = { method: 'private_key_jwt', jwks: { keys: [makeKey().jwk] } };
  const server = { ...rs1, resource: mcp.resource, client_id: 'srv_guarded', authentication };
  const made = await world.admin('PUT', `/servers/${encodeURIComponent(mcp.resource)}`, server);
  if (made.status !== 201) throw new Error(made.text);
  const allowed = { resource: mcp.resource, scopes: ['repo:read', 'repo:write'], tools: '*' };
  await change(world, 'agt_a1', (agent) => ({ ...agent, allow: [...(agent['allow'] as unknown[]), allowed] }));
  return mcp;
}
