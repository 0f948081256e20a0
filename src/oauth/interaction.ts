import { decideConsent, showConsent } from './consent.js';
import { errors } from './library.js';
import { signInByPasskey, signInByPassword } from './local-sign-in.js';
import { beginSignIn, finishSignIn } from './sign-in.js';
import type { Step } from './step.js';
import { outdated } from './troubles.js';

/** Sign-in and consent, in the browser that began the authorization and in no other (AZ-14, AZ-16). False: not one of its pages. */
export async function answerInteraction(step: Step): Promise<boolean> {
  const { method, path } = step.context;
  const [, first = '', second, third] =
    /^\/interaction\/([\w-]{1,64})(?:\/([\w-]{1,32})(?:\/([\w-]{1,32}))?)?$/.exec(path) ?? [];
  const page = `${method} ${second ?? ''}`;
  if (first === '') return false;
  if (first === 'callback' && method === 'GET' && second !== undefined) await finishSignIn(step, second);
  else if (['GET ', 'GET sign-in', 'POST consent', 'POST passkey', 'POST password'].includes(page))
    await withInteraction(step, first, page, third);
  else return false;
  return true;
}

async function withInteraction(step: Step, uid: string, page: string, providerId: string | undefined): Promise<void> {
  const { provider, context } = step;
  const interaction = await found(() => provider.interactionDetails(context.req, context.res));
  if (interaction?.uid !== uid) outdated(context);
  else if (page === 'POST consent' && interaction.prompt.name === 'consent') await decideConsent(step, interaction);
  else if (page === 'GET ' && interaction.prompt.name === 'consent') await showConsent(step, interaction);
  else if (page === 'POST passkey' && interaction.prompt.name === 'login') await signInByPasskey(step, interaction);
  else if (page === 'POST password' && interaction.prompt.name === 'login') await signInByPassword(step, interaction);
  else if (page.startsWith('GET') && interaction.prompt.name === 'login')
    await beginSignIn(step, interaction, providerId);
  else outdated(context);
}

/** The library throws when cookie, interaction and session do not belong together. */
async function found<T>(load: () => Promise<T>): Promise<T | undefined> {
  try {
    return await load();
  } catch (error) {
    if (error instanceof errors.SessionNotFound) return undefined;
    throw error;
  }
}
