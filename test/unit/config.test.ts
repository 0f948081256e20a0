import { generateKeyPairSync, sign } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import {
  type Config,
  describeProblem,
  environmentExample,
  environmentSettings,
  loadConfig,
  Settings,
} from '../../src/config/index.js';
import { verifierKey } from '../../src/tlog/index.js';

const KEY = Buffer.from(Array.from({ length: 32 }, (_, i) => i * 7)).toString('base64');
const PUBLIC = {
  WRIT_ISSUER: 'https://writ.example',
  DATABASE_URL: 'postgresql://writ@db.example/writ',
  WRIT_KEY_ENCRYPTION_KEY: KEY,
  WRIT_TRUSTED_PROXIES: '10.0.0.0/8',
  WRIT_LOG_KEY_FILE: 'log-key.pem',
};
const LOG_KEY = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();

type Files = Record<string, string>;
const reader =
  (files: Files) =>
  (path: string): string | undefined => {
    if (files[path] === 'unreadable') throw new Error('EACCES');
    return files[path] ?? (path === 'log-key.pem' ? LOG_KEY : undefined);
  };

function started(env: Record<string, string>, files: Files = {}): Config {
  const config = loadConfig(env, reader(files));
  if (!config.ok) throw new Error(config.error.map(describeProblem).join('\n'));
  return config.value;
}

function refused(env: Record<string, string>, files: Files = {}): string[] {
  const config = loadConfig(env, reader(files));
  return config.ok ? [] : config.error.map(describeProblem);
}

const yaml = (text: string): [Record<string, string>, Files] => [{ WRIT_CONFIG: 'w.yaml' }, { 'w.yaml': text }];

describe('the configuration', () => {
  it('is whole and safe for one machine when nothing is set', () => {
    expect(started({})).toStrictEqual({
      issuer: 'http://localhost:4455',
      isLocal: true,
      host: '127.0.0.1',
      port: 4455,
      dataDir: '.writ',
      policies: undefined,
      databaseUrl: undefined,
      databasePoolSize: 10,
      allowEmbeddedDatabase: false,
      adminToken: undefined,
      keyEncryptionKey: undefined,
      keyEncryptionKeyPrevious: [],
      logKeyFile: undefined,
      logKeyPreviousFiles: [],
      logKeys: [],
      logRetentionDays: undefined,
      logWitnesses: [],
      localAccounts: false,
      breakGlassPasswords: false,
      logCopies: [],
      trustDomain: 'localhost',
      trustedProxies: [],
      tls: undefined,
      identityProviders: [],
      agentLifetimeDays: 365,
      agentKeyDays: 90,
      agentKeyOverlapHours: 24,
      decisionInputDays: 7,
      decisionPoints: [],
      deferredTokenResponse: 'off',
      budgets: [],
      lifetimes: {
        userAccessTokenSeconds: 600,
        transactionalAccessTokenSeconds: 180,
        transactionTokenSeconds: 60,
        sessionSeconds: 28_800,
        sessionIdleSeconds: 1_800,
        keyCacheSeconds: 600,
        outcomeGraceSeconds: 600,
      },
      limits: {
        chainDepth: 5,
        clockSkewSeconds: 30,
        requestsPerClient: 500,
        failuresPerNetwork: 300,
        signInsPerNetwork: 300,
        signInsPerClient: 5_000,
      },
      auditToken: undefined,
      auditWebhookUrl: undefined,
      auditWebhookSecret: undefined,
      logLevel: 'info',
      metricsToken: undefined,
      passkeyAcr: undefined,
      traceEndpoint: undefined,
      stopDelaySeconds: 1,
    });
  });

  it('takes the environment over the file, and an empty variable as unset', () => {
    const files = { 'w.yaml': 'issuer: http://localhost:5000\nlogLevel: warn\nlimits: { chainDepth: 3 }' };
    const env = {
      WRIT_CONFIG: 'w.yaml',
      WRIT_ISSUER: 'http://localhost:6000',
      WRIT_LOG_LEVEL: '',
      WRIT_CLOCK_SKEW_SECONDS: '5',
    };
    expect(started(env, files)).toMatchObject({
      issuer: 'http://localhost:6000',
      port: 6000,
      logLevel: 'warn',
      limits: { chainDepth: 3, clockSkewSeconds: 5 },
    });
  });

  it('listens behind proxies on 4455 and by itself on the port of the issuer', () => {
    expect(started(PUBLIC)).toMatchObject({ port: 4455, trustDomain: 'writ.example', isLocal: false });
    expect(started({ WRIT_ISSUER: 'http://localhost' }).port).toBe(80);
    expect(started({ ...PUBLIC, WRIT_PORT: '9000' }).port).toBe(9000);
  });

  it('gives networks in one form and the key encryption key as base64url', () => {
    const config = started({ ...PUBLIC, WRIT_TRUSTED_PROXIES: '10.0.0.0/8, 192.0.2.7,::1' });
    expect(config.trustedProxies).toStrictEqual(['10.0.0.0/8', '192.0.2.7/32', '::1/128']);
    expect(config.keyEncryptionKey).toBe(Buffer.from(KEY, 'base64').toString('base64url'));
  });

  it('is frozen to its last leaf', () => {
    const { lifetimes, identityProviders, ...rest } = started({});
    expect([lifetimes, identityProviders, started({}), rest.trustedProxies].every(Object.isFrozen)).toBe(true);
  });

  it('has a name in the environment for every setting but the identity providers, decision points and budgets', () => {
    const known = environmentSettings.map(({ path }) => path.join('.'));
    const groups = Settings.parse({});
    const leaves = Object.keys(Settings.shape).flatMap((name) => {
      if (name === 'lifetimes') return Object.keys(groups.lifetimes).map((inner) => `lifetimes.${inner}`);
      if (name === 'limits') return Object.keys(groups.limits).map((inner) => `limits.${inner}`);
      return name === 'tls' ? ['tls.certFile', 'tls.keyFile'] : [name];
    });
    expect(known).toStrictEqual(
      leaves.filter((name) => !['identityProviders', 'decisionPoints', 'budgets'].includes(name)),
    );
  });

  it('has no setting that nothing reads', () => {
    // config/development.ts makes the keys at rest of what is configured. Only the rule about it in src/config reads this one: it permits a start, and changes nothing after it.
    const decidedAtTheStart = ['allowEmbeddedDatabase'];
    const { lifetimes, limits } = Settings.parse({});
    const names = [...Object.keys(Settings.shape), ...Object.keys(lifetimes), ...Object.keys(limits)];
    const source = readdirSync('src', { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !/^(config\/(?!development)|storage\/generated)/.test(path))
      .map((path) => readFileSync(`src/${path}`, 'utf8'))
      .join('\n');
    const isRead = (name: string): boolean => new RegExp(`\\.${name}\\b|[{,]\\s*${name}\\s*[,:}=]`).test(source);
    expect(names.filter((name) => !isRead(name))).toStrictEqual(decidedAtTheStart);
  });

  it('has a current .env.example that gives no secret a value', () => {
    expect(readFileSync('.env.example', 'utf8')).toBe(environmentExample());
    for (const { env } of environmentSettings.filter(({ secret }) => secret)) {
      expect(environmentExample()).toContain(`\n# ${env}=\n`);
    }
  });

  it('starts with the file that the package brings', () => {
    expect(
      refused({ WRIT_CONFIG: 'config/writ.yaml' }, { 'config/writ.yaml': readFileSync('config/writ.yaml', 'utf8') }),
    ).toStrictEqual([]);
  });
});

describe('a refusal to start', () => {
  it.each<[string, Record<string, string>, string[]]>([
    [
      'http beyond loopback',
      { WRIT_ISSUER: 'http://writ.example' },
      [
        'WRIT_ISSUER (issuer): must be an absolute https URI (http on loopback) in canonical form, without fragment, query or trailing slash',
      ],
    ],
    [
      'an issuer with a trailing slash',
      { WRIT_ISSUER: 'https://writ.example/' },
      [
        'WRIT_ISSUER (issuer): must be an absolute https URI (http on loopback) in canonical form, without fragment, query or trailing slash',
      ],
    ],
    [
      'https that nothing speaks',
      { ...PUBLIC, WRIT_TRUSTED_PROXIES: '' },
      [
        'WRIT_ISSUER (issuer): is https, but nothing here speaks TLS: set tls.certFile and tls.keyFile (WRIT_TLS_CERT_FILE, WRIT_TLS_KEY_FILE), or name the proxies that do in trustedProxies (WRIT_TRUSTED_PROXIES)',
      ],
    ],
    [
      'a public issuer without key encryption key',
      { ...PUBLIC, WRIT_KEY_ENCRYPTION_KEY: '' },
      [
        'WRIT_KEY_ENCRYPTION_KEY (keyEncryptionKey): is required when the issuer is not loopback; make one with: openssl rand -base64 32',
      ],
    ],
    [
      'a public issuer without a key for the log',
      { ...PUBLIC, WRIT_LOG_KEY_FILE: '' },
      [
        'WRIT_LOG_KEY_FILE (logKeyFile): is required when the issuer is not loopback; make one with: openssl genpkey -algorithm ed25519 -out log-key.pem',
      ],
    ],
    [
      'a key for the log that is not there',
      { WRIT_LOG_KEY_FILE: 'lost.pem' },
      ['WRIT_LOG_KEY_FILE (logKeyFile): there is no file lost.pem'],
    ],
    [
      'an earlier key for the log without the one that follows',
      { WRIT_LOG_KEY_PREVIOUS_FILES: 'log-key.pem' },
      [
        'WRIT_LOG_KEY_PREVIOUS_FILES (logKeyPreviousFiles): is set without the key that follows: set logKeyFile (WRIT_LOG_KEY_FILE) too',
      ],
    ],
    [
      'a public issuer on the embedded database',
      { ...PUBLIC, DATABASE_URL: '' },
      [
        'DATABASE_URL (databaseUrl): is required when the issuer is not loopback: set it to a PostgreSQL server, or accept the embedded database, which a power cut can damage, with allowEmbeddedDatabase: true (WRIT_ALLOW_EMBEDDED_DATABASE)',
      ],
    ],
    [
      'a key encryption key of the wrong length',
      { WRIT_KEY_ENCRYPTION_KEY: 'c2hvcnQ=' },
      [
        'WRIT_KEY_ENCRYPTION_KEY (keyEncryptionKey): must be 32 random bytes in base64; make them with: openssl rand -base64 32',
      ],
    ],
    [
      'a key encryption key of zeros',
      { WRIT_KEY_ENCRYPTION_KEY: Buffer.alloc(32).toString('base64') },
      [
        'WRIT_KEY_ENCRYPTION_KEY (keyEncryptionKey): must be 32 random bytes in base64; make them with: openssl rand -base64 32',
      ],
    ],
    [
      'sessions that are over before their tokens',
      { WRIT_SESSION_SECONDS: '599' },
      ['WRIT_SESSION_SECONDS (lifetimes.sessionSeconds): must be at least 600 seconds'],
    ],
    [
      'a short admin token',
      { WRIT_ADMIN_TOKEN: 'abcdefgh-12345' },
      ['WRIT_ADMIN_TOKEN (adminToken): must be at least 32 characters; make one with: openssl rand -hex 32'],
    ],
    [
      'an admin token of one letter',
      { WRIT_ADMIN_TOKEN: 'a'.repeat(64) },
      ['WRIT_ADMIN_TOKEN (adminToken): is not random; make one with: openssl rand -hex 32'],
    ],
    [
      'a port that an orchestrator injected',
      { WRIT_PORT: 'tcp://10.0.0.1:80' },
      ['WRIT_PORT (port): must be a port number'],
    ],
    [
      'a switch that is not a switch',
      { WRIT_ALLOW_EMBEDDED_DATABASE: 'yes' },
      ['WRIT_ALLOW_EMBEDDED_DATABASE (allowEmbeddedDatabase): must be true or false'],
    ],
    [
      'another database',
      { DATABASE_URL: 'mysql://db/writ' },
      ['DATABASE_URL (databaseUrl): must be a postgres:// or postgresql:// URL with a host and a database'],
    ],
    [
      'a proxy list that trusts everybody',
      { WRIT_TRUSTED_PROXIES: '0.0.0.0/0' },
      [
        'WRIT_TRUSTED_PROXIES (trustedProxies.0): must be an IP address or a network such as 10.0.0.0/8, and not everything',
      ],
    ],
    [
      'a network with too many bits',
      { WRIT_TRUSTED_PROXIES: '10.0.0.0/8,10.0.0.0/33' },
      [
        'WRIT_TRUSTED_PROXIES (trustedProxies.1): must be an IP address or a network such as 10.0.0.0/8, and not everything',
      ],
    ],
    [
      'a life above its cap',
      { WRIT_TRANSACTIONAL_ACCESS_TOKEN_SECONDS: '301' },
      [
        'WRIT_TRANSACTIONAL_ACCESS_TOKEN_SECONDS (lifetimes.transactionalAccessTokenSeconds): must be at most 300 seconds',
      ],
    ],
    ['a chain above its cap', { WRIT_CHAIN_DEPTH: '9' }, ['WRIT_CHAIN_DEPTH (limits.chainDepth): must be at most 8']],
    [
      'a clock skew above its cap',
      { WRIT_CLOCK_SKEW_SECONDS: '61' },
      ['WRIT_CLOCK_SKEW_SECONDS (limits.clockSkewSeconds): must be at most 60 seconds'],
    ],
    [
      'a log level nobody knows',
      { WRIT_LOG_LEVEL: 'verbose' },
      ['WRIT_LOG_LEVEL (logLevel): must be silent, error, warn, info, debug or trace'],
    ],
    [
      'a collector with credentials in its address',
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://user:secret@collector.example:4318' },
      ['OTEL_EXPORTER_OTLP_ENDPOINT (traceEndpoint): must be an http or https URL without user, query or fragment'],
    ],
    [
      'a token for the metrics that can be guessed',
      { WRIT_METRICS_TOKEN: 'short' },
      ['WRIT_METRICS_TOKEN (metricsToken): must be at least 32 characters; make one with: openssl rand -hex 32'],
    ],
    [
      'a token for auditors that is the admin token',
      { WRIT_ADMIN_TOKEN: '0123456789abcdef0123456789abcdef', WRIT_AUDIT_TOKEN: '0123456789abcdef0123456789abcdef' },
      [
        'WRIT_AUDIT_TOKEN (auditToken): is the admin token; who reads the log must not be able to change what it is about',
      ],
    ],
    [
      'a witness whose key is for plain signatures',
      {
        WRIT_LOG_WITNESSES: `https://witness.example ${verifierKey('w1', generateKeyPairSync('ed25519').privateKey).text}`,
      },
      [
        'WRIT_LOG_WITNESSES (logWitnesses.0): must be an https URL (http on loopback only), a space and the verifier key of a witness: name+id+key, of the type for cosignatures',
      ],
    ],
    [
      'a configuration file that is not there',
      { WRIT_CONFIG: 'lost.yaml' },
      ['WRIT_CONFIG: there is no file lost.yaml'],
    ],
  ])('names the key for %s', (_, env, problems) => {
    expect(refused(env)).toStrictEqual(problems);
  });

  it.each<[string, string, string[]]>([
    ['an unknown name', 'isuer: http://localhost:4455', ['isuer: is not a setting; correct its name or remove it']],
    [
      'an unknown name in a group',
      'limits: { depth: 5 }',
      ['limits.depth: is not a setting; correct its name or remove it'],
    ],
    ['a name given twice', 'port: 1\nport: 2', ['WRIT_CONFIG: w.yaml: Map keys must be unique at line 2, column 1:']],
    [
      'a reserved key',
      '__proto__: { adminToken: x }',
      ['WRIT_CONFIG: w.yaml: uses a reserved key (__proto__, constructor or prototype)'],
    ],
    [
      'a tag',
      'host: !!js/function x',
      ['WRIT_CONFIG: w.yaml: Unresolved tag: tag:yaml.org,2002:js/function at line 1, column 7:'],
    ],
    ['a list as document', '- issuer', ['WRIT_CONFIG: w.yaml: must be a mapping of names to values']],
    ['an alias of itself', 'a: &a [*a]', ['WRIT_CONFIG: w.yaml: is not data that JSON can hold']],
    ['aliases that multiply', bomb(), ['WRIT_CONFIG: w.yaml: uses too many aliases']],
    ['two documents', 'port: 1\n---\nport: 2', ['WRIT_CONFIG: w.yaml must hold one YAML document']],
    [
      'half of TLS',
      'tls: { certFile: a.pem }',
      ['WRIT_TLS_KEY_FILE (tls.keyFile): Invalid input: expected string, received undefined'],
    ],
    [
      'an identity provider with two credentials',
      idp('clientSecret: s\n    clientSecretFile: f'),
      ['identityProviders.0: give exactly one of clientSecret, clientSecretFile and privateJwkFile'],
    ],
    [
      'an identity provider with a lost secret',
      idp('clientSecretFile: lost'),
      ['identityProviders.0.clientSecretFile: there is no file lost'],
    ],
    [
      'an identity provider whose key is no key',
      idp('privateJwkFile: w.yaml'),
      ['identityProviders.0.privateJwkFile: holds no private JWK of type EC, OKP or RSA'],
    ],
    [
      'an identity provider that is Writ itself',
      `issuer: https://login.example\ntrustedProxies: [10.0.0.1]\nallowEmbeddedDatabase: true\nkeyEncryptionKey: ${KEY}\nlogKeyFile: log-key.pem\n${idp('clientSecret: s')}`,
      ['identityProviders: names our own issuer; a person cannot sign in to Writ by Writ'],
    ],
    [
      'local accounts at an address of numbers',
      'issuer: http://127.0.0.1:4455\nlocalAccounts: true',
      [
        'WRIT_LOCAL_ACCOUNTS (localAccounts): is on, but the issuer is an IP address: a browser keeps passkeys for host names, such as localhost',
      ],
    ],
    [
      'an acr of passkeys in several words',
      'passkeyAcr: two words',
      ['WRIT_PASSKEY_ACR (passkeyAcr): must be one word of at most 256 printable ASCII characters'],
    ],
    [
      'a class of an identity provider in several words',
      idp('clientSecret: s\n    acrValues: [two words]'),
      ['identityProviders.0.acrValues.0: must be one word of at most 256 printable ASCII characters'],
    ],
    [
      'a decision point found in two ways',
      point('url: https://pdp.example/evaluation\n    discover: https://pdp.example'),
      ['decisionPoints.0: give exactly one of url and discover'],
    ],
    [
      'a decision point found in no way',
      point('timeoutMs: 100'),
      ['decisionPoints.0: give exactly one of url and discover'],
    ],
    [
      'a decision point without TLS',
      point('url: http://pdp.example/evaluation'),
      ['decisionPoints.0.url: must be an https URL (http on loopback only)'],
    ],
    [
      'a decision point that may take its time',
      point('discover: https://pdp.example\n    timeoutMs: 201'),
      ['decisionPoints.0.timeoutMs: must be at most 200'],
    ],
    [
      'a decision point for no server',
      'decisionPoints: [{ id: pdp, discover: "https://pdp.example", servers: [] }]',
      ['decisionPoints.0.servers: must be 1 to 256 resources, or "*" for every MCP server'],
    ],
    [
      'a decision point whose credential is none',
      point('discover: https://pdp.example\n    credentialFile: w.yaml'),
      ['decisionPoints.0.credentialFile: holds no bearer token (RFC 6750 section 2.1)'],
    ],
    [
      'two decision points of one name',
      'decisionPoints: [{ id: p, discover: "https://a.example", servers: "*" }, { id: p, discover: "https://b.example", servers: "*" }]',
      ['decisionPoints: names one id twice'],
    ],
  ])('names the place in the file for %s', (_, text, problems) => {
    expect(refused(...yaml(text))).toStrictEqual(problems);
  });

  it('shows every problem at once, and no value of a secret', () => {
    const problems = refused({
      WRIT_ISSUER: 'https://writ.example',
      WRIT_ADMIN_TOKEN: 'hunter2-hunter2',
      WRIT_PORT: '0',
    });
    expect(problems.map((line) => line.split(' ')[0])).toStrictEqual([
      'WRIT_PORT',
      'WRIT_ADMIN_TOKEN',
      'WRIT_ISSUER',
      'WRIT_KEY_ENCRYPTION_KEY',
      'WRIT_LOG_KEY_FILE',
      'DATABASE_URL',
    ]);
    expect(problems.join('\n')).not.toContain('hunter2');
  });

  it('says which file cannot be read', () => {
    expect(refused({ WRIT_CONFIG: 'w.yaml' }, { 'w.yaml': 'unreadable' })).toStrictEqual([
      'WRIT_CONFIG: the file w.yaml cannot be read; check its permissions',
    ]);
  });
});

describe('credentials in files', () => {
  it('gives the secret of an identity provider without the line end', () => {
    const [env, files] = yaml(idp('clientSecretFile: secret'));
    expect(started(env, { ...files, secret: 's3cret\n' }).identityProviders).toStrictEqual([
      {
        id: 'company',
        name: 'Company',
        acrValues: [],
        issuer: 'https://login.example',
        clientId: 'writ',
        scopes: ['openid', 'profile', 'email'],
        credential: { kind: 'secret', secret: 's3cret' },
      },
    ]);
  });

  it('gives the bearer token of a decision point without the line end', () => {
    const [env, files] = yaml(point('discover: https://pdp.example\n    credentialFile: token'));
    expect(started(env, { ...files, token: 'a-token\n' }).decisionPoints).toStrictEqual([
      {
        id: 'pdp',
        url: undefined,
        discover: 'https://pdp.example',
        servers: '*',
        timeoutMs: 150,
        credential: 'a-token',
      },
    ]);
  });

  it('gives the private key of an identity provider as a JWK', () => {
    const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
    const [env, files] = yaml(idp('privateJwkFile: key.json'));
    expect(started(env, { ...files, 'key.json': JSON.stringify(jwk) }).identityProviders[0]?.credential).toStrictEqual({
      kind: 'private_key',
      jwk,
    });
  });

  it('gives the keys of the log, the one that signs first, and refuses another kind', () => {
    const other = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' });
    const env = { WRIT_LOG_KEY_FILE: 'log-key.pem', WRIT_LOG_KEY_PREVIOUS_FILES: 'other.pem' };
    expect(started(env, { 'other.pem': other }).logKeys).toStrictEqual([LOG_KEY, other]);
    expect(refused(env, { 'other.pem': ec.toString() })).toStrictEqual([
      'WRIT_LOG_KEY_PREVIOUS_FILES (logKeyPreviousFiles.0): other.pem holds no Ed25519 private key in PEM without passphrase',
    ]);
  });

  it('serves TLS with a certificate and its own key, and refuses a pair that does not fit', () => {
    const { cert, key, otherKey } = certificate();
    const env = { ...PUBLIC, WRIT_TRUSTED_PROXIES: '', WRIT_TLS_CERT_FILE: 'c.pem', WRIT_TLS_KEY_FILE: 'k.pem' };
    expect(started(env, { 'c.pem': cert, 'k.pem': key })).toMatchObject({ tls: { cert, key }, port: 443 });
    expect(refused(env, { 'c.pem': cert, 'k.pem': otherKey })).toStrictEqual([
      'WRIT_TLS_KEY_FILE (tls.keyFile): does not belong to tls.certFile',
    ]);
    expect(refused(env, { 'c.pem': 'no', 'k.pem': key })).toStrictEqual([
      'WRIT_TLS_CERT_FILE (tls.certFile): holds no certificate in PEM',
    ]);
  });
});

function idp(credential: string): string {
  return `identityProviders:\n  - id: company\n    name: Company\n    issuer: https://login.example\n    clientId: writ\n    ${credential}`;
}

function point(found: string): string {
  return `decisionPoints:\n  - id: pdp\n    servers: '*'\n    ${found}`;
}

function bomb(): string {
  const layers = 'bcdefghi'.split('').map(
    (name, i) =>
      `${name}: &${name} [${Array(9)
        .fill(`*${'abcdefgh'[i] ?? ''}`)
        .join(', ')}]`,
  );
  return ['a: &a [x]', ...layers].join('\n');
}

/** A self-signed certificate made by hand (RFC 5280), because Node can read but not make one. */
function certificate(): { cert: string; key: string; otherKey: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = der(0x30, Buffer.from('06082a8648ce3d040302', 'hex'));
  const name = der(0x30, der(0x31, der(0x30, Buffer.from('0603550403', 'hex'), der(0x0c, Buffer.from('writ')))));
  const validity = der(0x30, der(0x17, Buffer.from('260101000000Z')), der(0x17, Buffer.from('360101000000Z')));
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const version = der(0xa0, der(0x02, Buffer.from([2])));
  const tbs = der(0x30, version, der(0x02, Buffer.from([1])), algorithm, name, validity, name, spki);
  const whole = der(0x30, tbs, algorithm, der(0x03, Buffer.from([0]), sign('sha256', tbs, privateKey)));
  const pkcs8 = { format: 'pem', type: 'pkcs8' } as const;
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${whole.toString('base64')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export(pkcs8).toString(),
    otherKey: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export(pkcs8).toString(),
  };
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const long = body.length > 255 ? [0x82, body.length >> 8, body.length & 255] : [0x81, body.length];
  return Buffer.concat([Buffer.from([tag, ...(body.length < 128 ? [body.length] : long)]), body]);
}
