import { isIP } from 'node:net';
import { z } from 'zod';
import { Budgets, isLoopback, isSecureUrl, ResourceUri, ScopeToken } from '../protocol/index.js';
import { parseVerifierKey, SignatureType } from '../tlog/index.js';

const FilePath = z.string().min(1).max(4_096);

/** A whole number of seconds with its default; the cap is not negotiable by configuration. */
const seconds = (standard: number, cap: number, least = 1): z.ZodDefault<z.ZodNumber> =>
  z
    .number({ error: 'must be a whole number of seconds' })
    .int({ error: 'must be a whole number of seconds' })
    .min(least, { error: `must be at least ${least === 1 ? '1 second' : `${least} seconds`}` })
    .max(cap, { error: `must be at most ${cap} seconds` })
    .default(standard);

const count = (standard: number, cap: number): z.ZodDefault<z.ZodNumber> =>
  z
    .number({ error: 'must be a whole number' })
    .int({ error: 'must be a whole number' })
    .min(1, { error: 'must be at least 1' })
    .max(cap, { error: `must be at most ${cap}` })
    .default(standard);

const Issuer = ResourceUri.refine((text) => text.length <= 200, { error: 'must be at most 200 characters' });

const AcrValue = z
  .string()
  .regex(/^[\x21\x23-\x5B\x5D-\x7E]{1,256}$/, { error: 'must be one word of at most 256 printable ASCII characters' });

const IdentityProvider = z
  .strictObject({
    id: z.string().regex(/^[a-z0-9-]{1,32}$/, { error: 'must be 1 to 32 of a to z, 0 to 9 and -' }),
    name: z.string().min(1).max(128),
    issuer: z.string().max(512).refine(isIssuerOfOthers, {
      error: 'must be the https URL (http on loopback only) that its discovery document gives as issuer',
    }),
    clientId: z.string().min(1).max(512),
    clientSecret: z.string().min(1).max(1_024).optional(),
    clientSecretFile: FilePath.optional(),
    privateJwkFile: FilePath.optional(),
    scopes: z
      .array(ScopeToken)
      .max(32)
      .default(['openid', 'profile', 'email'])
      .refine((scopes) => scopes.includes('openid'), { error: 'must contain openid' }),
    acrValues: z.array(AcrValue).max(32).default([]),
    groupsClaim: z.string().min(1).max(128).optional(),
  })
  .refine(
    (idp) =>
      [idp.clientSecret, idp.clientSecretFile, idp.privateJwkFile].filter((given) => given !== undefined).length === 1,
    { error: 'give exactly one of clientSecret, clientSecretFile and privateJwkFile' },
  );

const PointUrl = z.string().max(512).refine(isSecureUrl, { error: 'must be an https URL (http on loopback only)' });

const SERVERS = { error: 'must be 1 to 256 resources, or "*" for every MCP server' };

const DecisionPoint = z
  .strictObject({
    id: z.string().regex(/^[a-z0-9-]{1,32}$/, { error: 'must be 1 to 32 of a to z, 0 to 9 and -' }),
    url: PointUrl.optional(),
    discover: PointUrl.refine((text) => !text.includes('?'), { error: 'must not have a query' }).optional(),
    servers: z.union([z.literal('*'), z.array(ResourceUri).min(1, SERVERS).max(256, SERVERS)], SERVERS),
    timeoutMs: z
      .number({ error: 'must be a whole number of milliseconds' })
      .int({ error: 'must be a whole number of milliseconds' })
      .min(10, { error: 'must be at least 10' })
      .max(200, { error: 'must be at most 200' })
      .default(150),
    credentialFile: FilePath.optional(),
  })
  .refine(({ url, discover }) => (url === undefined) !== (discover === undefined), {
    error: 'give exactly one of url and discover',
  });

/** Who cosigns the checkpoints of the log (C2SP tlog-witness): a submission prefix, a space and a verifier key. */
const LogWitness = z
  .string()
  .max(1_024)
  .refine(
    (text) => {
      const [url = '', key = '', ...more] = text.split(' ');
      const read = parseVerifierKey(key);
      // C2SP tlog-cosignature: a plain signature does not say when.
      return more.length === 0 && isSecureUrl(url) && read.ok && read.value.type === SignatureType.cosignature;
    },
    {
      error:
        'must be an https URL (http on loopback only), a space and the verifier key of a witness: name+id+key, of the type for cosignatures',
    },
  );

const Tls = z.strictObject({
  certFile: FilePath.describe('Certificate chain in PEM, when Writ itself speaks TLS.').meta({
    env: 'WRIT_TLS_CERT_FILE',
  }),
  keyFile: FilePath.describe('Private key in PEM.').meta({ env: 'WRIT_TLS_KEY_FILE' }),
});

const bearerToken = (): z.ZodString =>
  z
    .string()
    .min(32, { error: 'must be at least 32 characters; make one with: openssl rand -hex 32' })
    .max(512, { error: 'must be at most 512 characters' })
    .regex(/^[A-Za-z0-9\-._~+/]+=*$/, { error: 'may hold letters, digits and -._~+/ only (RFC 6750 section 2.1)' });

const randomToken = (): z.ZodString =>
  bearerToken().refine((text) => new Set(text).size >= 8, {
    error: 'is not random; make one with: openssl rand -hex 32',
  });

const Lifetimes = z.strictObject({
  userAccessTokenSeconds: seconds(600, 3_600)
    .describe("Life of the person's access token that an agent gets by the code flow.")
    .meta({ env: 'WRIT_USER_ACCESS_TOKEN_SECONDS' }),
  transactionalAccessTokenSeconds: seconds(180, 300)
    .describe('Life of a transactional access token.')
    .meta({ env: 'WRIT_TRANSACTIONAL_ACCESS_TOKEN_SECONDS' }),
  transactionTokenSeconds: seconds(60, 300)
    .describe('Life of a transaction token for the trust domain.')
    .meta({ env: 'WRIT_TRANSACTION_TOKEN_SECONDS' }),
  sessionSeconds: seconds(28_800, 86_400, 600)
    .describe('Longest life of an agent session, however busy it is.')
    .meta({ env: 'WRIT_SESSION_SECONDS' }),
  sessionIdleSeconds: seconds(1_800, 86_400, 600)
    .describe('How long an agent session may be unused before it ends.')
    .meta({ env: 'WRIT_SESSION_IDLE_SECONDS' }),
  outcomeGraceSeconds: seconds(600, 3_600)
    .describe(
      'How long after the end of a token the outcome of its calls may come before a session is closed or a finding is made.',
    )
    .meta({ env: 'WRIT_OUTCOME_GRACE_SECONDS' }),
  keyCacheSeconds: seconds(600, 86_400)
    .describe('How long others may cache the signing keys. A new key is published for this long before it signs.')
    .meta({ env: 'WRIT_KEY_CACHE_SECONDS' }),
});

const Limits = z.strictObject({
  chainDepth: z
    .number({ error: 'must be a whole number' })
    .int({ error: 'must be a whole number' })
    .min(1, { error: 'must be at least 1' })
    .max(8, { error: 'must be at most 8' })
    .default(5)
    .describe('How many agents one delegation may pass through.')
    .meta({ env: 'WRIT_CHAIN_DEPTH' }),
  clockSkewSeconds: z
    .number({ error: 'must be a whole number of seconds' })
    .int({ error: 'must be a whole number of seconds' })
    .min(0, { error: 'must not be negative' })
    .max(60, { error: 'must be at most 60 seconds' })
    .default(30)
    .describe('How wrong the clocks of others may be.')
    .meta({ env: 'WRIT_CLOCK_SKEW_SECONDS' }),
  requestsPerClient: count(500, 1_000_000)
    .describe('Requests a second that one client may make of one process; twice as many at once after a pause.')
    .meta({ env: 'WRIT_REQUESTS_PER_CLIENT' }),
  failuresPerNetwork: count(300, 1_000_000)
    .describe('Failed authentications in ten seconds after which one process tells a network (an IPv6 /64) to wait.')
    .meta({ env: 'WRIT_FAILURES_PER_NETWORK' }),
  signInsPerNetwork: count(300, 1_000_000)
    .describe('Pages of sign-ins that a network (an IPv6 /64) may open in a minute at one process.')
    .meta({ env: 'WRIT_SIGN_INS_PER_NETWORK' }),
  signInsPerClient: count(5_000, 1_000_000)
    .describe(
      'Sign-ins that may be begun for one client in 15 minutes, which is how long each is kept, at one process.',
    )
    .meta({ env: 'WRIT_SIGN_INS_PER_CLIENT' }),
});

/** Every setting there is: its name in the file, its name in the environment (`env`), its default and its bounds. */
export const Settings = z.strictObject({
  issuer: Issuer.default('http://localhost:4455')
    .describe('The public base URL of this Writ: https, or http on loopback. It stands in every token.')
    .meta({ env: 'WRIT_ISSUER' }),
  host: z
    .string()
    .refine((text) => isIP(text) !== 0 || text === 'localhost', { error: 'must be an IP address or localhost' })
    .default('127.0.0.1')
    .describe('The address to listen on; 0.0.0.0 or :: for every interface.')
    .meta({ env: 'WRIT_HOST' }),
  port: z
    .number({ error: 'must be a port number' })
    .int({ error: 'must be a port number' })
    .min(1, { error: 'must be 1 to 65535' })
    .max(65_535, { error: 'must be 1 to 65535' })
    .optional()
    .describe("The port to listen on. Without it: the issuer's own, or 4455 behind trusted proxies.")
    .meta({ env: 'WRIT_PORT' }),
  dataDir: FilePath.default('.writ')
    .describe('Where the embedded database and the development keys live.')
    .meta({ env: 'WRIT_DATA_DIR' }),
  policies: FilePath.optional()
    .describe(
      'Folder of the policies (.cedar) that a new database starts with. Without it: those that Writ comes with.',
    )
    .meta({ env: 'WRIT_POLICIES' }),
  databaseUrl: z
    .string()
    .refine(isPostgresUrl, { error: 'must be a postgres:// or postgresql:// URL with a host and a database' })
    .optional()
    .describe('PostgreSQL server. Without it a database is embedded in the data directory.')
    .meta({ env: 'DATABASE_URL', secret: true, example: 'postgresql://writ@db.example/writ' }),
  databasePoolSize: z
    .number({ error: 'must be a whole number' })
    .int({ error: 'must be a whole number' })
    .min(1, { error: 'must be at least 1' })
    .max(200, { error: 'must be at most 200' })
    .default(10)
    .describe('Connections to the PostgreSQL server.')
    .meta({ env: 'WRIT_DATABASE_POOL_SIZE' }),
  allowEmbeddedDatabase: z
    .boolean({ error: 'must be true or false' })
    .default(false)
    .describe('Run on the embedded database although the issuer is public. It survives a crash but not a power cut.')
    .meta({ env: 'WRIT_ALLOW_EMBEDDED_DATABASE' }),
  adminToken: randomToken()
    .optional()
    .describe('Bearer token of the admin API, at least 32 random characters.')
    .meta({ env: 'WRIT_ADMIN_TOKEN', secret: true, example: 'openssl rand -hex 32' }),
  auditToken: randomToken()
    .optional()
    .describe('Bearer token that reads the log below /audit/v1 and nothing else. The admin token reads it too.')
    .meta({ env: 'WRIT_AUDIT_TOKEN', secret: true, example: 'openssl rand -hex 32' }),
  keyEncryptionKey: z
    .string()
    .refine(isRandomKey, { error: 'must be 32 random bytes in base64; make them with: openssl rand -base64 32' })
    .optional()
    .describe('Encrypts the signing keys at rest: 32 bytes in base64. Required when the issuer is not loopback.')
    .meta({ env: 'WRIT_KEY_ENCRYPTION_KEY', secret: true, example: 'openssl rand -base64 32' }),
  keyEncryptionKeyPrevious: z
    .array(
      z.string().refine(isRandomKey, {
        error: 'must be keys that keyEncryptionKey could be: 32 random bytes in base64 each',
      }),
    )
    .max(4, { error: 'must be at most 4 keys' })
    .default([])
    .describe(
      'Earlier values of WRIT_KEY_ENCRYPTION_KEY, separated by commas: what they sealed is sealed anew at the start. ' +
        'Several replicas: first give all of them the new key here, then swap the two, then leave the old one out.',
    )
    .meta({ env: 'WRIT_KEY_ENCRYPTION_KEY_PREVIOUS', secret: true }),
  logKeyFile: FilePath.optional()
    .describe(
      'PEM file with the Ed25519 private key that signs the log. Keep it out of the database and its backups, the same ' +
        'for all replicas. Required when the issuer is not loopback.',
    )
    .meta({ env: 'WRIT_LOG_KEY_FILE', example: 'openssl genpkey -algorithm ed25519 -out log-key.pem' }),
  logKeyPreviousFiles: z
    .array(FilePath)
    .max(4, { error: 'must be at most 4 files' })
    .default([])
    .describe(
      'Earlier files of WRIT_LOG_KEY_FILE, separated by commas: they sign beside the new key until they are left out.',
    )
    .meta({ env: 'WRIT_LOG_KEY_PREVIOUS_FILES' }),
  logWitnesses: z
    .array(LogWitness)
    .max(8, { error: 'must be at most 8' })
    .default([])
    .describe(
      'Witnesses that cosign the log (C2SP tlog-witness), separated by commas: each its URL, a space and its verifier key.',
    )
    .meta({ env: 'WRIT_LOG_WITNESSES', example: 'https://witness.example w1+f9f6d8a3+BM3r...' }),
  logCopies: z
    .array(z.union([PointUrl, FilePath]))
    .max(8, { error: 'must be at most 8' })
    .default([])
    .describe(
      'Where copies of the newest checkpoint of the log are kept, separated by commas: files, or https URLs that take a ' +
        'POST. Keep one where nobody who has the database reaches it.',
    )
    .meta({ env: 'WRIT_LOG_COPIES' }),
  trustDomain: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?$/, { error: 'must be a lower-case name such as example.com' })
    .optional()
    .describe("Audience of transaction tokens. Without it: the issuer's host name.")
    .meta({ env: 'WRIT_TRUST_DOMAIN', example: 'example.com' }),
  trustedProxies: z
    .array(
      z
        .string()
        .refine(isNetwork, { error: 'must be an IP address or a network such as 10.0.0.0/8, and not everything' }),
    )
    .max(64)
    .default([])
    .describe('Addresses or networks of the reverse proxies whose X-Forwarded-For is believed, separated by commas.')
    .meta({ env: 'WRIT_TRUSTED_PROXIES' }),
  tls: Tls.optional(),
  identityProviders: z
    .array(IdentityProvider)
    .max(16)
    .default([])
    .refine((all) => new Set(all.map(({ id }) => id)).size === all.length, { error: 'names one id twice' }),
  localAccounts: z
    .boolean({ error: 'must be true or false' })
    .default(false)
    .describe(
      'Accounts of Writ itself, opened by passkey, for people whom an administrator invites (writ persons invite).',
    )
    .meta({ env: 'WRIT_LOCAL_ACCOUNTS' }),
  breakGlassPasswords: z
    .boolean({ error: 'must be true or false' })
    .default(false)
    .describe('Local accounts may have a password for emergencies, which approves nothing dangerous (amr pwd, no acr).')
    .meta({ env: 'WRIT_BREAK_GLASS_PASSWORDS' }),
  passkeyAcr: AcrValue.optional()
    .describe('What a sign-in by passkey claims as acr. Without it: nothing.')
    .meta({ env: 'WRIT_PASSKEY_ACR', example: 'phr' }),
  decisionPoints: z
    .array(DecisionPoint)
    .max(8)
    .default([])
    .refine((all) => new Set(all.map(({ id }) => id)).size === all.length, { error: 'names one id twice' }),
  budgets: Budgets.default([]),
  lifetimes: Lifetimes.prefault({}),
  limits: Limits.prefault({}),
  agentLifetimeDays: z
    .number({ error: 'must be a whole number of days' })
    .int({ error: 'must be a whole number of days' })
    .min(1, { error: 'must be at least 1 day' })
    .max(1_096, { error: 'must be at most 1096 days' })
    .default(365)
    .describe('How far ahead the end of an agent may be set, and how long one lives that is registered without an end.')
    .meta({ env: 'WRIT_AGENT_LIFETIME_DAYS' }),
  agentKeyDays: z
    .number({ error: 'must be a whole number of days' })
    .int({ error: 'must be a whole number of days' })
    .min(1, { error: 'must be at least 1 day' })
    .max(1_096, { error: 'must be at most 1096 days' })
    .default(90)
    .describe('How old a key of an agent may be. An older one is refused; it is rotated before by writ agents rotate.')
    .meta({ env: 'WRIT_AGENT_KEY_DAYS' }),
  agentKeyOverlapHours: z
    .number({ error: 'must be a whole number of hours' })
    .int({ error: 'must be a whole number of hours' })
    .min(1, { error: 'must be at least 1 hour' })
    .max(720, { error: 'must be at most 720 hours' })
    .default(24)
    .describe('How long the old key of an agent is taken after a rotation, so that all its instances get the new one.')
    .meta({ env: 'WRIT_AGENT_KEY_OVERLAP_HOURS' }),
  decisionInputDays: z
    .number({ error: 'must be a whole number of days' })
    .int({ error: 'must be a whole number of days' })
    .min(0, { error: 'must not be negative' })
    .max(90, { error: 'must be at most 90 days' })
    .default(7)
    .describe('How long what a decision looked at is kept, encrypted, for writ policy replay; 0 keeps nothing.')
    .meta({ env: 'WRIT_DECISION_INPUT_DAYS' }),
  logRetentionDays: z
    .number({ error: 'must be a whole number of days' })
    .int({ error: 'must be a whole number of days' })
    .min(1, { error: 'must be at least 1 day' })
    .max(36_500, { error: 'must be at most 36500 days' })
    .optional()
    .describe('How long the content of the log is kept; its hashes and proofs stay. Without it: for ever.')
    .meta({ env: 'WRIT_LOG_RETENTION_DAYS', example: '400' }),
  deferredTokenResponse: z
    .enum(['off', 'draft-01'], { error: 'must be off or draft-01' })
    .default('off')
    .describe(
      'Exchanges that a person has to approve wait for them, by this version of the draft OAuth 2.0 Deferred Token Response.',
    )
    .meta({ env: 'WRIT_DEFERRED_TOKEN_RESPONSE' }),
  auditWebhookUrl: PointUrl.optional()
    .describe('Where the log is sent on to, at least once and in order, signed as Standard Webhooks are.')
    .meta({ env: 'WRIT_AUDIT_WEBHOOK_URL', example: 'https://siem.example.com/writ' }),
  auditWebhookSecret: z
    .string()
    .regex(/^whsec_[A-Za-z0-9+/]{32,86}={0,2}$/, {
      error: 'must be whsec_ and 24 to 64 random bytes in base64; make one with: echo whsec_$(openssl rand -base64 32)',
    })
    .optional()
    .describe('Signs what is sent to WRIT_AUDIT_WEBHOOK_URL (Standard Webhooks, HMAC-SHA256).')
    .meta({ env: 'WRIT_AUDIT_WEBHOOK_SECRET', secret: true, example: 'echo whsec_$(openssl rand -base64 32)' }),
  logLevel: z
    .enum(['silent', 'error', 'warn', 'info', 'debug', 'trace'], {
      error: 'must be silent, error, warn, info, debug or trace',
    })
    .default('info')
    .describe('How much is written to standard output.')
    .meta({ env: 'WRIT_LOG_LEVEL' }),
  metricsToken: bearerToken()
    .optional()
    .describe('Bearer token of /metrics. Without it they are open on a loopback issuer and closed on any other.')
    .meta({ env: 'WRIT_METRICS_TOKEN', secret: true, example: 'openssl rand -hex 32' }),
  traceEndpoint: z
    .string()
    .refine(isCollector, { error: 'must be an http or https URL without user, query or fragment' })
    .optional()
    .describe('Base URL of an OpenTelemetry collector that takes OTLP over HTTP. Without it no traces are kept.')
    .meta({ env: 'OTEL_EXPORTER_OTLP_ENDPOINT', example: 'http://collector.example:4318' }),
  stopDelaySeconds: z
    .number({ error: 'must be a whole number of seconds' })
    .int({ error: 'must be a whole number of seconds' })
    .min(0, { error: 'must not be negative' })
    .max(4, { error: 'must be at most 4 seconds' })
    .default(1)
    .describe('How long a process that is told to stop still takes requests while /readyz says that it stops.')
    .meta({ env: 'WRIT_STOP_DELAY_SECONDS' }),
});
export type Settings = z.infer<typeof Settings>;
export type DecisionPointSettings = z.infer<typeof DecisionPoint>;
export type IdentityProviderSettings = z.infer<typeof IdentityProvider>;

function isPostgresUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, pathname, searchParams } = new URL(text);
  return /^postgres(ql)?:$/.test(protocol) && (hostname !== '' || searchParams.has('host')) && pathname.length > 1;
}

function isCollector(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && [username, password, search, hash].every((part) => part === '');
}

function isRandomKey(text: string): boolean {
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return false;
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === 32 && new Set(bytes).size >= 8;
}

function isNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const bits = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0;
  if (bits === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^[1-9]\d{0,2}$/.test(prefix) && Number(prefix) <= bits);
}

function isIssuerOfOthers(text: string): boolean {
  if (!URL.canParse(text) || /[?#]/.test(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname));
}
