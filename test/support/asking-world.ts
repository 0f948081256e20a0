import { expect } from '@jest/globals';
import { decodeJwt } from 'jose';
import type { Held } from '../../src/approval/index.js';
import { openSecrets } from '../../src/config/index.js';
import { openApprovals } from '../../src/storage/index.js';
import { change, type SignInWorld, startSignInWorld } from '../abuse/sign-in.js';
import { OWNER } from './accountable.js';
import { Authenticator, passkeyOptions } from './authenticator.js';
import { Browser, type Seen } from './browser.js';
import { ALICE, type CompanyOptions, type Employee } from './company.js';
import { activate } from './policies.js';
import { reviewedTool } from './tools.js';
import { type Client, RS1, tool, tools } from './world.js';
import { bearerAssertion, type Form, freePort, type Reply, tokensOf } from './writ.js';

export const ALLOW = `
@id("people") permit (principal is Person, action, resource);
@id("agents") permit (principal is Agent, action, resource);
`;
export const ASK = `${ALLOW}
@id("writes-ask") @requires("approval") @reason("A person approves each write.")
forbid (principal, action in Action::"write", resource);
`;

const WRITE = {
  ...reviewedTool('write_file', {
    ...{ scopes: ['repo:write'], tier: 'medium', action: 'write' },
    inputSchema: { type: 'object', properties: { path: {} } },
  }),
  sentence: 'Write the file {path}',
};

/** What an agent was told when a person has to be asked. */
export type Asked = Readonly<{ id: string; code: string; number: string; page: string }>;

/** People of a company who are asked before an agent writes, at an issuer with a host name, as passkeys need one. */
export type AskingWorld = SignInWorld &
  Readonly<{
    place: string;
    ask(args: Record<string, unknown>, options?: AskOptions): Promise<Asked>;
    poll(asked: Asked, by?: Client): Promise<Reply>;
    held(asked: Asked): Promise<Held>;
    /** What waits until now is over. */
    nothingWaits(): Promise<void>;
    signedIn(employee?: Employee, browser?: Browser): Promise<Browser>;
    /** Makes the passkey by which this person approves, in a browser that is signed in. */
    withPasskey(browser: Browser): Promise<Authenticator>;
    forgetPasskeys(): Promise<void>;
    personOf(employee: Employee): Promise<string>;
    /** The token of this person for the agent A1. */
    tokenFor(employee: Employee): Promise<string>;
    /** As if everybody had signed in that long ago. */
    ageSignIns(seconds: number): Promise<void>;
    facts(approval: string): Promise<readonly Record<string, unknown>[]>;
  }>;

export type AskOptions = Readonly<{
  name?: string;
  employee?: Employee;
  by?: Client;
  more?: Form;
  headers?: Record<string, string>;
}>;

export async function startAskingWorld(options: Partial<CompanyOptions> = {}): Promise<AskingWorld> {
  const issuer = `http://localhost:${await freePort()}`;
  const world = await startSignInWorld({
    ...options,
    env: { WRIT_ISSUER: issuer, WRIT_DEFERRED_TOKEN_RESPONSE: 'draft-01' },
  });
  await change(
    world,
    RS1,
    (server) => ({
      ...server,
      name: 'Files',
      tools: (server['tools'] as Record<string, unknown>[]).map((one) => (one['name'] === 'write_file' ? WRITE : one)),
    }),
    'servers',
  );
  await change(world, world.a1.id, (agent) => ({ ...agent, name: 'Planner' }));
  const { prisma } = world.writ.database;
  await prisma.$executeRawUnsafe(`UPDATE person SET attributes = '{"name":"Olivia Owner"}' WHERE id = '${OWNER}'`);
  const approvals = openApprovals(world.writ.database, openSecrets(world.config).encryptionKeys);
  const place = `${issuer}/approvals`;
  const tokens = new Map<string, string>();
  const tokenFor = async (employee: Employee, by: Client): Promise<string> => {
    const known = tokens.get(`${employee.subject} ${by.id}`);
    if (known !== undefined) return known;
    const code = await world.codeFor(by, {}, employee, new Browser());
    const { access_token: made } = tokensOf(await world.post('/token', await world.codeForm(code, by)));
    tokens.set(`${employee.subject} ${by.id}`, made);
    return made;
  };
  const ask: AskingWorld['ask'] = async (
    args,
    { name = 'write_file', employee = ALICE, by = world.a1, more = {}, headers = {} } = {},
  ) => {
    const reply = await world.exchange(
      {
        completion_mode: 'deferred',
        subject_token: await tokenFor(employee, by),
        authorization_details: tools(tool(name, { arguments: args })),
        ...more,
      },
      by,
      headers,
    );
    const told = reply.body as { deferral_code?: string; interaction_uri?: string; number?: string };
    const { deferral_code: code, interaction_uri: page, number } = told;
    if (code === undefined || page === undefined || number === undefined) throw new Error(reply.text);
    return { id: page.split('/').at(-1) ?? '', code, number, page };
  };
  const signedIn: AskingWorld['signedIn'] = async (employee = ALICE, browser = new Browser()) => {
    const back = await signInFrom(await browser.get(place), browser, employee);
    expect([back.url, back.status]).toEqual([place, 200]);
    return browser;
  };
  await activate(world, ASK);
  // What was changed until now was so for a minute: whoever asks now asks afterwards.
  await world.writ.database.prisma.$executeRawUnsafe(
    `UPDATE revocation SET revoked_at = revoked_at - interval '1 minute'`,
  );
  return {
    ...world,
    ...{ place, ask, signedIn },
    poll: async ({ code }, by = world.a1) =>
      world.post('/token', {
        grant_type: 'urn:ietf:params:oauth:grant-type:deferred',
        deferral_code: code,
        ...(await bearerAssertion(issuer, by)),
      }),
    held: async ({ id }) => {
      const held = await approvals.byId(id, Math.floor(Date.now() / 1000));
      if (held === undefined) throw new Error('no such request');
      return held;
    },
    nothingWaits: () => approvals.keep(Math.floor(Date.now() / 1000) + 301),
    withPasskey: async (browser) => {
      const page = await browser.get(`${place}/passkey`);
      const passkey = new Authenticator();
      const made = await browser.submit(page, { answer: passkey.create(issuer, passkeyOptions(page.body)) });
      if (!made.body.includes('Your passkey is ready')) throw new Error(made.body);
      return passkey;
    },
    forgetPasskeys: async () => {
      await prisma.$executeRawUnsafe('DELETE FROM passkey');
    },
    tokenFor: (employee) => tokenFor(employee, world.a1),
    personOf: async (employee) => decodeJwt<{ sub: string }>(await tokenFor(employee, world.a1)).sub,
    ageSignIns: async (seconds) => {
      await prisma.$executeRawUnsafe(`
        UPDATE engine_record SET payload = jsonb_set(payload, '{verifiedAt}', to_jsonb((payload ->> 'verifiedAt')::int - ${String(seconds)}))
        WHERE payload ? 'verifiedAt'`);
    },
    facts: async (approval) => {
      const { body } = await world.admin('GET', '/log?kind=approval&limit=200');
      const { items } = body as { items: { facts: Record<string, unknown> }[] };
      return items.map(({ facts }) => facts).filter((one) => one['approval'] === approval);
    },
  };
}

/** By the company's button of a page that asks who is there, to the page that it leads to. */
export async function signInFrom(page: Seen, browser: Browser, employee: Employee = ALICE): Promise<Seen> {
  const [action = '', hidden = ''] =
    /<form method="post" action="([^"]*)">\s*<input type="hidden" name="provider" value="company" \/>([^]*?)<div/
      .exec(page.body)
      ?.slice(1) ?? [];
  const to = /name="to" value="([^"]*)"/.exec(hidden)?.[1];
  const form = `<form action="${action}">`;
  const atCompany = await browser.submit(
    { ...page, body: form },
    { provider: 'company', ...(to === undefined ? {} : { to }) },
  );
  if (!atCompany.body.includes('Sign in to The Company')) throw new Error(atCompany.body);
  return browser.submit(atCompany, { email: employee.email, password: employee.password });
}

/** What a person does with a page of one request; the last form is that of the passkey. */
export const formOf = ({ body }: Seen, last = false): Record<string, string> => {
  const form = body.split('<form').at(last ? -1 : 1) ?? '';
  const fields = [...form.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)];
  return Object.fromEntries(fields.map(([, name = '', value = '']) => [name, value]));
};
