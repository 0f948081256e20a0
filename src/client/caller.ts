import type { Seconds } from '../base/index.js';
import type { RegisteredAgent, RegisteredServer } from '../registry/index.js';

/** A one-time thing that a request presented; the commit spends it, whatever the verdict. */
export type Spend = Readonly<{ what: 'assertion' | 'dpop' | 'actor' | 'approval'; key: string; expiresAt: Seconds }>;

/** An authenticated client. An MCP server is a client too: of introspection, revocation and its own exchanges. */
export type Caller = Readonly<{
  clientId: string;
  party: Readonly<{ kind: 'agent'; agent: RegisteredAgent }> | Readonly<{ kind: 'server'; server: RegisteredServer }>;
  method: 'private_key_jwt' | 'client_secret_basic' | 'client_secret_post';
  /** `kid` of the key that signed the assertion. */
  keyId: string | undefined;
  /** RFC 7638 thumbprint of it. */
  keyThumbprint?: string;
  spends: readonly Spend[];
}>;

/** Why authentication failed: for the log. The client learns none of it. */
export type ClientRefusal = Readonly<{
  reason:
    | 'no_credentials'
    | 'several_methods'
    | 'malformed_credentials'
    | 'unknown_client'
    | 'unusable_client'
    | 'key_too_old'
    | 'key_retired'
    | 'wrong_method'
    | 'wrong_secret'
    | 'too_many_claims'
    | 'assertion_malformed'
    | 'assertion_wrong_type'
    | 'assertion_wrong_signature'
    | 'assertion_wrong_subject'
    | 'assertion_wrong_audience'
    | 'assertion_expired'
    | 'assertion_too_long_lived'
    | 'assertion_replayed';
  /** The client that it claimed to be, only when such a client is registered. */
  knownClient: string | undefined;
  /** Whether the Authorization header was used: then the answer carries WWW-Authenticate (RFC 6749 section 5.2). */
  usedHeader: boolean;
  /** Nothing was checked, and may be after so many seconds. */
  wait?: Seconds | undefined;
}>;
