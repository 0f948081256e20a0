import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  calculateJwkThumbprint,
  type CryptoKey,
  EmbeddedJWK,
  exportJWK,
  generateKeyPair,
  type JWK,
  jwtVerify,
  SignJWT,
} from 'jose';
import type { Deferrals } from './deferrals.js';
import { digest, type Json } from '../../src/protocol/index.js';

export type Claims = Record<string, unknown>;
type Key = { kid: string; privateKey: CryptoKey; publicJwk: JWK };

/** A small issuer on loopback with real keys: metadata, JWKS, introspection that consumes, and the exchange. */
export class TestIssuer {
  readonly counts = { metadata: 0, jwks: 0, introspect: 0, token: 0 };
  readonly clients = new Map<string, JWK>();
  readonly revoked = new Set<unknown>();
  readonly forms: URLSearchParams[] = [];
  /** Answers to give before the real ones, for outages and pressure. */
  readonly instead: ((request: IncomingMessage, response: ServerResponse) => boolean)[] = [];
  /** What stands beside it at the same address; true when it answers. */
  readonly beside: ((request: IncomingMessage, response: ServerResponse) => boolean)[] = [];
  exactTools = new Set<string>();
  /** What of the exchange waits for a person; without it nothing does. */
  deferrals: Deferrals | undefined;
  down = false;
  /** Seconds that its clock is ahead. */
  ahead = 0;
  #server = createServer((request, response) => void this.#answer(request, response));
  #keys: Key[] = [];
  #used = new Map<string, number>();
  #assertions = new Set<unknown>();

  static async start(): Promise<TestIssuer> {
    const issuer = new TestIssuer();
    issuer.#keys.push(await newKey('k1'));
    await new Promise<void>((resolve) => issuer.#server.listen(0, '127.0.0.1', resolve).unref());
    return issuer;
  }

  get url(): string {
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  get jwks(): { keys: JWK[] } {
    return { keys: this.#keys.map(({ publicJwk }) => publicJwk) };
  }

  get signingKey(): Key {
    const key = this.#keys.at(-1);
    if (key === undefined) throw new Error('no key');
    return key;
  }

  /** Signs with another key from now on, and publishes those before it too. */
  async add(kid: string): Promise<void> {
    this.#keys.push(await newKey(kid));
  }

  withdraw(kid: string): void {
    this.#keys = this.#keys.filter((key) => key.kid !== kid);
  }

  async rotate(kid: string): Promise<void> {
    this.#keys = [await newKey(kid)];
  }

  /** A client with a fresh ES256 key; gives the private JWK. */
  async register(clientId: string): Promise<JWK & { kty: 'EC'; d: string }> {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    this.clients.set(clientId, await exportJWK(publicKey));
    return { ...(await exportJWK(privateKey)), alg: 'ES256', kid: `${clientId}-1` } as JWK & { kty: 'EC'; d: string };
  }

  /** The one valid token; a case breaks one thing of it. `undefined` drops a claim. */
  claims(resource: string, change: Claims = {}): Claims {
    const now = Math.floor(Date.now() / 1000) + this.ahead;
    const claims: Claims = {
      iss: this.url,
      aud: resource,
      sub: 'prs_alice',
      client_id: 'agt_planner',
      iat: now,
      exp: now + 180,
      jti: crypto.randomUUID(),
      txn: 'txn_1',
      scope: 'files:read',
      tctx: { task: 'T-1182', purpose: 'publish-report', call_chain: [{ wl: 'agt_planner' }] },
      rctx: {},
      act: { sub: 'agt_planner', iss: this.url, sub_profile: 'ai_agent' },
      writ: { decision: 'dec_1', policy: 'sha256:1', session: 'ses_1', seen: 1, leaf: 'A'.repeat(43) },
      ...change,
    };
    return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
  }

  sign(claims: Claims, header: { typ?: string; kid?: string; [name: string]: unknown } = {}): Promise<string> {
    const { kid, privateKey } = this.signingKey;
    return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid, typ: 'txnat+jwt', ...header }).sign(privateKey);
  }

  /** A token for this tool of this server. */
  token(
    resource: string,
    tool: string,
    detail: { arguments_sha256?: string; max_uses?: number } = {},
    change: Claims = {},
  ): Promise<string> {
    const one = {
      type: 'mcp_tool_call',
      locations: [resource],
      actions: ['tools/call'],
      identifier: tool,
      max_uses: 1,
      ...detail,
    };
    return this.sign(this.claims(resource, { authorization_details: [one], ...change }));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.down) return void response.writeHead(500).end();
    if (this.beside.some((answers) => answers(request, response))) return;
    const path = new URL(request.url ?? '', this.url).pathname;
    const form = new URLSearchParams(await text(request));
    const first = this.instead[0];
    if (first?.(request, response)) return void this.instead.shift();
    if (path === '/.well-known/oauth-authorization-server') {
      this.#metadata(response);
      return;
    }
    if (path === '/jwks') {
      this.counts.jwks++;
      json(response, 200, this.jwks);
      return;
    }
    if (path === '/introspect') return this.#introspect(form, response);
    if (path === '/revoke') return this.#revoke(form, response);
    if (path === '/token') return this.#token(request, form, response);
    response.writeHead(404).end();
  }

  #metadata(response: ServerResponse): void {
    this.counts.metadata++;
    const { url } = this;
    json(response, 200, {
      issuer: url,
      jwks_uri: `${url}/jwks`,
      token_endpoint: `${url}/token`,
      introspection_endpoint: `${url}/introspect`,
      revocation_endpoint: `${url}/revoke`,
    });
  }

  async #revoke(form: URLSearchParams, response: ServerResponse): Promise<void> {
    const clientId = await this.#client(form);
    if (clientId !== undefined) this.deferrals?.withdraw(form, clientId);
    response.writeHead(clientId === undefined ? 401 : 200).end();
  }

  async #introspect(form: URLSearchParams, response: ServerResponse): Promise<void> {
    this.counts.introspect++;
    if ((await this.#client(form)) === undefined) {
      json(response, 401, { error: 'invalid_client' });
      return;
    }
    const token = form.get('token') ?? '';
    const isRunning = form.has('running');
    const verified = await jwtVerify(token, this.signingKey.publicJwk, {
      issuer: this.url,
      ...(isRunning ? { currentDate: new Date(0) } : {}),
    }).catch(() => undefined);
    const consume = form.get('consume');
    if (verified === undefined || this.revoked.has(verified.payload.jti)) {
      json(response, 200, { active: false });
      return;
    }
    const { payload } = verified;
    if (isRunning) {
      const { jti, iat = 0, exp = 0 } = payload;
      json(response, 200, { active: false, jti, run_until: Math.floor(Date.now() / 1_000) + this.ahead + exp - iat });
      return;
    }
    if (consume !== null && !this.#consume(payload, consume)) {
      json(response, 200, { active: false });
      return;
    }
    json(response, 200, { active: true, ...payload });
  }

  #consume(payload: Claims, tool: string): boolean {
    const details = (payload['authorization_details'] ?? []) as { identifier: string; max_uses: number }[];
    const name = `${String(payload['jti'])} ${tool}`;
    const used = (this.#used.get(name) ?? 0) + 1;
    this.#used.set(name, used);
    return details.some(({ identifier, max_uses }) => identifier === tool && used <= max_uses);
  }

  async #token(request: IncomingMessage, form: URLSearchParams, response: ServerResponse): Promise<void> {
    this.counts.token++;
    this.forms.push(form);
    const clientId = await this.#client(form);
    if (clientId === undefined) {
      json(response, 401, { error: 'invalid_client', error_description: 'client authentication failed' });
      return;
    }
    const deferred = this.deferrals?.answer(form, clientId);
    if (deferred !== undefined && !(deferred instanceof URLSearchParams)) {
      json(response, 400, deferred);
      return;
    }
    form = deferred ?? form;
    const proof = request.headers['dpop'];
    const jkt = typeof proof === 'string' ? await proofKey(proof, `${this.url}/token`) : undefined;
    const wanted = JSON.parse(form.get('authorization_details') ?? '[]') as { identifier: string; arguments?: Json }[];
    if (wanted.some(({ identifier }) => identifier === 'drop_table')) {
      json(response, 400, {
        error: 'transaction_denied',
        error_description: 'the policy does not allow this tool',
      });
      return;
    }
    const details = wanted.map(({ arguments: sent, ...detail }) =>
      this.exactTools.has(detail.identifier) ? { ...detail, arguments_sha256: sha(sent) } : detail,
    );
    const claims = this.claims(form.get('resource') ?? form.get('audience') ?? '', {
      client_id: clientId,
      act: { sub: clientId, iss: this.url },
      scope: form.get('scope') ?? '',
      authorization_details: details.length > 0 ? details : undefined,
      cnf: jkt === undefined ? undefined : { jkt },
    });
    json(response, 200, {
      access_token: await this.sign(claims),
      issued_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
      token_type: jkt === undefined ? 'Bearer' : 'DPoP',
      expires_in: 180,
      scope: claims['scope'],
      ...(details.length > 0 && { authorization_details: details }),
    });
  }

  #client(form: URLSearchParams): Promise<string | undefined> {
    return this.clientOf(form.get('client_assertion') ?? '');
  }

  /** RFC 10070, and each assertion once. */
  async clientOf(assertion: string): Promise<string | undefined> {
    const claimed = JSON.parse(Buffer.from(assertion.split('.')[1] ?? '', 'base64url').toString() || '{}') as Claims;
    const jwk = this.clients.get(String(claimed['sub']));
    if (jwk === undefined) return undefined;
    const options = {
      issuer: String(claimed['sub']),
      audience: this.url,
      typ: 'client-authentication+jwt',
      currentDate: new Date(Date.now() + this.ahead * 1000),
      maxTokenAge: 60,
    };
    const verified = await jwtVerify(assertion, jwk, { ...options, algorithms: ['ES256'] }).catch(() => undefined);
    if (
      verified === undefined ||
      typeof verified.payload.aud !== 'string' ||
      this.#assertions.has(verified.payload.jti)
    )
      return undefined;
    this.#assertions.add(verified.payload.jti);
    return verified.payload.sub;
  }
}

/** A fresh ES256 key, published under this id. */
export async function newKey(kid: string): Promise<Key> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  return { kid, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' } };
}

async function proofKey(proof: string, url: string): Promise<string> {
  const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, { typ: 'dpop+jwt', maxTokenAge: 60 });
  if (payload['htm'] !== 'POST' || payload['htu'] !== url || protectedHeader.jwk === undefined)
    throw new Error('bad proof');
  return calculateJwkThumbprint(protectedHeader.jwk);
}

function sha(value: Json = {}): string {
  const hashed = digest(value);
  if (!hashed.ok) throw new Error(hashed.error);
  return hashed.value;
}

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(JSON.stringify(body));
}
