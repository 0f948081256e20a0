import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { clientAssertion, type ClientKey, dpopProof, importClientKey, PublicJwk } from '../../src/protocol/index.js';
import { signJwt } from './jwt.js';
import { reviewedTool } from '../reviewed-tool.js';
import type { Request } from './load.js';

export const RESOURCE = 'https://mcp.example/files';
export const COMPANY = 'https://company.example';
export const AGENT = 'agt_bench';
export const SERVER = 'srv_bench';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

export type Keys = Readonly<Record<'agent' | 'server' | 'company' | 'proof', ClientKey>>;

export function makeKeys(): Keys {
  const one = (kid: string): ClientKey => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { crv = '', x = '', y = '', d = '' } = privateKey.export({ format: 'jwk' });
    const key = importClientKey({ kty: 'EC', crv, x, y, d, kid, alg: 'ES256' });
    if (!key.ok) throw new Error(key.error);
    return key.value;
  };
  return { agent: one('agent'), server: one('server'), company: one('company'), proof: one('proof') };
}

export const publicJwk = ({ publicJwk: jwk, kid }: ClientKey): PublicJwk =>
  PublicJwk.parse({ ...jwk, kid, alg: 'ES256' });

/** The registry of the measured Writ, as the admin API takes it: one agent, one MCP server, one issuer of people. */
export const registry = (keys: Keys): object => ({
  agents: [
    {
      client_id: AGENT,
      name: 'Bench',
      owner: `${COMPANY}#owner`,
      sponsor: `${COMPANY}#sponsor`,
      purpose: 'to be measured',
      authentication: { method: 'private_key_jwt', jwks: { keys: [publicJwk(keys.agent)] } },
      allow: [
        { resource: RESOURCE, scopes: ['files:read', 'files:write'], tools: ['read_file', 'write_file', 'find_file'] },
      ],
      expires_at: new Date(Date.now() + 86_400_000).toISOString(),
    },
  ],
  servers: [
    {
      resource: RESOURCE,
      client_id: SERVER,
      name: 'Files',
      owner: 'bench',
      authentication: { method: 'private_key_jwt', jwks: { keys: [publicJwk(keys.server)] } },
      scopes: ['files:read', 'files:write'],
      tools: [
        reviewedTool('read_file', { scopes: ['files:read'], tier: 'low', action: 'read' }),
        reviewedTool('find_file', {
          ...{ scopes: ['files:read'], tier: 'low', action: 'read' },
          inputSchema: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] },
        }),
        reviewedTool('write_file', { scopes: ['files:write'], tier: 'medium', action: 'write' }),
      ],
    },
  ],
  issuers: [
    {
      issuer: COMPANY,
      name: 'Company',
      jwks: { keys: [publicJwk(keys.company)] },
      accepts: [{ token_type: ACCESS_TOKEN, typ: 'at+jwt' }],
      agents: [AGENT],
    },
  ],
});

/** What varies between the requests of one phase. */
export type Mix = Readonly<{
  subject: 'fresh' | 'reused';
  dpop?: boolean;
  /** With arguments that no request had before, or with few that come again and again. */
  arguments?: 'varied' | 'repeating';
}>;

/** Seven policies that decide over one tool, one of them by an argument. */
export const POLICIES = `
  @id("anything") permit(principal, action, resource);
  @id("inside") forbid(principal, action == Action::"${RESOURCE}#find_file", resource)
    unless { context has arguments && context.arguments.path like "/docs/*" };
  @id("depth") forbid(principal is Agent, action, resource) when { context.chain.depth > 5 };
  @id("guests") forbid(principal is Person, action, resource) when { principal.hasTag("level") && principal.getTag("level") == "guest" };
  @id("bound") forbid(principal, action in Action::"tier:critical", resource) unless { context.sender_constrained };
  @id("servers") forbid(principal is Agent, action, resource) when { principal.kind == "mcp_server" };
  @id("owner") forbid(principal is Agent, action, resource) unless { principal.owner like "prs_*" };`;

/** Makes requests that differ in assertion (and proof) always, and in subject token where it is fresh. */
export type Presigner = Readonly<{
  exchanges(count: number, mix: Mix): readonly Request[];
  introspections(count: number, tokens: readonly string[]): readonly Request[];
}>;

const PEOPLE = 8;

export function presigner(issuer: string, keys: Keys): Presigner {
  const now = (): number => Math.floor(Date.now() / 1_000);
  const subject = (person: number): string =>
    signJwt(
      keys.company,
      { typ: 'at+jwt' },
      {
        iss: COMPANY,
        sub: `person-${person}`,
        aud: issuer,
        client_id: AGENT,
        scope: 'files:read files:write',
        iat: now(),
        exp: now() + 3_600,
        jti: randomUUID(),
        sid: randomUUID(),
      },
    );
  const reused = Array.from({ length: PEOPLE }, (_, person) => subject(person));
  const assertion = (who: 'agent' | 'server', clientId: string): Record<string, string> => ({
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: clientAssertion(keys[who], { clientId, issuer, now: now() }),
  });
  return {
    exchanges: (count, mix) =>
      Array.from({ length: count }, (_, index) =>
        post(
          '/token',
          {
            grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
            subject_token: mix.subject === 'fresh' ? subject(index % PEOPLE) : (reused[index % PEOPLE] ?? ''),
            subject_token_type: ACCESS_TOKEN,
            resource: RESOURCE,
            authorization_details: mix.arguments === undefined ? DETAILS : detailsOf(mix.arguments),
            ...assertion('agent', AGENT),
          },
          mix.dpop === true
            ? { DPoP: dpopProof(keys.proof, { method: 'POST', url: `${issuer}/token`, now: now() }) }
            : {},
        ),
      ),
    introspections: (count, tokens) =>
      Array.from({ length: count }, (_, index) =>
        post('/introspect', { token: tokens[index % tokens.length] ?? '', ...assertion('server', SERVER) }),
      ),
  };
}

const DETAILS = JSON.stringify([
  { type: 'mcp_tool_call', locations: [RESOURCE], actions: ['tools/call'], identifier: 'read_file' },
]);

let asked = 0;

function detailsOf(kind: 'varied' | 'repeating'): string {
  const number = kind === 'varied' ? ++asked : ++asked % 64;
  const call = { type: 'mcp_tool_call', locations: [RESOURCE], actions: ['tools/call'], identifier: 'find_file' };
  return JSON.stringify([{ ...call, arguments: { path: `/docs/${kind}-${number}.txt` } }]);
}

export function post(
  path: string,
  form: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Request {
  const body = new URLSearchParams(form).toString();
  const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(
    `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n${more.join('')}\r\n${body}`,
  );
}
