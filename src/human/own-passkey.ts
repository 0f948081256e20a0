import type { Context } from 'koa';
import { isFresh } from '../approval/index.js';
import type { Route } from '../http/index.js';
import { sha256 } from '../protocol/index.js';
import type { ApprovalDeps } from './approval.js';
import { madePage, makePasskeyPage, type OwnPasskeyProblem } from './own-passkey-pages.js';
import { sendPage } from './html.js';
import { showOwnSignIn } from './own-sign-in.js';
import { approverOf, isByPassword, postedBy, signedIn, type Visit as VisitOf } from './own-visit.js';

type Visit = VisitOf<ApprovalDeps>;

/** Where somebody for whom a company vouches makes the passkey by which they approve what can do much harm. */
export function ownPasskeyRoutes(deps: ApprovalDeps): readonly Route[] {
  const path = `${new URL(deps.issuer).pathname.replace(/\/$/, '')}/approvals/passkey`;
  const look = (ctx: Context): Promise<void> => signedIn(ctx, deps, (visit) => show(visit), 'passkey');
  const post = (ctx: Context): Promise<void> =>
    postedBy(
      ctx,
      deps,
      (visit, form) => (form === undefined ? show(visit, 'not_from_here') : make(visit, form)),
      'passkey',
    );
  return [
    { method: 'GET', path, handle: look },
    { method: 'POST', path, handle: post },
  ];
}

/** AP-17: it is as good as the sign-in that it is made in, so that is one of just now, and there is none yet. */
async function show(visit: Visit, problem?: OwnPasskeyProblem): Promise<void> {
  const { ctx, person, session, deps } = visit;
  const { confirming, issuer, clock } = deps;
  if (confirming === undefined) {
    sendPage(ctx, madePage('nowhere', issuer));
    return;
  }
  if (await confirming.own.has(person.id)) {
    sendPage(ctx, madePage('has_one', issuer));
    return;
  }
  if (isByPassword(visit) || !isFresh(approverOf(visit), clock.now()))
    return showOwnSignIn(ctx, deps, { problem: 'passkey', to: 'passkey' });
  const options = ctx.method === 'HEAD' ? {} : await confirming.passkeys.creationOptions(person, [], purposeOf(visit));
  const token = deps.secrets.placeToken(session.uid);
  sendPage(ctx, makePasskeyPage({ action: `${issuer}/approvals/passkey`, token, options, problem }));
}

async function make(visit: Visit, form: URLSearchParams): Promise<void> {
  const { ctx, person, deps } = visit;
  const { confirming, issuer, clock } = deps;
  if (confirming === undefined || isByPassword(visit) || !isFresh(approverOf(visit), clock.now())) return show(visit);
  const made = await confirming.passkeys.registered(form.get('answer') ?? '', purposeOf(visit));
  if (!made.ok) return show(visit, made.error === 'unreadable' || made.error === 'stale' ? made.error : 'invalid');
  const done = await confirming.own.first(person.id, made.value);
  if (done === 'taken') await show(visit, 'invalid');
  else sendPage(ctx, madePage(done, issuer));
}

const purposeOf = ({ session }: Visit): string => `own passkey ${sha256(session.uid)}`;
