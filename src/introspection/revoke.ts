import { Fault } from '../base/index.js';
import { authenticateClient, type Caller, clientRefused } from '../client/index.js';
import { type Answer, type FormRequest, sha256 } from '../protocol/index.js';
import type { IntrospectionDeps } from './introspect.js';
import { type OwnToken, readOwnToken } from './own-token.js';
import type { TokenRevoker } from './ports.js';

export type RevocationDeps = IntrospectionDeps & Readonly<{ revoker: TokenRevoker }>;

const HEADERS = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;
/** RFC 7009 section 2.2: done, unknown and not yours look the same. */
const DONE: Answer = { status: 200, headers: HEADERS, body: undefined };
const TRIES = 4;

/** RFC 7009 for the tokens that Writ signs, by the client that they were issued to. */
export async function revocationEndpoint(http: FormRequest, deps: RevocationDeps): Promise<Answer> {
  for (let tried = 0; tried < TRIES; tried++) {
    const registry = tried === 0 ? deps.registry.current() : await deps.registry.refresh();
    const now = deps.clock.now();
    const caller = await authenticateClient(http, { ...deps.settings, registry, keys: deps.clientKeys, now });
    if (!caller.ok) {
      await deps.failures.note({ client: caller.error.knownClient, cause: caller.error.reason, route: '/revoke' });
      return clientRefused(caller.error);
    }
    const { spends, clientId } = caller.value;
    const state = await deps.states.ask({
      requestId: http.requestId,
      registryVersion: registry.version,
      spends,
      tokenHash: undefined,
      consume: undefined,
    });
    if (state.registryVersion !== registry.version) continue;
    if (state.replayed) {
      await deps.failures.note({ client: clientId, cause: 'assertion_replayed', route: '/revoke' });
      return clientRefused({ reason: 'assertion_replayed', knownClient: clientId, usedHeader: false });
    }
    const text = http.form.get('token') ?? [];
    const [token] = text;
    if (token === undefined || token === '' || text.length > 1) {
      return {
        status: 400,
        headers: HEADERS,
        body: { error: 'invalid_request', error_description: 'token must be sent once' },
      };
    }
    const own = readOwnToken(token, { keys: deps.keys.verification, issuer: deps.settings.issuer, now });
    if (own !== undefined && isIssuedTo(own, caller.value)) {
      await deps.revoker.revokeToken({ tokenHash: sha256(own.claims.jti), txn: own.claims.txn }, clientId);
    }
    return DONE;
  }
  throw new Fault('registry_unsettled', 'the registry kept changing while a token was revoked');
}

function isIssuedTo({ shape, claims }: OwnToken, { clientId, party }: Caller): boolean {
  if (shape === 'transaction') return claims.req_wl === (party.kind === 'server' ? party.server.resource : clientId);
  return claims.client_id === clientId;
}
