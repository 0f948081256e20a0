import * as oauth from 'openid-client';
import { authorize, Browser } from './browser.js';
import type { Employee } from './company.js';
import type { KeyPair } from './keys.js';

/** What an agent's own sign-in link needs. The key is absent where the client is public. */
export type SignIn = Readonly<{
  issuer: string;
  clientId: string;
  key?: KeyPair;
  redirectUri: string;
  scope?: string;
}>;

export type SignedIn = Readonly<{
  accessToken: string;
  idToken: string | undefined;
  /** The pages that the person's browser went to, the first one first. */
  pages: readonly URL[];
}>;

/**
 * The authorization code flow with PKCE (RFC 6749 section 4.1, RFC 7636): the agent makes a link, the person opens it,
 * signs in and decides, and the agent swaps the code that comes back. Openid-client does the agent's half, a plain
 * browser without script the person's.
 */
export async function signIn(agent: SignIn, person: Employee, browser: Browser): Promise<SignedIn> {
  const client = await discover(agent);
  const [verifier, state] = [oauth.randomPKCECodeVerifier(), oauth.randomState()];
  const link = oauth.buildAuthorizationUrl(client, {
    redirect_uri: agent.redirectUri,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    ...(agent.scope === undefined ? {} : { scope: agent.scope }),
  });
  const seenBefore = browser.history.length;
  const back = await authorize(browser, link.href, { redirectUri: agent.redirectUri, employee: person });
  const tokens = await oauth.authorizationCodeGrant(client, back, { pkceCodeVerifier: verifier, expectedState: state });
  const visited = browser.history.slice(0, browser.history.length - seenBefore).reverse();
  return { accessToken: tokens.access_token, idToken: tokens.id_token, pages: visited.map((url) => new URL(url)) };
}

/** RFC 7009, by the client that the token was issued to. */
export async function revoke(agent: Omit<SignIn, 'redirectUri'>, token: string): Promise<void> {
  await oauth.tokenRevocation(await discover(agent), token);
}

async function discover({ issuer, clientId, key }: Omit<SignIn, 'redirectUri'>): Promise<oauth.Configuration> {
  const authentication =
    key === undefined ? oauth.None() : oauth.PrivateKeyJwt({ key: await webKey(key), kid: key.publicJwk.kid ?? '' });
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- http, on loopback only, as everything of the demo
  const onLoopback = { execute: [oauth.allowInsecureRequests] };
  return oauth.discovery(new URL(issuer), clientId, undefined, authentication, onLoopback);
}

const webKey = ({ privateJwk }: KeyPair) =>
  crypto.subtle.importKey('jwk', { ...privateJwk }, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
