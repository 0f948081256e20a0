import { createHash, randomBytes } from 'node:crypto';
import { authorize, Browser } from '../demo/browser.js';
import { ALICE } from '../demo/company.js';
import { type Cast, REDIRECT_URI } from './cast.js';
import type { Form } from './line.js';

/** A person with a browser who signs in once and says yes to every agent. */
export class Person {
  readonly #browser = new Browser();
  readonly #cast: Cast;

  constructor(cast: Cast) {
    this.#cast = cast;
  }

  /** RFC 6749 section 4.1 up to the code: what the agent then sends to the token endpoint, but for its authentication. */
  async codeForm(scope?: string): Promise<Form> {
    const verifier = randomBytes(32).toString('base64url');
    const query = new URLSearchParams(this.#cast.pushed(challengeOf(verifier), scope));
    const link = `${this.#cast.issuer}/auth?${query.toString()}`;
    const back = await authorize(this.#browser, link, { redirectUri: REDIRECT_URI, employee: ALICE });
    const code = back.searchParams.get('code');
    if (code === null) throw new Error(`no code: ${back.search}`);
    return { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: REDIRECT_URI };
  }
}

/** RFC 7636 section 4.2. */
export const challengeOf = (verifier: string): string => createHash('sha256').update(verifier).digest('base64url');

export const refreshForm = (refreshToken: string): Form => ({
  grant_type: 'refresh_token',
  refresh_token: refreshToken,
});
