import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { SignJWT } from 'jose';
import { type Config, loadConfig } from '../../src/config/index.js';
import { PublicJwk } from '../../src/protocol/index.js';
import { startWrit, type Writ } from '../../src/server.js';
import { databaseKinds, type DatabaseKind, migratedAddress } from './databases.js';

/** A client's key pair with its public half as it is registered. */
export type ClientKey = Readonly<{ privateKey: KeyObject; jwk: PublicJwk }>;

export function makeKey(kid: string = randomUUID()): ClientKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { privateKey, jwk: { ...PublicJwk.parse(publicKey.export({ format: 'jwk' })), kid, alg: 'ES256' } };
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export const ADMIN_TOKEN = 'test-admin-token-0123456789-abcdefghijklmnop';

export type TestWrit = Readonly<{
  issuer: string;
  config: Config;
  writ: Writ;
  faults: unknown[];
  /** POSTs a form; repeated values by arrays. */
  post(path: string, form: Form, headers?: Record<string, string>): Promise<Reply>;
  admin(method: string, path: string, body?: unknown): Promise<Reply>;
  close(): Promise<void>;
}>;

export type Form = Readonly<Record<string, string | readonly string[] | undefined>>;
export type Reply = Readonly<{ status: number; headers: Headers; body: unknown; text: string }>;

/** Writ as it is run, on a database of its own and a free port. */
export async function startTestWrit(
  options: Readonly<{
    kind?: DatabaseKind;
    env?: Record<string, string>;
    file?: string;
    files?: Record<string, string>;
    /** Another way to the database of a server, such as through a Wire. */
    reach?: (url: string) => Promise<string>;
  }> = {},
): Promise<TestWrit> {
  const kind = options.kind ?? databaseKinds.at(-1) ?? 'embedded';
  const fresh = await migratedAddress(kind);
  const { url } = fresh.options;
  const issuer = options.env?.['WRIT_ISSUER'] ?? `http://127.0.0.1:${await freePort()}`;
  const env = {
    WRIT_ISSUER: issuer,
    WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
    WRIT_REQUESTS_PER_CLIENT: '1000000',
    WRIT_FAILURES_PER_NETWORK: '1000000',
    WRIT_SIGN_INS_PER_NETWORK: '1000000',
    WRIT_SIGN_INS_PER_CLIENT: '1000000',
    WRIT_TRUST_DOMAIN: 'trust.example',
    WRIT_POLICIES: 'test/support/policies',
    WRIT_DATA_DIR: fresh.options.dataDir === '' ? `/tmp/writ-test-${randomUUID()}` : fresh.options.dataDir,
    ...(url === undefined ? {} : { DATABASE_URL: (await options.reach?.(url)) ?? url }),
    ...options.env,
  };
  const config = loadConfig(env, (path) => options.files?.[path] ?? options.file);
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  const faults: unknown[] = [];
  const writ = await startWrit(config.value, { report: (thrown) => faults.push(thrown) });
  return {
    issuer,
    config: config.value,
    writ,
    faults,
    ...callsTo(issuer),
    close: async () => {
      await writ.close();
      await fresh.remove().catch(() => undefined);
    },
  };
}

/** The calls of a test to one process, whatever issuer it stands for. */
function callsTo(base: string): Pick<TestWrit, 'post' | 'admin'> {
  return {
    post: (path, form, headers) => sendForm(`${base}${path}`, form, headers),
    admin: (method, path, body) =>
      request(`${base}/admin/v1${path}`, {
        method,
        headers: {
          authorization: `Bearer ${ADMIN_TOKEN}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
  };
}

/** POSTs a form to this address. */
export const sendForm = (url: string, form: Form, headers: Record<string, string> = {}): Promise<Reply> =>
  request(url, { method: 'POST', headers, body: encodeForm(form) });

export function encodeForm(form: Form): URLSearchParams {
  const body = new URLSearchParams();
  for (const [name, value] of Object.entries(form)) {
    for (const one of value === undefined ? [] : typeof value === 'string' ? [value] : value) body.append(name, one);
  }
  return body;
}

export async function request(url: string, init: RequestInit): Promise<Reply> {
  const response = await fetch(url, { ...init, redirect: 'manual' });
  const text = await response.text();
  let body: unknown = text;
  try {
    body = JSON.parse(text);
  } catch {
    // an empty or HTML body stays text
  }
  return { status: response.status, headers: response.headers, body, text };
}

export type Tokens = Readonly<{ access_token: string; refresh_token?: string; id_token?: string }>;

/** The tokens of an answer that has to have some. */
export function tokensOf({ body, text }: Reply): Tokens {
  if (typeof body === 'object' && body !== null && 'access_token' in body) return body as Tokens;
  throw new Error(text);
}

export const tokenOf = (reply: Reply): string => tokensOf(reply).access_token;

/** All that an answer says, to be compared as a whole. */
export const answerOf = ({ status, body }: Reply): unknown[] => [status, body];

/** RFC 7523 client assertion as RFC 10070 wants it; `break` changes one thing. */
export async function assertion(
  issuer: string,
  client: Readonly<{ id: string; key: ClientKey }>,
  broken: Readonly<{ claims?: Record<string, unknown>; header?: Record<string, unknown> }> = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({
    iss: client.id,
    sub: client.id,
    aud: issuer,
    jti: randomUUID(),
    iat: now,
    exp: now + 60,
    ...broken.claims,
  })
    .setProtectedHeader({
      alg: 'ES256',
      kid: client.key.jwk.kid ?? '',
      typ: 'client-authentication+jwt',
      ...broken.header,
    })
    .sign(client.key.privateKey);
}

export const bearerAssertion = async (
  issuer: string,
  client: Readonly<{ id: string; key: ClientKey }>,
): Promise<Form> => ({
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  client_assertion: await assertion(issuer, client),
});

/** A second process' worth of Writ on the database and keys of the first, behind the same issuer. */
export async function startReplica(
  first: TestWrit,
): Promise<Pick<TestWrit, 'post' | 'admin' | 'close' | 'faults'> & Readonly<{ base: string }>> {
  const port = await freePort();
  const config = loadConfig(
    {
      WRIT_ISSUER: first.issuer,
      WRIT_PORT: String(port),
      WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
      WRIT_REQUESTS_PER_CLIENT: '1000000',
      WRIT_FAILURES_PER_NETWORK: '1000000',
      WRIT_TRUST_DOMAIN: first.config.trustDomain,
      WRIT_DEFERRED_TOKEN_RESPONSE: first.config.deferredTokenResponse,
      WRIT_DATA_DIR: first.config.dataDir,
      DATABASE_URL: first.config.databaseUrl,
    },
    () => undefined,
  );
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  const faults: unknown[] = [];
  const writ = await startWrit(config.value, { report: (thrown) => faults.push(thrown) });
  const base = `http://127.0.0.1:${port}`;
  return { ...callsTo(base), base, faults, close: () => writ.close() };
}
