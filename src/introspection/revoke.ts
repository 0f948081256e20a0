import { asClient, type Caller } from '../client/index.js';
import type { Seconds } from '../base/index.js';
import { type Answer, DEFERRAL_CODE, type FormRequest, sha256 } from '../protocol/index.js';
import type { IntrospectionDeps } from './introspect.js';
import { type OwnToken, readOwnToken } from './own-token.js';
import type { HandleReader, TokenRevoker } from './ports.js';

/** Ends a request to people, if this client asked it; `undefined` where exchanges do not wait for people. */
export type DeferralEnder = (code: string, clientId: string, now: Seconds) => Promise<void>;

export type RevocationDeps = IntrospectionDeps &
  Readonly<{ revoker: TokenRevoker; transactionOf: HandleReader; endDeferral: DeferralEnder | undefined }>;

const HEADERS = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;
/** RFC 7009 section 2.2: done, unknown and not yours look the same. */
const DONE: Answer = { status: 200, headers: HEADERS, body: undefined };

/** RFC 7009 for the tokens that Writ signs, by the client that they were issued to; a transaction handle ends its transaction. */
export function revocationEndpoint(http: FormRequest, deps: RevocationDeps): Promise<Answer> {
  return asClient(http, '/revoke', deps, async (caller, registry, now) => {
    const { requestId } = http;
    const { spends, keyThumbprint } = caller;
    const basis = { requestId, registryVersion: registry.version, spends, keyThumbprint };
    const state = await deps.states.ask({ ...basis, tokenHash: undefined, consume: undefined });
    if (state.registryVersion !== registry.version) return 'stale';
    if (state.replayed) return 'replayed';
    for (const [name, values] of http.form) if (values.length > 1) return malformed(`${name} must be sent once`);
    const text = http.form.get('token')?.[0] ?? '';
    if (text === '') return malformed('token is missing');
    const own = readOwnToken(text, { keys: deps.keys.verification, issuer: deps.settings.issuer, now });
    if (own !== undefined && isIssuedTo(own, caller)) {
      await deps.revoker.revokeToken({ tokenHash: sha256(own.claims.jti), txn: own.claims.txn }, caller.clientId);
    }
    const txn = own === undefined ? deps.transactionOf(text, caller.clientId, now) : undefined;
    if (txn !== undefined) await deps.revoker.revokeTransaction(txn, caller.clientId);
    if (DEFERRAL_CODE.test(text)) await deps.endDeferral?.(text, caller.clientId, now);
    return DONE;
  });
}

const malformed = (error_description: string): Answer => ({
  status: 400,
  headers: HEADERS,
  body: { error: 'invalid_request', error_description },
});

function isIssuedTo({ shape, claims }: OwnToken, { clientId, party }: Caller): boolean {
  if (shape === 'transaction') return claims.req_wl === (party.kind === 'server' ? party.server.resource : clientId);
  return claims.client_id === clientId;
}
