import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Provider } from 'oidc-provider';
import type { IdentityProvider } from '../../src/human/index.js';

/** Somebody with an account at the company. */
export type Employee = Readonly<{ subject: string; name: string; email: string; password: string }>;

export const ALICE: Employee = {
  subject: 'u-1001',
  name: 'Alice Archer',
  email: 'alice@company.example',
  password: 'correct horse',
};
export const BOB: Employee = {
  subject: 'u-1002',
  name: 'Bob Baker',
  email: 'bob@company.example',
  password: 'battery staple',
};

/** How sure the company's sign-in is of the person. */
export const COMPANY_ACR = 'urn:company:acr:password';

export type CompanyOptions = Readonly<{
  /** Where Writ takes people back: `<issuer>/interaction/callback/<id>`. */
  writIssuer: string;
  id?: string;
  port?: number;
  employees?: readonly Employee[];
  /** A program of the company's own where people sign in without Writ; its ID tokens live as long as it says. */
  app?: Readonly<{ clientId: string; redirectUri: string; idTokenSeconds: number }>;
  /** False: its ID tokens do not say when the person signed in. */
  saysWhen?: boolean;
  /** A class that it gives to whoever signs in where it was asked for. */
  strongAcr?: string;
  /** What it says of whose members people are, in the claim `groups` of userinfo. */
  groupsOf?: (subject: string) => unknown;
}>;

/** A company identity provider on loopback: OpenID Connect, with accounts of its own and a page to sign in at. */
export type Company = Readonly<{
  issuer: string;
  identityProvider: IdentityProvider;
  /** What it signs its tokens with (RS256, `company-key`). */
  key: KeyObject;
  /** The session, in its own words, of the sign-in that was finished last. */
  lastSession(): string | undefined;
  stop(): Promise<void>;
}>;

const SECRET = 'a secret between the company and writ, for tests and the demo';

export async function startCompany(options: CompanyOptions): Promise<Company> {
  const {
    writIssuer,
    id = 'company',
    port = 0,
    employees = [ALICE, BOB],
    saysWhen = true,
    app,
    strongAcr,
    groupsOf,
  } = options;
  const server = createServer();
  const issuer = await listen(server, port);
  const { privateKey: key } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const provider = await silently(() =>
    makeCompany(issuer, {
      ...{ redirectUri: `${writIssuer}/interaction/callback/${id}`, logoutUri: `${writIssuer}/sign-out/${id}` },
      ...{ key, employees, saysWhen, app, strongAcr, groupsOf },
    }),
  );
  let last: string | undefined;
  provider.on('grant.success', ({ oidc }) => {
    last = oidc.entities.AuthorizationCode?.sid;
  });
  const answer = provider.callback();
  server.on('request', (request, response) => {
    const signIn = request.url?.startsWith('/sign-in/') === true;
    void (signIn ? signInPage(provider, { employees, strongAcr }, request, response) : answer(request, response));
  });
  return {
    ...{ issuer, key, lastSession: () => last },
    identityProvider: {
      id,
      name: 'The Company',
      issuer,
      clientId: 'writ',
      scopes: ['openid', 'profile', 'email'],
      credential: { kind: 'secret', secret: SECRET },
      ...(strongAcr === undefined ? {} : { acrValues: [COMPANY_ACR, strongAcr] }),
      ...(groupsOf === undefined ? {} : { groupsClaim: 'groups' }),
    },
    stop: () => close(server),
  };
}

async function makeCompany(
  issuer: string,
  setup: Readonly<{
    redirectUri: string;
    logoutUri: string;
    key: KeyObject;
    employees: readonly Employee[];
    saysWhen: boolean;
    app: CompanyOptions['app'];
    strongAcr: string | undefined;
    groupsOf: CompanyOptions['groupsOf'];
  }>,
): Promise<Provider> {
  const { Provider } = await import('oidc-provider');
  return new Provider(issuer, {
    clients: [
      {
        client_id: 'writ',
        client_secret: SECRET,
        redirect_uris: [setup.redirectUri],
        backchannel_logout_uri: setup.logoutUri,
        backchannel_logout_session_required: true,
        require_auth_time: setup.saysWhen,
        default_acr_values: [COMPANY_ACR],
      },
      ...(setup.app === undefined
        ? []
        : [
            {
              client_id: setup.app.clientId,
              redirect_uris: [setup.app.redirectUri],
              token_endpoint_auth_method: 'none' as const,
            },
          ]),
    ],
    acrValues: setup.strongAcr === undefined ? [COMPANY_ACR] : [COMPANY_ACR, setup.strongAcr],
    claims: { openid: ['sub', 'amr'], profile: ['name', 'groups'], email: ['email'] },
    cookies: {
      keys: ['a key of the company for its own cookies'],
      names: { session: 'company_session', interaction: 'company_interaction', resume: 'company_resume' },
    },
    jwks: { keys: [{ ...setup.key.export({ format: 'jwk' }), kid: 'company-key', alg: 'RS256', use: 'sig' }] },
    features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true } },
    // The library's own guard keeps private addresses out, and here there are no others.
    fetch: (target, { method = 'GET', headers = {}, body = null } = {}) => fetch(target, { method, headers, body }),
    interactions: { url: (_context, { uid }) => `/sign-in/${uid}` },
    findAccount: (_context, subject) => {
      const employee = setup.employees.find((one) => one.subject === subject);
      if (employee === undefined) return undefined;
      const { name, email } = employee;
      return { accountId: subject, claims: () => ({ sub: subject, name, email, groups: setup.groupsOf?.(subject) }) };
    },
    // The company trusts Writ: its own people are not asked whether Writ may know them.
    loadExistingGrant: async ({ oidc }) => {
      const accountId = oidc.session?.accountId;
      const clientId = oidc.client?.clientId;
      if (accountId === undefined || clientId === undefined) return undefined;
      const grant = new oidc.provider.Grant({ accountId, clientId });
      grant.addOIDCScope('openid profile email');
      grant.addOIDCClaims(['name', 'email', 'groups', 'acr', 'auth_time']);
      await grant.save();
      return grant;
    },
    pkce: { required: () => true },
    ttl: {
      AccessToken: 600,
      Grant: 3_600,
      IdToken: (_context, _token, { clientId }) => (clientId === setup.app?.clientId ? setup.app.idTokenSeconds : 600),
      Interaction: 600,
      Session: 3_600,
    },
  });
}

async function signInPage(
  provider: Provider,
  { employees, strongAcr }: Readonly<{ employees: readonly Employee[]; strongAcr: string | undefined }>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'POST') {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(SIGN_IN_FORM);
    return;
  }
  const form = new URLSearchParams(await text(request));
  const employee = employees.find((one) => one.email === form.get('email') && one.password === form.get('password'));
  const result =
    employee === undefined
      ? { error: 'access_denied', error_description: 'wrong name or password' }
      : { login: { accountId: employee.subject, ...(await classOf(provider, strongAcr, [request, response])) } };
  await provider.interactionFinished(request, response, result);
}

async function classOf(
  provider: Provider,
  strongAcr: string | undefined,
  [request, response]: readonly [IncomingMessage, ServerResponse],
): Promise<Readonly<{ acr: string; amr: string[] }>> {
  const { params } = await provider.interactionDetails(request, response);
  const wanted = typeof params['acr_values'] === 'string' ? params['acr_values'].split(' ') : [];
  const isStrong = strongAcr !== undefined && wanted.includes(strongAcr);
  return isStrong ? { acr: strongAcr, amr: ['pwd', 'otp', 'mfa'] } : { acr: COMPANY_ACR, amr: ['pwd'] };
}

const SIGN_IN_FORM = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>The Company</title></head>
<body><h1>Sign in to The Company</h1><form method="post"><input name="email" type="email"><input name="password" type="password">
<button type="submit">Sign in</button></form></body></html>`;

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString('utf8');
}

/** On loopback; answers the address. */
export async function listen(server: Server, port = 0): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

export function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => {
    server.close(() => {
      resolve();
    });
  });
}

/** The library says on the console that its built-in store and keys are for development, which this company is. */
async function silently<T>(make: () => Promise<T>): Promise<T> {
  const { warn, info } = console;
  Object.assign(console, { warn: () => undefined, info: () => undefined });
  try {
    return await make();
  } finally {
    Object.assign(console, { warn, info });
  }
}
