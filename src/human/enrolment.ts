import type { Context } from 'koa';
import { type Limit, networkSeen, type Route } from '../http/index.js';
import { sha256 } from '../protocol/index.js';
import { sendPage } from './html.js';
import type { Invited, LocalAccounts } from './local-accounts.js';
import { readOwnForm } from './own-form.js';
import { enrolledPage, enrolPage, NO_INVITATION, TOO_MANY_LINKS } from './passkey-pages.js';
import type { PasskeyFlaw, Passkeys } from './passkeys.js';

export type EnrolmentDeps = Readonly<{
  issuer: string;
  accounts: LocalAccounts;
  passkeys: Passkeys;
  perNetwork: Limit;
}>;

/** Where the link of an invitation leads. Opening it changes nothing: whoever looks at links before people do spends none. */
export function enrolmentRoutes(deps: EnrolmentDeps): readonly Route[] {
  const path = `${new URL(deps.issuer).pathname.replace(/\/$/, '')}/enrol/:token`;
  return [
    { method: 'GET', path, handle: (ctx, { token = '' }) => withInvitation(ctx, token, deps, showEnrolment) },
    { method: 'POST', path, handle: (ctx, { token = '' }) => withInvitation(ctx, token, deps, enrol) },
  ];
}

type Visit = Readonly<{ ctx: Context; token: string; invited: Invited; deps: EnrolmentDeps }>;

async function withInvitation(
  ctx: Context,
  token: string,
  deps: EnrolmentDeps,
  go: (visit: Visit) => Promise<void>,
): Promise<void> {
  const wait = await deps.perNetwork.take(networkSeen(ctx.req));
  if (wait !== undefined) {
    sendPage(ctx, TOO_MANY_LINKS);
    ctx.set('retry-after', String(wait));
    return;
  }
  const invited = /^[\w-]{43}$/.test(token) ? await deps.accounts.invited(sha256(token)) : undefined;
  if (invited === undefined) sendPage(ctx, NO_INVITATION);
  else await go({ ctx, token, invited, deps });
}

const showEnrolment = (visit: Visit): Promise<void> => show(visit, undefined);

async function show({ ctx, token, invited, deps }: Visit, problem: PasskeyFlaw | undefined): Promise<void> {
  const { account, passkeys } = invited;
  const { name, email } = account.attributes;
  const options = await deps.passkeys.creationOptions(account, passkeys, purposeOf(token));
  const form = { action: `${deps.issuer}/enrol/${token}`, options, problem };
  sendPage(ctx, enrolPage({ name: name ?? email ?? account.subject, email }, form));
}

async function enrol(visit: Visit): Promise<void> {
  const { ctx, token, deps } = visit;
  const form = await readOwnForm(ctx, new URL(deps.issuer).origin);
  const made = await deps.passkeys.registered(form?.get('answer') ?? '', purposeOf(token));
  if (!made.ok) return show(visit, made.error);
  const done = await deps.accounts.enrol(sha256(token), made.value);
  if (done === 'taken') await show(visit, 'invalid');
  else sendPage(ctx, done === 'done' ? enrolledPage() : NO_INVITATION);
}

const purposeOf = (token: string): string => `enrolment ${sha256(token)}`;
