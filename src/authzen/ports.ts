import type { Approvals } from '../approval/index.js';
import type { Seconds } from '../base/index.js';
import type { Spend } from '../client/index.js';
import type { RegistrySnapshot } from '../registry/index.js';

/** A person as the database has them. */
export type AskedPerson = Readonly<{
  id: string;
  issuer: string;
  status: 'active' | 'disabled';
  attributes: Readonly<Record<string, string | undefined>>;
}>;

export interface AskedPeople {
  byId(id: string): Promise<AskedPerson | undefined>;
}

/** The decisions of one request, as they are kept, and what the request spends. */
export type DecisionBatch = Readonly<{
  requestId: string;
  registryVersion: RegistrySnapshot['version'];
  spends: readonly Spend[];
  /** RFC 7638: of the key that the caller proved who it is with. Once that is revoked, the request counts as replayed. */
  keyThumbprint: string | undefined;
  /** Whole records. */
  leaves: readonly string[];
}>;

/** Keeps the decisions before anybody is told of them, all or none: a stale or replayed request keeps nothing. */
export interface DecisionLog {
  /** `lost`: the keys of `spends` that somebody else has spent. Where there is one, no approval of the batch is spent either. */
  keep(
    batch: DecisionBatch,
  ): Promise<Readonly<{ registryVersion: number; replayed: boolean; lost: readonly string[] }>>;
}

/** Requests to people, of the same store as those of the exchange. */
export type AccessRequests = Pick<Approvals, 'ask' | 'byId' | 'answer' | 'isVoid' | 'used'> &
  Readonly<{
    /** The token that the approval of an agent's request bought, and that is on the record. */
    bought(id: string): Promise<Bought | undefined>;
  }>;

/** A token for one exact call. */
export type Bought = Readonly<{
  transaction: string;
  person: string;
  tool: string;
  argumentsSha256: string;
  expiresAt: Seconds;
}>;

/** Keys of requests, so that one asks people once; `key` and `request` are hashes, `holder` is one attempt. */
export interface RequestKeys {
  begin(
    begun: RequestKey,
  ): Promise<
    | Readonly<{ state: 'begun' | 'in_use' | 'reused' | 'too_many' }>
    | Readonly<{ state: 'answered'; answer: Uint8Array }>
  >;
  keep(begun: RequestKey, answer: Uint8Array): Promise<void>;
}
export type RequestKey = Readonly<{ key: string; request: string; holder: string }>;
