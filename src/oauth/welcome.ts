import type { Seconds } from '../base/index.js';
import type { Person } from '../human/index.js';
import { companySession } from '../protocol/index.js';
import type { Origin } from './library.js';
import { finish, type Interaction, refusal, type Step } from './step.js';

/** Who signed in, and what their sign-in says of itself. */
export type Welcomed = Readonly<{
  person: Person;
  issuer: string;
  acr: string | undefined;
  amr: readonly string[] | undefined;
  authTime: Seconds | undefined;
  /** The company's own session. */
  sid?: string | undefined;
  /** The last revocation before they were asked who they are. One that comes after it ends the sign-in. */
  seen: number;
}>;

/** Begins the person's session in this browser, and answers where it goes on. */
export async function welcome(step: Step, interaction: Interaction, who: Welcomed): Promise<string> {
  const { deps } = step;
  const { person } = who;
  if (person.status !== 'active')
    return finish(step, interaction, refusal('access_denied', 'the person may not sign in'));
  const before = interaction.session;
  if (before?.uid !== undefined && before.accountId !== person.id) {
    // Somebody else now: their sign-in is not carried on, and the library does not ask about it.
    await deps.store.removeByUid('Session', before.uid);
    interaction.session = undefined;
  }
  const login = {
    accountId: person.id,
    // 0: the identity provider did not say when. `undefined` would become "now" (see personClaims).
    ts: who.authTime ?? 0,
    ...(who.acr === undefined ? {} : { acr: who.acr }),
    ...(who.amr === undefined ? {} : { amr: [...who.amr] }),
    origin: {
      ...{ issuer: who.issuer, seen: who.seen },
      sessions: who.sid === undefined ? [] : [companySession(who.issuer, who.sid)],
    } satisfies Origin,
  };
  return finish(step, interaction, { login });
}
