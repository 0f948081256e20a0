import { isFresh } from '../approval/index.js';
import { WORDS } from '../words/index.js';
import { type Markup, sendPage } from './html.js';
import { showOwnSignIn } from './own-sign-in.js';
import { approverOf, isByPassword, seeOther, type Visit as VisitOf, type VisitDeps } from './own-visit.js';
import { troublePage } from './pages.js';
import { passwordPage, passwordSection } from './password-pages.js';

type Visit = VisitOf<VisitDeps>;

/** Nothing where passwords are switched off, and for people of a company. */
export async function passwordIn({ person, session, deps }: Visit): Promise<Markup | undefined> {
  const { passwords, issuer, secrets } = deps;
  if (passwords === undefined || person.issuer !== issuer) return undefined;
  return passwordSection(await passwords.kept.of(person.id), { issuer, token: secrets.placeToken(session.uid) });
}

/** AP-17: it signs its person in, so whoever makes it has just shown a passkey. Answers what is wrong, if something is. */
export async function changePassword(visit: Visit, form: URLSearchParams): Promise<'changed' | undefined> {
  const { ctx, person, session, deps } = visit;
  const { passwords, issuer, clock } = deps;
  if (passwords === undefined || person.issuer !== issuer) {
    sendPage(ctx, troublePage(WORDS.trouble.nothingHere));
    return undefined;
  }
  if (isByPassword(visit) || !isFresh(approverOf(visit), clock.now())) {
    await showOwnSignIn(ctx, deps, { problem: 'password' });
    return undefined;
  }
  if (form.get('action') === 'remove') {
    if (!(await passwords.kept.remove(person.id))) return 'changed';
    seeOther(ctx, `${issuer}/approvals`);
    return undefined;
  }
  const made = await passwords.made();
  if (made === undefined) return 'changed';
  const isKept = await passwords.kept.replace({ person: person.id, uid: session.uid }, made.hash);
  if (!isKept) return 'changed';
  sendPage(ctx, passwordPage({ name: await passwords.kept.nameOf(person), password: made.password, issuer }));
  return undefined;
}
