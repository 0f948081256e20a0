import { isIP } from 'node:net';
import { isLoopback } from '../protocol/index.js';
import { type ConfigProblem, problem } from './problem.js';
import type { Settings } from './settings.js';

type Rule = Readonly<{
  about: readonly (keyof Settings)[];
  path: string;
  broken: (s: Settings) => boolean;
  message: string;
}>;

/** Settings that are sound one by one and unsafe or senseless together. */
const RULES: readonly Rule[] = [
  {
    about: ['issuer', 'tls', 'trustedProxies'],
    path: 'issuer',
    broken: (s) => s.issuer.startsWith('https:') && s.tls === undefined && s.trustedProxies.length === 0,
    message:
      'is https, but nothing here speaks TLS: set tls.certFile and tls.keyFile (WRIT_TLS_CERT_FILE, WRIT_TLS_KEY_FILE), ' +
      'or name the proxies that do in trustedProxies (WRIT_TRUSTED_PROXIES)',
  },
  {
    about: ['issuer', 'tls'],
    path: 'tls',
    broken: (s) => s.issuer.startsWith('http:') && s.tls !== undefined,
    message: 'is set, but the issuer is http: make the issuer https or leave tls out',
  },
  {
    about: ['adminToken', 'auditToken'],
    path: 'auditToken',
    broken: (s) => s.auditToken !== undefined && s.auditToken === s.adminToken,
    message: 'is the admin token; who reads the log must not be able to change what it is about',
  },
  {
    about: ['auditWebhookUrl', 'auditWebhookSecret'],
    path: 'auditWebhookSecret',
    broken: (s) => (s.auditWebhookUrl === undefined) !== (s.auditWebhookSecret === undefined),
    message: 'belongs to auditWebhookUrl (WRIT_AUDIT_WEBHOOK_URL): give both or neither',
  },
  {
    about: ['issuer', 'keyEncryptionKey'],
    path: 'keyEncryptionKey',
    broken: (s) => !isLocal(s) && s.keyEncryptionKey === undefined,
    message: 'is required when the issuer is not loopback; make one with: openssl rand -base64 32',
  },
  {
    about: ['keyEncryptionKey', 'keyEncryptionKeyPrevious'],
    path: 'keyEncryptionKeyPrevious',
    broken: (s) => s.keyEncryptionKey === undefined && s.keyEncryptionKeyPrevious.length > 0,
    message: 'is set without the key that follows: set keyEncryptionKey (WRIT_KEY_ENCRYPTION_KEY) too',
  },
  {
    about: ['issuer', 'logKeyFile'],
    path: 'logKeyFile',
    broken: (s) => !isLocal(s) && s.logKeyFile === undefined,
    message:
      'is required when the issuer is not loopback; make one with: openssl genpkey -algorithm ed25519 -out log-key.pem',
  },
  {
    about: ['logKeyFile', 'logKeyPreviousFiles'],
    path: 'logKeyPreviousFiles',
    broken: (s) => s.logKeyFile === undefined && s.logKeyPreviousFiles.length > 0,
    message: 'is set without the key that follows: set logKeyFile (WRIT_LOG_KEY_FILE) too',
  },
  {
    about: ['issuer', 'databaseUrl', 'allowEmbeddedDatabase'],
    path: 'databaseUrl',
    broken: (s) => !isLocal(s) && s.databaseUrl === undefined && !s.allowEmbeddedDatabase,
    message:
      'is required when the issuer is not loopback: set it to a PostgreSQL server, or accept the embedded database, ' +
      'which a power cut can damage, with allowEmbeddedDatabase: true (WRIT_ALLOW_EMBEDDED_DATABASE)',
  },
  {
    about: ['issuer', 'localAccounts'],
    path: 'localAccounts',
    broken: (s) => s.localAccounts && isAddress(s.issuer),
    message: 'is on, but the issuer is an IP address: a browser keeps passkeys for host names, such as localhost',
  },
  {
    about: ['breakGlassPasswords', 'localAccounts'],
    path: 'breakGlassPasswords',
    broken: (s) => s.breakGlassPasswords && !s.localAccounts,
    message: 'is on, but there are no local accounts: set localAccounts (WRIT_LOCAL_ACCOUNTS) too, or leave it out',
  },
  {
    about: ['issuer', 'identityProviders'],
    path: 'identityProviders',
    broken: (s) => s.identityProviders.some((idp) => idp.issuer === s.issuer || idp.issuer === `${s.issuer}/`),
    message: 'names our own issuer; a person cannot sign in to Writ by Writ',
  },
];

/** WebAuthn section 5.1.3: the RP ID is a domain, so browsers keep no passkeys for an address. */
export function isAddress(issuer: string): boolean {
  const { hostname } = new URL(issuer);
  return isIP(hostname.replace(/^\[(.*)\]$/, '$1')) !== 0;
}

/** The broken rules, leaving out those about a setting that is itself flawed. */
export const unsafeTogether = (settings: Settings, flawed: ReadonlySet<string>): readonly ConfigProblem[] =>
  RULES.filter(({ about, broken }) => !about.some((name) => flawed.has(name)) && broken(settings)).map(
    ({ path, message }) => problem(path, message),
  );

/** Whether the issuer is on loopback. */
export const isLocal = ({ issuer }: Pick<Settings, 'issuer'>): boolean => isLoopback(new URL(issuer).hostname);
