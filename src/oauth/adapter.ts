import type { Adapter, AdapterPayload } from 'oidc-provider';
import type { Clock } from '../base/index.js';
import { recordKey, sha256 } from '../protocol/index.js';
import { currentContext, errors } from './library.js';
import type { EngineStore, StoredEngineRecord } from './ports.js';
import { currentRedemption } from './redeemed.js';

export type AdapterDeps = Readonly<{
  issuer: string;
  store: EngineStore;
  clock: Clock;
  findClient(clientId: string): Promise<AdapterPayload | undefined>;
}>;

/** The library's store, over ours: ids become hashes, and whoever loses a one-time step is told so. */
export const adapterFor =
  (deps: AdapterDeps) =>
  (model: string): Adapter =>
    model === 'Client' ? clientAdapter(deps) : recordAdapter(model, deps);

/** What a token says of its grant, and what a revocation of it names. */
export const grantHash = (grantId: string): string => sha256(grantId);

const FAMILY = new Set(['Grant', 'AuthorizationCode', 'RefreshToken']);

function recordAdapter(model: string, { issuer, store, clock }: AdapterDeps): Adapter {
  const restore = (record: StoredEngineRecord | undefined, id?: string): AdapterPayload | undefined =>
    record === undefined ? undefined : withId(record, id, issuer);
  return {
    upsert: (id, payload, ttl) => {
      const grantId = model === 'Grant' ? id : payload.grantId;
      const record = {
        key: recordKey(model, id),
        model,
        payload: JSON.stringify(withoutId(model, payload)),
        grant: FAMILY.has(model) && grantId !== undefined ? grantHash(grantId) : undefined,
        uid: payload.uid,
        expiresAt: ttl === undefined ? payload.exp : clock.now() + ttl,
      };
      const redemption = model === 'RefreshToken' ? currentRedemption() : undefined;
      if (redemption === undefined) return store.put(record);
      redemption.next = record;
      return Promise.resolve();
    },
    find: async (id) => {
      const payload = restore(await store.find(recordKey(model, id)), id);
      return STOLEN.has(model) && (await isInForeignHands(store, payload)) ? undefined : payload;
    },
    findByUid: async (uid) => restore(await store.findByUid(model, uid)),
    findByUserCode: () => Promise.resolve(undefined),
    consume: async (id) => {
      const key = recordKey(model, id);
      const redemption = STOLEN.has(model) ? currentRedemption() : undefined;
      if (redemption !== undefined) {
        redemption.spent = { key, model };
        return;
      }
      if (await store.consume(key, clock.now())) return;
      await endFamily(store, await store.find(key));
      throw lost(model);
    },
    destroy: (id) => (model === 'Grant' ? revokeGrant(store, grantHash(id)) : store.remove(recordKey(model, id))),
    // The library destroys the grant beside every call of this one, and that ends the whole family in one transaction.
    revokeByGrantId: () => Promise.resolve(),
  };
}

function clientAdapter({ findClient }: AdapterDeps): Adapter {
  const none = (): Promise<undefined> => Promise.resolve(undefined);
  return {
    upsert: none,
    find: findClient,
    findByUid: none,
    findByUserCode: none,
    consume: none,
    destroy: none,
    revokeByGrantId: none,
  };
}

const STOLEN = new Set(['AuthorizationCode', 'RefreshToken']);

/** TX-29: a code or refresh token that another authenticated client presents was stolen, so its family ends with it. */
async function isInForeignHands(store: EngineStore, payload: AdapterPayload | undefined): Promise<boolean> {
  const { client, route } = currentContext()?.oidc ?? {};
  const presenter = route === 'token' ? client?.clientId : undefined;
  const { clientId, grantId } = payload ?? {};
  if (presenter === undefined || clientId === undefined || clientId === presenter) return false;
  if (grantId !== undefined) await store.revokeFamily(grantHash(grantId), 'writ', 'presented by another client');
  return true;
}

/** RFC 9700 section 4.14.2: two uses of one code or refresh token mean theft, whichever of them came first. */
export async function endFamily(store: EngineStore, record: StoredEngineRecord | undefined): Promise<void> {
  if (record?.grant !== undefined)
    await store.revokeFamily(record.grant, 'writ', 'a code or refresh token was used twice');
}

async function revokeGrant(store: EngineStore, grant: string): Promise<void> {
  const { client, route } = currentContext()?.oidc ?? {};
  const asked = route === 'revocation';
  const reason = asked ? 'the client revoked its refresh token' : 'a code or refresh token was used twice';
  await store.revokeFamily(grant, asked ? (client?.clientId ?? 'writ') : 'writ', reason);
}

export function lost(model: string): Error {
  switch (model) {
    case 'PushedAuthorizationRequest':
      return new errors.InvalidRequestUri('request_uri is invalid, expired, or was already used');
    case 'RefreshToken':
      return new errors.InvalidGrant('refresh token already used');
    default:
      return new errors.InvalidGrant('authorization code already consumed');
  }
}

/** `jti` is the code, token or cookie itself; an interaction repeats its own id in `returnTo` and the session's cookie. */
function withoutId(model: string, payload: AdapterPayload): object {
  const kept: AdapterPayload = { ...payload };
  delete kept.jti;
  if (model !== 'Interaction') return kept;
  delete kept.returnTo;
  if (kept.session !== undefined) {
    kept.session = { ...kept.session };
    delete kept.session.cookie;
  }
  return kept;
}

function withId(record: StoredEngineRecord, id: string | undefined, issuer: string): AdapterPayload {
  const payload: unknown = JSON.parse(record.payload);
  if (!isPayload(payload)) throw new Error(`a stored ${record.model} is no object`);
  return {
    ...payload,
    ...(id === undefined ? {} : { jti: id }),
    ...(record.model === 'Interaction' && id !== undefined ? { returnTo: `${issuer}/auth/${id}` } : {}),
    ...(record.consumedAt === undefined ? {} : { consumed: record.consumedAt }),
  };
}

const isPayload = (value: unknown): value is AdapterPayload => typeof value === 'object' && value !== null;
