import type { JsonObject } from '../protocol/index.js';
import type { DecisionPointSettings, IdentityProviderSettings, Settings } from './settings.js';

/** Everything that an administrator decides before the start. Deeply frozen; holds secrets, so it is never logged. */
export type Config = Readonly<{
  /** Public base URL, without trailing slash. The one source of issuer and links, never a request header. */
  issuer: string;
  /** Whether the issuer is on loopback: the only place where development keys are allowed. */
  isLocal: boolean;
  host: string;
  port: number;
  dataDir: string;
  /** Folder of the policies of a new database; `undefined`: those that Writ comes with. */
  policies: string | undefined;
  /** `undefined`: the database embedded in `dataDir`. */
  databaseUrl: string | undefined;
  databasePoolSize: number;
  /** Whether somebody accepted the embedded database for a public issuer. */
  allowEmbeddedDatabase: boolean;
  adminToken: string | undefined;
  /** Where the log is sent on to. Never without the secret, nor that without it. */
  logRetentionDays: number | undefined;
  auditWebhookUrl: string | undefined;
  auditWebhookSecret: string | undefined;
  /** Reads the log and nothing else. */
  auditToken: string | undefined;
  /** 32 bytes, base64url. Never `undefined` unless {@link Config.isLocal}. */
  keyEncryptionKey: string | undefined;
  /** Earlier ones, 32 bytes each, base64url: they open what they sealed, and seal nothing any more. */
  keyEncryptionKeyPrevious: readonly string[];
  logKeyFile: string | undefined;
  logKeyPreviousFiles: readonly string[];
  /** PEM of the Ed25519 keys that sign the log, the current one first. Empty only where {@link Config.isLocal}. */
  logKeys: readonly string[];
  /** Each the submission prefix of a witness, a space and its verifier key. */
  logWitnesses: readonly string[];
  /** Files and URLs. */
  logCopies: readonly string[];
  trustDomain: string;
  /** In CIDR form, such as `10.0.0.0/8` or `::1/128`. Empty: no forwarded header is believed. */
  trustedProxies: readonly string[];
  tls: Tls | undefined;
  identityProviders: readonly IdentityProvider[];
  /** Accounts of this Writ itself, beside those of identity providers. */
  deferredTokenResponse: 'off' | 'draft-01';
  localAccounts: boolean;
  breakGlassPasswords: boolean;
  passkeyAcr: string | undefined;
  /** Every one of them must say yes to a call at its servers. */
  decisionPoints: readonly DecisionPoint[];
  /** Hold for every agent, beside those of agents and tools. */
  budgets: Settings['budgets'];
  lifetimes: Readonly<Settings['lifetimes']>;
  limits: Readonly<Settings['limits']>;
  agentLifetimeDays: number;
  agentKeyDays: number;
  agentKeyOverlapHours: number;
  /** 0: nothing is kept of what decisions looked at. */
  decisionInputDays: number;
  logLevel: Settings['logLevel'];
  metricsToken: string | undefined;
  /** `undefined`: no traces. */
  traceEndpoint: string | undefined;
  stopDelaySeconds: number;
}>;

/** PEM texts. */
export type Tls = Readonly<{ cert: string; key: string }>;

/** A company identity provider where people sign in (OpenID Connect). */
export type IdentityProvider = Readonly<
  Pick<IdentityProviderSettings, 'id' | 'name' | 'issuer' | 'clientId'> & {
    scopes: readonly string[];
    credential: Readonly<{ kind: 'secret'; secret: string }> | Readonly<{ kind: 'private_key'; jwk: JsonObject }>;
  }
>;

/** A decision point beside our own policies: an AuthZEN 1.0 service. */
export type DecisionPoint = Readonly<
  Pick<DecisionPointSettings, 'id' | 'timeoutMs'> & {
    /** Its evaluation endpoint; `undefined` where `discover` finds it. */
    url: string | undefined;
    /** Its identifier: the base of its metadata. */
    discover: string | undefined;
    servers: '*' | readonly string[];
    /** Bearer token. */
    credential: string | undefined;
  }
>;
