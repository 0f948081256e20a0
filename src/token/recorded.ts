import type { SignableToken } from './prepare.js';

/** What the commit knew and nobody before it: closes the token's receipt. */
export type Commitment = Readonly<{ session: string; seen: number; leaf: string }>;

/**
 * Proof that the record of a token is durable. Nominal, and made in storage/ alone: no other room may import this
 * module. Nothing is signed that is not one.
 */
export class Recorded {
  readonly #token: SignableToken;
  readonly #commitment: Commitment;

  constructor(token: SignableToken, commitment: Commitment) {
    this.#token = token;
    this.#commitment = commitment;
  }

  get token(): SignableToken {
    return this.#token;
  }

  get commitment(): Commitment {
    return this.#commitment;
  }
}
