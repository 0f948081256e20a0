import { z } from 'zod';
import { type Clock, err, ok, randomText, type Result, type Seconds } from '../base/index.js';
import type { Challenges, LocalAccounts, NewPasskey } from './local-accounts.js';
import type { Person } from './people.js';

/**
 * `unreadable`: no answer of an authenticator. `stale`: its challenge is unknown, used, over or made for something else.
 * `unknown`: nobody's passkey. `invalid`: the proof does not hold. `copied`: its counter went back.
 */
export type PasskeyFlaw = 'unreadable' | 'stale' | 'unknown' | 'invalid' | 'copied';

/** Who proved just now to be there, by a passkey and what opens it. */
export type Verified = Readonly<{ account: Person; amr: readonly string[]; authTime: Seconds }>;

type Deps = Readonly<{ issuer: string; accounts: LocalAccounts; challenges: Challenges; clock: Clock }>;

/** WebAuthn level 3 for the origin of the issuer. What a challenge is for is a text: a sign-in, an enrolment, one approval. */
export class Passkeys {
  readonly rpId: string;
  readonly #origin: string;
  readonly #deps: Deps;

  constructor(deps: Deps) {
    const { hostname, origin } = new URL(deps.issuer);
    this.rpId = hostname;
    this.#origin = origin;
    this.#deps = deps;
  }

  /** A new challenge; whoever needs one that says more than nothing gives it, and it is never made twice. */
  async challenge(purpose: string, challenge = randomText(32)): Promise<string> {
    await this.#deps.challenges.keep(challenge, purpose, CHALLENGE_SECONDS);
    return challenge;
  }

  /** What `navigator.credentials.create` takes, in JSON: a key that is found without a name and opened by its person. */
  async creationOptions(account: Person, passkeys: readonly string[], purpose: string): Promise<object> {
    const name = account.attributes.email ?? account.attributes.name ?? account.id;
    return {
      challenge: await this.challenge(purpose),
      rp: { id: this.rpId, name: 'Writ' },
      user: {
        id: this.#handleOf(account),
        name,
        displayName: account.attributes.name ?? name,
      },
      pubKeyCredParams: ALGORITHMS.map((alg) => ({ type: 'public-key', alg })),
      excludeCredentials: passkeys.map((id) => ({ type: 'public-key', id })),
      authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
      attestation: 'none',
      timeout: CHALLENGE_SECONDS * 1000,
    };
  }

  /** What `navigator.credentials.get` takes: no list of keys, so that it tells nobody who has an account. */
  async requestOptions(purpose: string, challenge?: string): Promise<object> {
    return {
      challenge: await this.challenge(purpose, challenge),
      rpId: this.rpId,
      userVerification: 'required',
      allowCredentials: [],
      timeout: CHALLENGE_SECONDS * 1000,
    };
  }

  /** WebAuthn section 7.1. Keeps nothing. */
  async registered(answer: string, purpose: string): Promise<Result<NewPasskey, PasskeyFlaw>> {
    const response = read(Registration, answer);
    if (response === undefined) return err('unreadable');
    const challenge = await this.#challengeOf(response.response.clientDataJSON, purpose);
    if (challenge === undefined) return err('stale');
    const { verifyRegistrationResponse } = await library();
    const verified = await held(() =>
      verifyRegistrationResponse({
        ...{ response, expectedChallenge: challenge, requireUserVerification: true },
        ...{ expectedOrigin: this.#origin, expectedRPID: this.rpId, supportedAlgorithmIDs: [...ALGORITHMS] },
      }),
    );
    if (verified?.registrationInfo === undefined) return err('invalid');
    const { credential, credentialDeviceType, credentialBackedUp: isBackedUp } = verified.registrationInfo;
    const { id, publicKey, counter, transports = [] } = credential;
    return ok({ id, publicKey, counter, transports, mayBeCopied: credentialDeviceType === 'multiDevice', isBackedUp });
  }

  /**
   * WebAuthn section 7.2: fresh user verification, for this purpose and no other. `person`: theirs only, whoever vouches for
   * them. Without it a local account's, since only those are signed in by it.
   */
  async verified(answer: string, purpose: string, person?: string): Promise<Result<Verified, PasskeyFlaw>> {
    const { accounts, clock } = this.#deps;
    const response = read(Assertion, answer);
    if (response === undefined) return err('unreadable');
    const challenge = await this.#challengeOf(response.response.clientDataJSON, purpose);
    if (challenge === undefined) return err('stale');
    const known = await accounts.passkey(response.id);
    if (known === undefined) return err('unknown');
    const { account, passkey } = known;
    const isTheirs = person === undefined ? account.issuer === this.#deps.issuer : account.id === person;
    if (!isTheirs) return err('unknown');
    if (response.response.userHandle !== this.#handleOf(account)) return err('invalid');
    const { verifyAuthenticationResponse } = await library();
    // The counter is judged by the database below, which two processes cannot pass at once; here it is asked for nothing.
    const credential = { id: passkey.id, publicKey: new Uint8Array(passkey.publicKey), counter: 0 };
    const proof = await held(() =>
      verifyAuthenticationResponse({
        ...{ response, expectedChallenge: challenge, credential, requireUserVerification: true },
        ...{ expectedOrigin: this.#origin, expectedRPID: this.rpId },
      }),
    );
    if (proof?.verified !== true) return err('invalid');
    const { newCounter: counter, credentialBackedUp: isBackedUp } = proof.authenticationInfo;
    if (!(await accounts.used(passkey.id, { counter, isBackedUp }))) return err('copied');
    return ok({ account, amr: methodsOf(passkey), authTime: clock.now() });
  }

  /** WebAuthn section 5.4.3: at most 64 bytes that say nothing of who it is, as a company's subject may. */
  #handleOf({ id, issuer, subject }: Person): string {
    return Buffer.from(issuer === this.#deps.issuer ? subject : id).toString('base64url');
  }

  /** The challenge that the answer is to, if it is one for this purpose. DANGER: it is spent whatever else is wrong. */
  async #challengeOf(clientData: string, purpose: string): Promise<string | undefined> {
    const data = read(ClientData, Buffer.from(clientData, 'base64url').toString('utf8'));
    if (data === undefined) return undefined;
    return (await this.#deps.challenges.take(data.challenge)) === purpose ? data.challenge : undefined;
  }
}

const CHALLENGE_SECONDS: Seconds = 300;

/** ES256, EdDSA, RS256 (RFC 9053, RFC 8812). */
const ALGORITHMS = [-7, -8, -257] as const;

/**
 * RFC 8176: somebody was there and opened the key by what they know or are, so two factors. A key that may be copied is held
 * by software. Of any other nobody vouches for where it is kept, since no attestation is asked for: `pop` claims no more than that.
 */
const methodsOf = ({ mayBeCopied }: Pick<NewPasskey, 'mayBeCopied'>): readonly string[] => [
  mayBeCopied ? 'swk' : 'pop',
  'user',
  'mfa',
];

/** Not loaded by a server without local accounts. */
const library = () => import('@simplewebauthn/server');

/** The library throws for every answer that does not hold. */
async function held<T>(verify: () => Promise<T>): Promise<T | undefined> {
  try {
    return await verify();
  } catch {
    return undefined;
  }
}

function read<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

const Bytes = z
  .string()
  .max(8_192)
  .regex(/^[\w-]+$/);
const Credential = {
  id: Bytes.max(1_400),
  rawId: Bytes.max(1_400),
  type: z.literal('public-key'),
  clientExtensionResults: z.unknown().transform(() => ({})),
};
const Transport = z.enum(['ble', 'cable', 'hybrid', 'internal', 'nfc', 'smart-card', 'usb']);
const Registration = z.object({
  ...Credential,
  response: z.object({
    clientDataJSON: Bytes,
    attestationObject: Bytes,
    transports: z.array(Transport).max(8).catch([]),
  }),
});
const Assertion = z.object({
  ...Credential,
  response: z.object({ clientDataJSON: Bytes, authenticatorData: Bytes, signature: Bytes, userHandle: Bytes }),
});
/** Never from within a frame of somebody else (WebAuthn section 13.4.2). */
const ClientData = z.object({
  challenge: z.string().regex(/^[\w-]{43}$/),
  crossOrigin: z.literal(false).optional(),
});
