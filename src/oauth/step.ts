import type { ParameterizedContext } from 'koa';
import type { Clock, Seconds } from '../base/index.js';
import type { PageSecrets, Passkeys, Passwords, PersonDirectory, SignInAt } from '../human/index.js';
import type { RegistryReader } from '../registry/index.js';
import type { Provider } from './library.js';
import type { EngineStore, SignOuts } from './ports.js';

/** Sign-in by passkey, and what such a one claims as `acr`. */
export type LocalSignIn = Readonly<{
  passkeys: Passkeys;
  acr: string | undefined;
  /** Only where they are switched on. */
  passwords: Passwords | undefined;
}>;

export type InteractionDeps = Readonly<{
  issuer: string;
  registry: RegistryReader;
  store: EngineStore;
  people: PersonDirectory;
  clock: Clock;
  signIns: ReadonlyMap<string, SignInAt>;
  signOuts: SignOuts;
  /** Only where there are local accounts. */
  local: LocalSignIn | undefined;
  secrets: PageSecrets;
  interactionSeconds: Seconds;
  /** How long a consent holds at most. */
  consentSeconds: Seconds;
  onFault(cause: unknown): void;
}>;

export type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>;
export type Step = Readonly<{ provider: Provider; context: ParameterizedContext; deps: InteractionDeps }>;

/** Why a sign-in is asked for although there is one: it is of none of the classes asked for. */
export const WEAKER = 'acr_values';

export const refusal = (
  error: string,
  error_description: string,
): Readonly<{ error: string; error_description: string }> => ({
  error,
  error_description,
});

/** Keeps the result for the library, and answers where it goes on. */
export async function finish(
  { deps }: Step,
  interaction: Interaction,
  result: NonNullable<Interaction['result']>,
): Promise<string> {
  interaction.result = 'error' in result ? result : { ...interaction.lastSubmission, ...result };
  await interaction.save(interaction.exp - deps.clock.now());
  return interaction.returnTo;
}

/** RFC 9700 section 4.12: 303, so that no browser repeats a form at the next address. */
export function redirect(context: ParameterizedContext, address: string): void {
  context.status = 303;
  context.set('cache-control', 'no-store');
  context.set('referrer-policy', 'no-referrer');
  context.redirect(address);
}

/** Where else people sign in. */
export const providerLinks = (
  { deps: { issuer, signIns } }: Step,
  { uid }: Interaction,
): readonly Readonly<{ name: string; address: string }>[] =>
  [...signIns.values()].map(({ provider: { id, name } }) => ({
    name,
    address: `${issuer}/interaction/${uid}/sign-in/${id}`,
  }));
