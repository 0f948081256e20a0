import { randomUUID } from 'node:crypto';
import { afterAll, expect } from '@jest/globals';
import { SignJWT } from 'jose';
import { leafFlaws } from '../../src/audit/index.js';
import type { AgentDraftInput, McpServerInput, TrustedIssuerInput } from '../../src/registry/index.js';
import { haveTheAccountable, OWNER, SPONSOR } from './accountable.js';
import { reviewedTool } from './tools.js';
import {
  bearerAssertion,
  type ClientKey,
  type Form,
  makeKey,
  type Reply,
  startTestWrit,
  type TestWrit,
} from './writ.js';

export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
export const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const RS1 = 'https://mcp1.example';
export const RS2 = 'https://mcp2.example';
export const COMPANY = 'https://company.example';

export type Client = Readonly<{ id: string; key: ClientKey }>;

/** The fixtures of the abuse catalogue: people of a trusted issuer, agents A1, A2, AX, servers rs1, rs2. */
export type World = TestWrit &
  Readonly<{
    a1: Client;
    a2: Client;
    ax: Client;
    rs1: Client;
    rs2: Client;
    companyKey: ClientKey;
    /** A person's access token of the company; `claims` change one thing. */
    personToken(person: string, claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>;
    /** The happy exchange of A1 for a tool of rs1, with these changes (`undefined` takes a parameter away). */
    exchange(changes?: Form, by?: Client, headers?: Record<string, string>): Promise<Reply>;
    /** What was cut off or ended until now is so since a minute: a person who signs in now does so afterwards by any clock. */
    minutePasses(): Promise<void>;
    /** The form of that request, with fresh credentials, to be sent wherever a test likes. */
    form(changes?: Form, by?: Client): Promise<Form>;
  }>;

export const tool = (
  identifier: string,
  more: Record<string, unknown> = {},
  resource = RS1,
): Record<string, unknown> => ({
  type: 'mcp_tool_call',
  locations: [resource],
  actions: ['tools/call'],
  identifier,
  ...more,
});

export const tools = (...list: Record<string, unknown>[]): string => JSON.stringify(list);

/** A world for one file of tests. It ends with the file, and nothing may have broken in it. */
export async function ownWorld(options: Parameters<typeof startWorld>[0] = {}): Promise<World> {
  const world = await startWorld(options);
  afterAll(async () => {
    const flaws = await flawsOfLog(world);
    await world.close();
    expect(world.faults).toEqual([]);
    expect(flaws).toEqual([]);
  });
  return world;
}

/** What of the log of a world is not as the schema of the records says. */
async function flawsOfLog({ writ }: World): Promise<readonly string[]> {
  await writ.flush();
  const rows = await writ.database.prisma.logLeaf.findMany({ select: { leaf: true, kind: true }, take: 2_000 });
  return rows.flatMap(({ leaf, kind }) => leafFlaws(leaf).map((flaw) => `${kind}: ${flaw}`));
}

export async function startWorld(options: Parameters<typeof startTestWrit>[0] = {}): Promise<World> {
  const writ = await startTestWrit(options);
  const client = (id: string): Client => ({ id, key: makeKey(`${id}-key`) });
  const [a1, a2, ax, rs1, rs2] = ['agt_a1', 'agt_a2', 'agt_ax', 'srv_one', 'srv_two'].map(client) as [
    Client,
    Client,
    Client,
    Client,
    Client,
  ];
  const companyKey = makeKey('company-1');
  const agent = ({ id, key }: Client, more: Partial<AgentDraftInput> = {}): AgentDraftInput => ({
    client_id: id,
    name: id,
    owner: OWNER,
    sponsor: SPONSOR,
    purpose: 'tests',
    authentication: { method: 'private_key_jwt', jwks: { keys: [key.jwk] } },
    allow: [
      {
        resource: RS1,
        scopes: ['repo:read', 'repo:write'],
        tools: ['read_file', 'list_files', 'write_file', 'delete_repo'],
      },
    ],
    ...more,
  });
  const server = ({ id, key }: Client, resource: string, more: Partial<McpServerInput> = {}): McpServerInput => ({
    resource,
    client_id: id,
    name: id,
    owner: 'platform team',
    authentication: { method: 'private_key_jwt', jwks: { keys: [key.jwk] } },
    scopes: ['repo:read', 'repo:write', 'repo:admin'],
    tools: [
      reviewedTool('read_file', { scopes: ['repo:read'], tier: 'low', action: 'read' }),
      reviewedTool('list_files', { scopes: ['repo:read'], tier: 'low', action: 'read' }),
      reviewedTool('write_file', { scopes: ['repo:write'], tier: 'medium', action: 'write' }),
      reviewedTool('delete_repo', { scopes: ['repo:write'], tier: 'high', action: 'write' }),
      reviewedTool('wipe', { scopes: ['repo:admin'], tier: 'critical', action: 'write' }),
    ],
    ...more,
  });
  const company: TrustedIssuerInput = {
    issuer: COMPANY,
    name: 'Company',
    jwks: { keys: [companyKey.jwk] },
    accepts: [{ token_type: ACCESS_TOKEN, typ: 'at+jwt' }],
    agents: [a1.id, ax.id],
  };
  await haveTheAccountable(writ.writ.database);
  const applied = await writ.admin('POST', '/apply', {
    agents: [
      agent(a1, { hand_over_to: [a2.id], transaction_tokens: true }),
      agent(a2),
      agent(ax, { status: 'disabled' }),
    ],
    servers: [server(rs1, RS1), server(rs2, RS2, { token_shape: 'at+jwt' })],
    issuers: [company],
  });
  if (applied.status !== 200) throw new Error(`apply: ${applied.text}`);
  const personToken: World['personToken'] = (person, claims = {}, header = {}) => {
    const now = Math.floor(Date.now() / 1000);
    const payload = {
      iss: COMPANY,
      sub: person,
      aud: writ.issuer,
      client_id: a1.id,
      scope: 'repo:read repo:write',
      iat: now,
      exp: now + 600,
      jti: randomUUID(),
      sid: randomUUID(),
      ...claims,
    };
    return new SignJWT(payload)
      .setProtectedHeader({ alg: 'ES256', kid: 'company-1', typ: 'at+jwt', ...header })
      .sign(companyKey.privateKey);
  };
  const form: World['form'] = async (changes = {}, by = a1) => ({
    grant_type: EXCHANGE,
    subject_token: await personToken('alice'),
    subject_token_type: ACCESS_TOKEN,
    resource: RS1,
    authorization_details: tools(tool('read_file')),
    ...(await bearerAssertion(writ.issuer, by)),
    ...changes,
  });
  const exchange: World['exchange'] = async (changes, by, headers) =>
    writ.post('/token', await form(changes, by), headers);
  const minutePasses: World['minutePasses'] = async () => {
    const { prisma } = writ.writ.database;
    const earlier = (column: string): string => `${column} = least(${column}, now() - interval '1 minute')`;
    await prisma.$executeRawUnsafe(`UPDATE revocation SET ${earlier('revoked_at')}`);
    await prisma.$executeRawUnsafe(`UPDATE agent_session SET ${earlier('ended_at')} WHERE ended_at IS NOT NULL`);
  };
  return { ...writ, a1, a2, ax, rs1, rs2, companyKey, personToken, exchange, form, minutePasses };
}
