import { decodeJwt } from 'jose';
import { assertion, type Reply, request, type TestWrit, tokenOf } from './writ.js';
import { type Client, RS1, type World } from './world.js';

/** POSTs JSON as this client, whose assertion is the bearer token; headers change or, being empty, take away. */
export async function ask(
  { issuer }: Pick<TestWrit, 'issuer'>,
  path: 'evaluation' | 'evaluations',
  question: unknown,
  by: Client | Readonly<Record<string, string>>,
): Promise<Reply> {
  const proof: Record<string, string> =
    'key' in by ? { authorization: `Bearer ${await assertion(issuer, by as Client)}` } : { ...by };
  return request(`${issuer}/access/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...proof },
    body: typeof question === 'string' ? question : JSON.stringify(question),
  });
}

export const basic = (id: string, secret: string): Readonly<Record<string, string>> => ({
  authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
});

/** Our id of a person whom the company vouches for; met by an exchange, as people are. */
export async function personOf(world: Pick<World, 'exchange' | 'personToken'>, name: string): Promise<string> {
  const { sub } = decodeJwt(tokenOf(await world.exchange({ subject_token: await world.personToken(name) })));
  return sub ?? '';
}

/** May this person, by agent A1, have this tool of rs1 called? */
export const aboutCall = (
  person: string,
  tool: string,
  { server = RS1, act = 'agt_a1', ...context }: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> => ({
  subject: { type: 'identity', id: person, properties: { act } },
  action: { name: 'tools/call' },
  resource: { type: 'tool', id: tool, properties: { server } },
  context,
});
