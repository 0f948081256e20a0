import type { Context } from 'koa';
import type { Approver } from '../approval/index.js';
import type { Clock } from '../base/index.js';
import { readOwnForm } from './own-form.js';
import type { OwnSession } from './own-session.js';
import { type OwnSignInDeps, type Place, showOwnSignIn } from './own-sign-in.js';
import type { Person } from './people.js';
import type { PageSecrets } from './secrets.js';

export type VisitDeps = OwnSignInDeps & Readonly<{ secrets: PageSecrets; clock: Clock }>;

/** Somebody who is signed in at Writ itself, at one of its pages. */
export type Visit<Deps> = Readonly<{ ctx: Context; session: OwnSession; person: Person; deps: Deps }>;

/** Goes on with who is there, or asks for it first; `to` is where that leads. */
export async function signedIn<Deps extends VisitDeps>(
  ctx: Context,
  deps: Deps,
  go: (visit: Visit<Deps>) => Promise<void>,
  to?: Place,
): Promise<void> {
  const session = await deps.sessions.current(ctx);
  const person = session === undefined ? undefined : await deps.people.byId(session.person);
  if (session === undefined || person?.status !== 'active') await showOwnSignIn(ctx, deps, { to });
  else await go({ ctx, session, person, deps });
}

/** A post of somebody signed in: without a form, where it is none of a page of ours in this sign-in. */
export const postedBy = <Deps extends VisitDeps>(
  ctx: Context,
  deps: Deps,
  go: (visit: Visit<Deps>, form: URLSearchParams | undefined) => Promise<void>,
  to?: Place,
): Promise<void> =>
  signedIn(
    ctx,
    deps,
    async (visit) => {
      const form = await readOwnForm(ctx, new URL(deps.issuer).origin);
      const isOurs = deps.secrets.isPlaceToken(form?.get('token') ?? '', visit.session.uid);
      await go(visit, isOurs ? form : undefined);
    },
    to,
  );

/** Who they are to a request to people. */
export const approverOf = ({ session, person }: Pick<Visit<unknown>, 'session' | 'person'>): Approver => ({
  person: person.id,
  groups: person.groups,
  verifiedAt: session.verifiedAt,
});

/** AP-17: a sign-in by the password that is for emergencies changes nothing of how its person signs in or approves. */
export const isByPassword = ({
  session,
  person,
  deps: { issuer },
}: Pick<Visit<Pick<VisitDeps, 'issuer'>>, 'session' | 'person' | 'deps'>): boolean =>
  person.issuer === issuer && session.amr?.includes('pwd') === true;

/** RFC 9700 section 4.12: 303, so that no browser repeats a form at the next address. */
export function seeOther(ctx: Context, address: string): void {
  ctx.status = 303;
  ctx.set({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
  ctx.redirect(address);
}
