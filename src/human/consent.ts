import { isLoopback } from '../protocol/index.js';
import type { RegisteredAgent, RegistrySnapshot } from '../registry/index.js';
import type { Person } from './people.js';

/** Everything the person is shown before deciding; nothing else is granted. */
export type ConsentRequest = Readonly<{
  agent: Readonly<{ clientId: string; name: string; owner: string; purpose: string }>;
  person: Readonly<{ name: string; email: string | undefined }>;
  redirectHost: string;
  /** Every address that the agent returns to is on the person's own computer (MCP: impersonation by a local program). */
  isLoopback: boolean;
  servers: readonly Readonly<{ name: string; resource: string; scopes: readonly string[] }>[];
  staysSignedIn: boolean;
}>;

export function consentRequest(
  registry: RegistrySnapshot,
  asked: Readonly<{ agent: RegisteredAgent; person: Person; redirectUri: string; scopes: readonly string[] }>,
): ConsentRequest {
  const { agent, person, scopes } = asked;
  const { client_id: clientId, name, owner, purpose } = agent;
  return {
    agent: { clientId, name, owner, purpose },
    person: { name: person.attributes.name ?? person.attributes.email ?? person.id, email: person.attributes.email },
    redirectHost: new URL(asked.redirectUri).host,
    isLoopback: agent.redirect_uris.every((uri) => isLoopback(new URL(uri).hostname)),
    servers: agent.allow
      .map((ceiling) => ({
        name: registry.serverByResource(ceiling.resource)?.name ?? ceiling.resource,
        resource: ceiling.resource,
        scopes: ceiling.scopes.filter((scope) => scopes.includes(scope)),
      }))
      .filter(({ scopes: wanted }) => wanted.length > 0),
    staysSignedIn: scopes.includes('offline_access'),
  };
}
