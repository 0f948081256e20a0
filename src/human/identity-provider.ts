import * as oidc from 'openid-client';
import { z } from 'zod';
import { err, Fault, ok, type Result, type Seconds } from '../base/index.js';
import { GroupName, Identifier, type JsonObject, Text, type VerificationKey } from '../protocol/index.js';
import { CompanySession } from './logout-token.js';
import type { PersonAttributes } from './people.js';
import { ProviderKeys } from './provider-keys.js';

/** A company identity provider where people sign in (OpenID Connect Core 1.0). */
export type IdentityProvider = Readonly<{
  id: string;
  name: string;
  issuer: string;
  clientId: string;
  scopes: readonly string[];
  /** The classes that it gives, as far as they are published. */
  acrValues?: readonly string[];
  /** The claim that says of whom people are members, where anybody wants to know. */
  groupsClaim?: string | undefined;
  credential: Readonly<{ kind: 'secret'; secret: string }> | Readonly<{ kind: 'private_key'; jwk: JsonObject }>;
}>;

/** One sign-in on its way: `state` names it, the other two are known to this server only. */
export type SignInSecrets = Readonly<{ state: string; nonce: string; codeVerifier: string }>;

/** What the person's browser is asked to bring back, beyond who it is. */
export type SignInWish = Readonly<{
  maxAge?: Seconds | undefined;
  acrValues?: string | undefined;
  loginHint?: string | undefined;
  afresh: boolean;
}>;

/** Facts of the ID token, as they stand there: what it does not say is `undefined`. */
export type SignedIn = Readonly<{
  issuer: string;
  subject: string;
  acr: string | undefined;
  amr: readonly string[] | undefined;
  authTime: Seconds | undefined;
  /** The provider's own session, for as long as which the sign-in holds (Back-Channel Logout section 2.1). */
  sid: string | undefined;
  attributes: PersonAttributes;
  /** None where nobody asks this provider for any. */
  groups: readonly string[];
}>;

/** `denied`: the person or the provider said no. `invalid`: the answer does not hold. `unavailable`: no usable answer. */
export type SignInFlaw = Readonly<{ reason: 'denied' | 'invalid' | 'unavailable'; cause: unknown }>;

/** Speaks to one identity provider. Reads its discovery document when first needed and again every ten minutes. */
export class SignInAt {
  readonly provider: IdentityProvider;
  readonly #redirectUri: string;
  readonly #keys = new ProviderKeys();
  #found: Promise<oidc.Configuration> | undefined;
  #staleAt = 0;

  constructor(provider: IdentityProvider, redirectUri: string) {
    this.provider = provider;
    this.#redirectUri = redirectUri;
  }

  /** The address to send the browser to. */
  async start(secrets: SignInSecrets, wish: SignInWish): Promise<Result<string, SignInFlaw>> {
    try {
      const url = oidc.buildAuthorizationUrl(await this.#configuration(), {
        redirect_uri: this.#redirectUri,
        scope: this.provider.scopes.join(' '),
        state: secrets.state,
        nonce: secrets.nonce,
        code_challenge: await oidc.calculatePKCECodeChallenge(secrets.codeVerifier),
        code_challenge_method: 'S256',
        ...(wish.maxAge === undefined ? {} : { max_age: String(wish.maxAge) }),
        ...(wish.acrValues === undefined ? {} : { acr_values: wish.acrValues }),
        ...(wish.loginHint === undefined ? {} : { login_hint: wish.loginHint }),
        ...(wish.afresh ? { prompt: 'login' } : {}),
      });
      return ok(url.href);
    } catch (cause) {
      return err({ reason: 'unavailable', cause });
    }
  }

  /** Checks the answer that the browser brought: `state`, `iss` (RFC 9207), code, ID token, `nonce`. */
  async finish(
    query: string,
    secrets: SignInSecrets,
    maxAge: Seconds | undefined,
  ): Promise<Result<SignedIn, SignInFlaw>> {
    try {
      const configuration = await this.#configuration();
      const tokens = await oidc.authorizationCodeGrant(configuration, new URL(`${this.#redirectUri}${query}`), {
        expectedState: secrets.state,
        expectedNonce: secrets.nonce,
        pkceCodeVerifier: secrets.codeVerifier,
        idTokenExpected: true,
        ...(maxAge === undefined ? {} : { maxAge }),
      });
      const claims = Claims.parse(tokens.claims());
      const described = await this.#described(configuration, tokens.access_token, claims);
      const { iss, sub, acr, amr, auth_time: authTime, sid } = claims;
      return ok({ issuer: iss, subject: sub, acr, amr, authTime, sid, ...described });
    } catch (cause) {
      return err({ reason: reasonOf(cause), cause });
    }
  }

  /** The keys that the provider signs with now. Throws a Fault on an outage. */
  async keys(kid: string | undefined): Promise<readonly VerificationKey[]> {
    const found = await this.#configuration().catch((cause: unknown) => {
      throw new Fault('issuer_keys_unavailable', `${this.provider.issuer} cannot be discovered`, { cause });
    });
    return this.#keys.of(found.serverMetadata().jwks_uri, kid);
  }

  /** Many providers put names and groups only at their userinfo endpoint. */
  async #described(
    configuration: oidc.Configuration,
    token: string,
    claims: Claims,
  ): Promise<Pick<SignedIn, 'attributes' | 'groups'>> {
    const { groupsClaim } = this.provider;
    const known = described(claims);
    const misses = known.name === undefined || (groupsClaim !== undefined && claims[groupsClaim] === undefined);
    const more = misses ? await userInfo(configuration, token, claims.sub) : {};
    const groups = groupsClaim === undefined ? [] : groupsIn(claims[groupsClaim] ?? more[groupsClaim]);
    return { attributes: { ...known, ...described(Described.parse(more)) }, groups };
  }

  #configuration(): Promise<oidc.Configuration> {
    const now = performance.now();
    if (this.#found === undefined || now > this.#staleAt) {
      this.#staleAt = now + REREAD_MS;
      this.#found = discover(this.provider);
      this.#found.catch(() => {
        this.#found = undefined;
      });
    }
    return this.#found;
  }
}

const REREAD_MS = 600_000;

async function discover(provider: IdentityProvider): Promise<oidc.Configuration> {
  const issuer = new URL(provider.issuer);
  const configuration = await oidc.discovery(issuer, provider.clientId, undefined, await authenticationTo(provider), {
    timeout: 5,
    // Configuration allows http on loopback only.
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- marked so to stand out; there is no other way on loopback
    ...(issuer.protocol === 'http:' ? { execute: [oidc.allowInsecureRequests] } : {}),
  });
  if (configuration.serverMetadata().issuer !== provider.issuer)
    throw new Error('the discovery document names another issuer');
  return configuration;
}

async function authenticationTo({ credential }: IdentityProvider): Promise<oidc.ClientAuth> {
  if (credential.kind === 'secret') return oidc.ClientSecretBasic(credential.secret);
  const { alg, kid } = KeyNames.parse(credential.jwk);
  const key = await crypto.subtle.importKey('jwk', { ...credential.jwk }, ALGORITHMS[alg], false, ['sign']);
  return oidc.PrivateKeyJwt(kid === undefined ? key : { key, kid });
}

const ALGORITHMS = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  EdDSA: { name: 'Ed25519' },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
} as const;

const KeyNames = z.looseObject({
  alg: z.enum(['ES256', 'EdDSA', 'PS256', 'RS256']).default('ES256'),
  kid: z.string().optional(),
});

/** Verified by openid-client; parsed again because nothing of another server is used unread. */
const Claims = z.looseObject({
  iss: Identifier,
  sub: Identifier,
  acr: z.string().max(256).optional(),
  amr: z.array(z.string().max(64)).max(16).optional(),
  // One that nobody can keep is none: what the provider says of the person ends this sign-in.
  sid: CompanySession.optional().catch(undefined),
  auth_time: z.number().int().positive().max(253_402_300_799).optional(),
  // A name that cannot be stored or shown is no name; the sign-in is still good.
  name: Text.max(256).optional().catch(undefined),
  email: Text.max(256).optional().catch(undefined),
});

type Claims = z.infer<typeof Claims>;

const Described = Claims.pick({ name: true, email: true });

/** Without a name the sign-in is still good, and without groups nobody approves for others. */
async function userInfo(
  configuration: oidc.Configuration,
  token: string,
  subject: string,
): Promise<Readonly<Record<string, unknown>>> {
  if (configuration.serverMetadata().userinfo_endpoint === undefined) return {};
  try {
    return await oidc.fetchUserInfo(configuration, token, subject);
  } catch {
    return {};
  }
}

/** DANGER: whatever is no list of names is none: nobody has authority by a claim that cannot be read. */
const groupsIn = (claim: unknown): readonly string[] => Groups.safeParse(claim).data ?? [];
const Groups = z.array(GroupName).max(256);

const described = ({ name, email }: z.infer<typeof Described>): PersonAttributes => ({
  ...(name === undefined ? {} : { name }),
  ...(email === undefined ? {} : { email }),
});

function reasonOf(cause: unknown): SignInFlaw['reason'] {
  if (cause instanceof oidc.AuthorizationResponseError) return 'denied';
  const timedOut = cause instanceof oidc.ClientError && cause.code === 'OAUTH_TIMEOUT';
  return timedOut || NoAnswer.safeParse(cause).success ? 'unavailable' : 'invalid';
}

/** What fetch throws when nobody answers, as it is or within an error of openid-client. */
const FetchFailed = z.object({ message: z.literal('fetch failed') });
const NoAnswer = z.union([FetchFailed, z.object({ cause: FetchFailed })]);
