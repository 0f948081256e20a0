import { createPrivateKey, type KeyObject, randomUUID, sign } from 'node:crypto';
import { TOKEN_EXCHANGE_GRANT, TokenType } from 'writ/protocol';
import { type KeyPair, makeKeyPair } from '../demo/keys.js';
import { reviewedTool } from '../reviewed-tool.js';
import type { Form } from './line.js';

export const RESOURCE = 'https://files.example/mcp';
/** Where the agent's sign-in would end; nobody is there, the browser stops before. */
export const REDIRECT_URI = 'http://127.0.0.1:9/callback';
const DIRECTORY = 'https://directory.example';

/** Signs for a client or an issuer. Without `jwk` in the header, `kid` names the key. */
export class Signer {
  readonly pair: KeyPair = makeKeyPair();
  readonly #key: KeyObject = createPrivateKey({ key: { ...this.pair.privateJwk }, format: 'jwk' });

  jwt(typ: string, claims: object, header: object = { kid: this.pair.publicJwk.kid }): string {
    return this.sign(JSON.stringify({ alg: 'ES256', typ, ...header }), JSON.stringify(claims));
  }

  /** A signature over these two parts, whatever they say. */
  sign(header: string, payload: string): string {
    const input = [header, payload].map((part) => Buffer.from(part).toString('base64url')).join('.');
    return `${input}.${sign('sha256', Buffer.from(input), { key: this.#key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
}

/** Those that may be cut off. Whoever is gets nothing for the people of a minute before. */
export const SUSPECTS = Array.from({ length: 24 }, (_, n) => `agt_suspect_${n}` as const);
const AGENTS = ['agt_planner', 'agt_spender', ...SUSPECTS] as const;
export type AgentId = (typeof AGENTS)[number];
export type ClientId = AgentId | 'srv_files';

/** Those who appear in a drill: agents, one of which has a budget of its own, an MCP server, and an issuer with people. */
export class Cast {
  readonly issuer: string;
  readonly signers = {
    agt_planner: new Signer(),
    agt_spender: new Signer(),
    srv_files: new Signer(),
    directory: new Signer(),
    proofs: new Signer(),
  };

  readonly #suspects = new Map<string, Signer>(SUSPECTS.map((id) => [id, new Signer()]));

  constructor(issuer: string) {
    this.issuer = issuer;
  }

  signerOf(client: ClientId): Signer {
    const { agt_planner, agt_spender, srv_files } = this.signers;
    const found = new Map<string, Signer>(Object.entries({ agt_planner, agt_spender, srv_files })).get(client);
    const signer = found ?? this.#suspects.get(client);
    if (signer === undefined) throw new Error(`nobody signs for ${client}`);
    return signer;
  }

  registry(): Readonly<Record<'agents' | 'servers' | 'issuers', readonly object[]>> {
    const by = (id: ClientId) => ({
      method: 'private_key_jwt',
      jwks: { keys: [this.signerOf(id).pair.publicJwk] },
    });
    const scopes = ['files:read', 'files:write'];
    return {
      agents: AGENTS.map((id) => ({
        client_id: id,
        name: id,
        owner: `${DIRECTORY}#owner`,
        sponsor: `${DIRECTORY}#sponsor`,
        purpose: 'to be tried',
        authentication: by(id),
        redirect_uris: [REDIRECT_URI],
        allow: [{ resource: RESOURCE, scopes, tools: '*' }],
        ...(id === 'agt_spender' ? { budgets: [{ unit: 'writes', per: 'session', limit: 1_000 }] } : {}),
      })),
      servers: [
        {
          resource: RESOURCE,
          client_id: 'srv_files',
          name: 'Files',
          owner: 'drill',
          authentication: by('srv_files'),
          scopes,
          tools: [
            reviewedTool('read_file', { scopes: ['files:read'], tier: 'low', action: 'read' }),
            reviewedTool('write_file', { scopes: ['files:write'], tier: 'medium', action: 'write' }),
          ],
        },
      ],
      issuers: [
        {
          issuer: DIRECTORY,
          name: 'Directory',
          jwks: { keys: [this.signers.directory.pair.publicJwk] },
          accepts: [{ token_type: TokenType.accessToken, typ: 'at+jwt' }],
          agents: AGENTS,
        },
      ],
    };
  }

  /** RFC 7523 with RFC 10070: a fresh client assertion. */
  authentication(client: ClientId): Form {
    const claims = { iss: client, sub: client, aud: this.issuer, ...fresh(60) };
    return {
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: this.signerOf(client).jwt('client-authentication+jwt', claims),
    };
  }

  /** What an exchange for one call of `write_file` sends beside the client's authentication. */
  exchange(person: string, agent: AgentId = 'agt_planner'): Form {
    const detail = { type: 'mcp_tool_call', locations: [RESOURCE], actions: ['tools/call'], identifier: 'write_file' };
    const claims = {
      iss: DIRECTORY,
      sub: person,
      aud: this.issuer,
      client_id: agent,
      sid: randomUUID(),
      ...fresh(600),
    };
    return {
      grant_type: TOKEN_EXCHANGE_GRANT,
      subject_token: this.signers.directory.jwt('at+jwt', { ...claims, scope: 'files:read files:write' }),
      subject_token_type: TokenType.accessToken,
      resource: RESOURCE,
      authorization_details: JSON.stringify([detail]),
    };
  }

  /** The caller's statement of which instance of it acts. */
  actor(): Form {
    const claims = { iss: 'agt_planner', sub: 'agt_planner/one', aud: this.issuer, ...fresh(60) };
    return { actor_token: this.signers.agt_planner.jwt('jwt', claims), actor_token_type: TokenType.jwt };
  }

  /** RFC 9449 section 4.2. */
  proof(path: string): Form {
    const { kty, crv, x, y } = { crv: undefined, x: undefined, y: undefined, ...this.signers.proofs.pair.publicJwk };
    const { jti, iat } = fresh(0);
    const claims = { jti, iat, htm: 'POST', htu: `${this.issuer}${path}` };
    return { dpop: this.signers.proofs.jwt('dpop+jwt', claims, { jwk: { kty, crv, x, y } }) };
  }

  /** RFC 9126: what an authorization request pushes beside the client's authentication. */
  pushed(codeChallenge: string, scope = 'offline_access files:read'): Form {
    return {
      response_type: 'code',
      client_id: 'agt_planner',
      redirect_uri: REDIRECT_URI,
      scope,
      prompt: 'consent',
      state: 'the state',
      code_challenge: codeChallenge,
      code_challenge_method: 'S256',
    };
  }
}

function fresh(seconds: number): Readonly<{ jti: string; iat: number; exp: number }> {
  const iat = Math.floor(Date.now() / 1_000);
  return { jti: randomUUID(), iat, exp: iat + seconds };
}

/** Claims of a token, unverified. */
export const claimsOf = (token: string): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as object),
  );
