import { generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto';
import { createServer } from 'node:http';
import Koa from 'koa';
import * as oauth from 'oauth4webapi';
import { systemClock } from '../../src/base/index.js';
import { agentKeys, hashSecret } from '../../src/client/index.js';
import { requestLimit, windowLimit } from '../../src/http/index.js';
import { createEngine, type Engine, type EngineDeps, type EngineSigningKey } from '../../src/oauth/index.js';
import { PublicJwk } from '../../src/protocol/index.js';
import {
  Agent,
  type AgentInput,
  makeSnapshot,
  McpServer,
  type RegisteredAgent,
  type RegistrySnapshot,
  type ToolInput,
} from '../../src/registry/index.js';
import {
  type Database,
  openEngineLog,
  openEngineStore,
  openFailureLog,
  openKeyLives,
  writesBehind,
  openPersons,
  openSignOuts,
} from '../../src/storage/index.js';
import { Browser, authorize } from './browser.js';
import { jws, seconds } from './jws.js';
import { ALICE, type Company, type CompanyOptions, close, type Employee, listen, startCompany } from './company.js';

export const FILES = 'https://mcp.example/files';
export const MAIL = 'https://mcp.example/mail';
export const REDIRECT_URI = 'http://127.0.0.1:7999/callback';

/** A running engine with a company to sign in at. */
export type Writ = Readonly<{
  issuer: string;
  engine: Engine;
  company: Company;
  faults: unknown[];
  registry: { change(agents: readonly RegisteredAgent[]): void };
  /** Other signing keys from the next request on. */
  setKeys(keys: readonly EngineSigningKey[]): void;
  metadata(): Promise<oauth.AuthorizationServer>;
  stop(): Promise<void>;
}>;

export type WritOptions = Readonly<{
  path?: string;
  agents: readonly RegisteredAgent[];
  /** Those of the MCP server for files. */
  tools?: readonly ToolInput[];
  engine?: Partial<EngineDeps>;
  company?: Partial<CompanyOptions>;
  /** Shares the company, the keys and the issuer of another replica; its own address answers for that issuer. */
  replicaOf?: Writ & { keys?: readonly EngineSigningKey[] };
}>;

export const COOKIE_KEY = 'a cookie key that every replica of a test has';
const sharedKeys: readonly EngineSigningKey[] = [signingKey('k1')];

/** The person's half and the engine's half of Writ, as server.ts joins them, on a free port of loopback. */
export async function startWrit(database: Database, options: WritOptions): Promise<Writ & { address: string }> {
  const server = createServer();
  const origin = await listen(server);
  const issuer = options.replicaOf?.issuer ?? `${origin}${options.path ?? ''}`;
  const company = options.replicaOf?.company ?? (await startCompany({ writIssuer: issuer, ...options.company }));
  const faults: unknown[] = [];
  const behind = writesBehind((error) => faults.push(error));
  let snapshot = registryOf(options.agents, options.tools);
  let keys = sharedKeys;
  const engine = createEngine({
    issuer,
    registry: { current: () => snapshot, refresh: () => Promise.resolve(snapshot) },
    agentKeys: agentKeys(openKeyLives(database), 90 * 86_400),
    keys: () => keys,
    store: openEngineStore(database),
    log: openEngineLog(database, {
      clock: systemClock,
      failures: openFailureLog(database, systemClock, behind),
      behind,
    }),
    signOuts: openSignOuts(database, systemClock),
    people: openPersons(database, systemClock),
    identityProviders: [company.identityProvider],
    cookieKeys: [COOKIE_KEY],
    clock: systemClock,
    limits: requestLimit(1_000_000),
    beginnings: { perNetwork: windowLimit(1_000_000, 60), perClient: windowLimit(1_000_000, 60) },
    onFault: (cause) => faults.push(cause),
    ...options.engine,
  });
  const app = new Koa();
  app.use(async (context, next) => {
    if (context.path !== `${options.path ?? ''}/jwks`) {
      await next();
      return;
    }
    context.body = { keys: keys.map(({ kid, alg, publicJwk }) => ({ ...publicJwk, kid, alg, use: 'sig' })) };
  });
  // As Writ's own token route does: it reads the form first, and hands on what it does not answer.
  app.use(async ({ req, method, path }, next) => {
    if (method === 'POST' && path.endsWith('/token')) {
      const chunks: Buffer[] = [];
      for await (const chunk of req) chunks.push(Buffer.from(chunk as Uint8Array));
      Object.assign(req, { body: Buffer.concat(chunks).toString('utf8') });
    }
    await next();
  });
  app.use(engine.middleware);
  const answer = app.callback();
  server.on('request', (request, response) => void answer(request, response));
  return {
    issuer,
    address: `${origin}${options.path ?? ''}`,
    engine,
    company,
    faults,
    registry: {
      change: (agents) => {
        snapshot = registryOf(agents, options.tools);
      },
    },
    setKeys: (newer) => {
      keys = newer;
    },
    metadata: async () =>
      oauth.processDiscoveryResponse(
        new URL(issuer),
        await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2', ...INSECURE }),
      ),
    stop: async () => {
      await close(server);
      if (options.replicaOf === undefined) await company.stop();
    },
  };
}

// eslint-disable-next-line @typescript-eslint/no-deprecated -- marked so to stand out; tests speak http on loopback
export const INSECURE = { [oauth.allowInsecureRequests]: true } as const;

export function signingKey(kid: string): EngineSigningKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    kid,
    alg: 'ES256',
    publicJwk: PublicJwk.parse({ ...publicKey.export({ format: 'jwk' }), kid }),
    sign: (data) => sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
  };
}

const server = (resource: string, name: string, tools: readonly ToolInput[] = []): McpServer =>
  McpServer.parse({
    resource,
    client_id: `srv_${name.toLowerCase()}`,
    name,
    owner: 'Platform team',
    authentication: { method: 'client_secret_basic' },
    scopes: [`${name.toLowerCase()}:read`, `${name.toLowerCase()}:write`],
    tools: [...tools],
  });

function registryOf(agents: readonly RegisteredAgent[], tools?: readonly ToolInput[]): RegistrySnapshot {
  const servers = [server(FILES, 'Files', tools), server(MAIL, 'Mail')].map((one) => ({
    ...one,
    secretHash: undefined,
  }));
  return makeSnapshot(1, { agents, servers, issuers: [] });
}

/** An agent with a key pair of its own. */
export class TestAgent {
  readonly id: string;
  readonly key: KeyObject;
  readonly registered: RegisteredAgent;
  readonly browser = new Browser();

  constructor(id: string, changes: Partial<AgentInput> = {}, secretHash?: string) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.id = id;
    this.key = privateKey;
    const agent = Agent.parse({
      client_id: id,
      name: 'Planner',
      owner: 'Ada of the platform team',
      purpose: 'Plans and files reports',
      authentication: { method: 'private_key_jwt', jwks: { keys: [publicKey.export({ format: 'jwk' })] } },
      redirect_uris: [REDIRECT_URI],
      allow: [
        { resource: FILES, scopes: ['files:read', 'files:write'], tools: '*' },
        { resource: MAIL, scopes: ['mail:read'], tools: '*' },
      ],
      expires_at: '2036-01-01T00:00:00Z',
      ...changes,
    });
    this.registered = { ...agent, secretHash };
  }

  get client(): oauth.Client {
    return { client_id: this.id };
  }

  async authentication(
    change: (claims: Record<string, unknown>, header: Record<string, unknown>) => void = () => undefined,
  ): Promise<oauth.ClientAuth> {
    const key = await webKey(this.key);
    return oauth.PrivateKeyJwt(key, {
      [oauth.modifyAssertion]: (header, payload) => {
        change(payload, header);
      },
    });
  }

  /** A client assertion as text, with changes. */
  assertion(
    issuer: string,
    claims: Readonly<Record<string, unknown>> = {},
    header: Readonly<Record<string, unknown>> = {},
  ): string {
    const now = seconds();
    return jws(
      this.key,
      { alg: 'ES256', typ: 'client-authentication+jwt', ...header },
      { iss: this.id, sub: this.id, aud: issuer, jti: randomUUID(), iat: now, exp: now + 60, ...claims },
    );
  }
}

export const webKey = (key: KeyObject) =>
  crypto.subtle.importKey('jwk', key.export({ format: 'jwk' }), { name: 'ECDSA', namedCurve: 'P-256' }, false, [
    'sign',
  ]);

export const newKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

export { hashSecret };

export type CodeRequest = Readonly<{
  parameters?: Record<string, string | undefined>;
  employee?: Employee;
  browser?: Browser;
}>;
export type Code = Readonly<{ redirected: URL; verifier: string; code: string }>;

/** The link of an agent with everything that is needed, and its verifier. */
export async function authorizationLink(
  writ: Writ,
  agent: TestAgent,
  parameters: Record<string, string | undefined> = {},
): Promise<{ link: string; verifier: string }> {
  const verifier = oauth.generateRandomCodeVerifier();
  const all: Record<string, string | undefined> = {
    client_id: agent.id,
    redirect_uri: REDIRECT_URI,
    response_type: 'code',
    state: 'the state',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...parameters,
  };
  const query = new URLSearchParams(
    Object.entries(all).flatMap(([name, value]): [string, string][] => (value === undefined ? [] : [[name, value]])),
  );
  return { link: `${writ.issuer}/auth?${query.toString()}`, verifier };
}

/** Through sign-in and consent to a code. */
export async function obtainCode(
  writ: Writ,
  agent: TestAgent,
  { parameters, employee = ALICE, browser = agent.browser }: CodeRequest = {},
): Promise<Code> {
  const { link, verifier } = await authorizationLink(writ, agent, parameters);
  const redirected = await authorize(browser, link, { redirectUri: REDIRECT_URI, employee });
  return { redirected, verifier, code: redirected.searchParams.get('code') ?? '' };
}

/** A form of the token endpoint, sent as it is. */
export async function post(
  url: string,
  form: Readonly<Record<string, string>>,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(form), headers });
  const text = await response.text();
  return { status: response.status, body: text === '' ? '' : JSON.parse(text) };
}

export const codeForm = (
  agent: TestAgent,
  issuer: string,
  { code, verifier }: Pick<Code, 'code' | 'verifier'>,
): Record<string, string> => ({
  grant_type: 'authorization_code',
  code,
  code_verifier: verifier,
  redirect_uri: REDIRECT_URI,
  ...assertionForm(agent, issuer),
});

export const refreshForm = (agent: TestAgent, issuer: string, refreshToken: string): Record<string, string> => ({
  grant_type: 'refresh_token',
  refresh_token: refreshToken,
  ...assertionForm(agent, issuer),
});

export const assertionForm = (agent: TestAgent, issuer: string): Record<string, string> => ({
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  client_assertion: agent.assertion(issuer),
});

export const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as Record<string, unknown>;
export const headerOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString('utf8')) as Record<string, unknown>;
