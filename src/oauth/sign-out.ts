import { isCrossSite } from '../http/index.js';
import { signedOutPage, type SignOutProblem, signOutPage } from '../human/index.js';
import { clearSignIn, signInOf } from './library.js';
import { readForm } from './requests.js';
import type { Step } from './step.js';
import { answer, NOBODY_SIGNED_IN } from './troubles.js';

export const isSignOutPath = (path: string): boolean => path === '/sign-out';

/** The person's own end of sign-ins. A GET changes nothing, and whoever is not signed in is told so. */
export async function answerSignOut(step: Step): Promise<void> {
  const { provider, context } = step;
  if (!['GET', 'HEAD', 'POST'].includes(context.method)) return;
  const signIn = await signInOf(provider, context);
  if (signIn === undefined) answer(context, NOBODY_SIGNED_IN);
  else if (context.method === 'POST') await signOut(step, signIn);
  else await showSignOut(step, signIn);
}

type SignIn = NonNullable<Awaited<ReturnType<typeof signInOf>>>;

async function showSignOut({ context, deps }: Step, signIn: SignIn, problem?: SignOutProblem): Promise<void> {
  const person = await deps.people.byId(signIn.person);
  const { name, email } = person?.attributes ?? {};
  const form = {
    action: `${deps.issuer}/sign-out`,
    token: deps.secrets.signOutToken(signIn.uid),
    problem,
  };
  answer(context, signOutPage({ name: name ?? email ?? signIn.person, email }, form));
}

async function signOut(step: Step, signIn: SignIn): Promise<void> {
  const { provider, context, deps } = step;
  const form = await readForm(context);
  const where = form?.get('where');
  const isOurs =
    deps.secrets.isSignOutToken(form?.get('token') ?? '', signIn.uid) && !isCrossSite(context, deps.issuer);
  if (!isOurs || (where !== 'here' && where !== 'everywhere')) {
    await showSignOut(step, signIn, 'not_from_here');
    return;
  }
  if (where === 'here') await deps.signOuts.here(signIn.uid, signIn.person);
  else await deps.signOuts.everywhere(signIn.person);
  clearSignIn(provider, context);
  answer(context, signedOutPage(where));
}
