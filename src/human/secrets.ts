import { createHmac, timingSafeEqual } from 'node:crypto';
import { randomText } from '../base/index.js';
import type { ConsentRequest } from './consent.js';
import type { SignInSecrets } from './identity-provider.js';

/** Secrets of pages and sign-ins, made from one server key instead of being stored. */
export type PageSecrets = Readonly<{
  newSignIn(): SignInSecrets;
  /** The same secrets again, from the `state` that came back. */
  signInOf(state: string): SignInSecrets;
  /** For one interaction and exactly what its page shows: a forged or an outdated form does not have it. */
  consentToken(interaction: string, shown: ConsentRequest): string;
  isConsentToken(token: string, interaction: string, shown: ConsentRequest): boolean;
  /** For the page on which this sign-in is ended. */
  signOutToken(signIn: string): string;
  isSignOutToken(token: string, signIn: string): boolean;
  /** For the forms of /approvals in this sign-in. */
  placeToken(signIn: string): string;
  isPlaceToken(token: string, signIn: string): boolean;
}>;

export function pageSecrets(key: string): PageSecrets {
  const mac = (...parts: readonly string[]): string =>
    createHmac('sha256', key).update(parts.join('\0')).digest('base64url');
  const signInOf = (state: string): SignInSecrets => ({
    state,
    nonce: mac('nonce', state),
    codeVerifier: mac('code_verifier', state),
  });
  const consentToken = (interaction: string, shown: ConsentRequest): string =>
    mac('consent', interaction, JSON.stringify(shown));
  const signOutToken = (signIn: string): string => mac('sign-out', signIn);
  const placeToken = (signIn: string): string => mac('approvals', signIn);
  return {
    newSignIn: () => signInOf(randomText(32)),
    signInOf,
    consentToken,
    isConsentToken: (token, interaction, shown) => equal(token, consentToken(interaction, shown)),
    signOutToken,
    isSignOutToken: (token, signIn) => equal(token, signOutToken(signIn)),
    placeToken,
    isPlaceToken: (token, signIn) => equal(token, placeToken(signIn)),
  };
}

function equal(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
