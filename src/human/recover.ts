import type { Context } from 'koa';
import { randomText } from '../base/index.js';
import { type Limit, networkSeen, type Route } from '../http/index.js';
import { sha256 } from '../protocol/index.js';
import { type Page, sendPage } from './html.js';
import type { RecoveryCodes } from './local-accounts.js';
import { readOwnForm } from './own-form.js';
import { seeOther } from './own-visit.js';
import { TOO_MANY_LINKS } from './passkey-pages.js';
import { hashOfTyped } from './recovery-code.js';
import { recoverPage } from './recovery-pages.js';

export type RecoverDeps = Readonly<{ issuer: string; codes: RecoveryCodes; perNetwork: Limit }>;

/** Where a recovery code opens the link of an enrolment, and nothing else. It names its account itself, so nobody else does. */
export function recoverRoutes(deps: RecoverDeps): readonly Route[] {
  const path = `${new URL(deps.issuer).pathname.replace(/\/$/, '')}/recover`;
  const page = recoverPage(`${deps.issuer}/recover`);
  return [
    { method: 'GET', path, handle: (ctx) => limited(ctx, deps, () => Promise.resolve(page)) },
    { method: 'POST', path, handle: (ctx) => limited(ctx, deps, () => recover(ctx, deps)) },
  ];
}

async function limited(ctx: Context, deps: RecoverDeps, go: () => Promise<Page | undefined>): Promise<void> {
  const wait = await deps.perNetwork.take(networkSeen(ctx.req));
  const answer = wait === undefined ? await go() : TOO_MANY_LINKS;
  if (answer !== undefined) sendPage(ctx, answer);
  if (wait !== undefined) ctx.set('retry-after', String(wait));
}

/** One sentence for whatever is wrong with a code: it tells nobody which ones there were. */
async function recover(ctx: Context, { issuer, codes }: RecoverDeps): Promise<Page | undefined> {
  const form = await readOwnForm(ctx, new URL(issuer).origin);
  if (form === undefined) return recoverPage(`${issuer}/recover`, 'not_from_here');
  const hash = hashOfTyped(form.get('code') ?? '');
  const link = randomText(32);
  if (hash === undefined || !(await codes.spend(hash, sha256(link)))) return recoverPage(`${issuer}/recover`, 'bad');
  seeOther(ctx, `${issuer}/enrol/${link}`);
  return undefined;
}
