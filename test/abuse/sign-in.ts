import { createHash, randomBytes } from 'node:crypto';
import { startWrit, type Writ, type WritOptions } from '../../src/server.js';
import { authorize, Browser } from '../support/browser.js';
import { ALICE, type Company, type CompanyOptions, type Employee, startCompany } from '../support/company.js';
import { type Client, startWorld, type World } from '../support/world.js';
import { bearerAssertion, type Form, freePort, type Tokens, tokensOf } from '../support/writ.js';

export { tokenOf, type Tokens, tokensOf } from '../support/writ.js';

/** What every node of one Writ is given, so that none makes a key of its own. */
export const SHARED = { WRIT_KEY_ENCRYPTION_KEY: randomBytes(32).toString('base64') };

export const CALLBACK = 'http://127.0.0.1:7999/callback';

export type Code = Readonly<{ code: string; verifier: string }>;

/** A world where a person can sign in, so that agents get the person's own tokens of Writ. */
export type SignInWorld = World &
  Readonly<{
    browser: Browser;
    company: Company;
    /** A code for this agent, by a browser that is signed in after the first time. */
    codeFor(client: Client, parameters?: Record<string, string>, employee?: Employee, by?: Browser): Promise<Code>;
    /** The form of the code grant by this client. */
    codeForm(code: Code, by: Client): Promise<Form>;
    tokensFor(client: Client, parameters?: Record<string, string>): Promise<Tokens>;
  }>;

export async function startSignInWorld({
  env = {},
  ...options
}: Partial<CompanyOptions> & Readonly<{ env?: Record<string, string> }> = {}): Promise<SignInWorld> {
  const world = await startWorld({ env: { ...SHARED, ...env } });
  for (const { id } of [world.a1, world.a2])
    await change(world, id, (agent) => ({ ...agent, redirect_uris: [CALLBACK] }));
  const company = await startCompany({ writIssuer: world.issuer, ...options });
  await world.writ.close();
  const node = await startNode(world, { port: world.config.port, company });
  const browser = new Browser();

  const codeFor: SignInWorld['codeFor'] = async (client, parameters = {}, employee = ALICE, by = browser) => {
    const verifier = randomBytes(32).toString('base64url');
    const query = new URLSearchParams({
      client_id: client.id,
      redirect_uri: CALLBACK,
      response_type: 'code',
      state: 'state',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      scope: 'repo:read repo:write',
      ...parameters,
    });
    // An empty value takes a parameter away.
    for (const [name, value] of [...query]) if (value === '') query.delete(name);
    const link = `${world.issuer}/auth?${query.toString()}`;
    const answer = await authorize(by, link, { redirectUri: CALLBACK, employee });
    const code = answer.searchParams.get('code');
    if (code === null) throw new Error(answer.href);
    return { code, verifier };
  };
  const codeForm: SignInWorld['codeForm'] = async ({ code, verifier }, by) => ({
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: CALLBACK,
    ...(await bearerAssertion(world.issuer, by)),
  });
  const tokensFor: SignInWorld['tokensFor'] = async (client, parameters) =>
    tokensOf(await world.post('/token', await codeForm(await codeFor(client, parameters), client)));
  const close = async (): Promise<void> => {
    await node.close();
    await company.stop();
    await world.close();
  };
  return { ...world, writ: node, browser, company, codeFor, codeForm, tokensFor, close };
}

/** Another process' worth of Writ on the same database, keys and issuer. */
export async function startNode(
  { config, faults }: World,
  { port, company, ...options }: Readonly<{ port: number; company?: Company }> & WritOptions,
): Promise<Writ> {
  const identityProviders = company === undefined ? config.identityProviders : [company.identityProvider];
  const report = (thrown: unknown): void => {
    faults.push(thrown);
  };
  return startWrit({ ...config, port, identityProviders }, { report, ...options });
}

export async function startReplica(world: World): Promise<Readonly<{ url: string; close(): Promise<void> }>> {
  const port = await freePort();
  const node = await startNode(world, { port });
  return { url: `http://127.0.0.1:${port}`, close: () => node.close() };
}

export async function change(
  world: Pick<World, 'admin'>,
  id: string,
  edit: (agent: Record<string, unknown>) => Record<string, unknown>,
  collection = 'agents',
): Promise<void> {
  const path = `/${collection}/${encodeURIComponent(id)}`;
  const known = (await world.admin('GET', path)).body as Record<string, unknown>;
  const answer = await world.admin('PUT', path, edit(known));
  if (answer.status >= 300) throw new Error(answer.text);
}

/** The form of a renewal by this client. */
export const renewal = async (world: World, refresh_token: string | undefined, by = world.a1): Promise<Form> => ({
  grant_type: 'refresh_token',
  refresh_token,
  ...(await bearerAssertion(world.issuer, by)),
});
