import type { PathParams, Route } from '../http/index.js';
import type { RegistryReader } from '../registry/index.js';
import type { ApprovalsProblem } from '../words/index.js';
import { consentItem, consentsPage } from './consents-page.js';
import type { Consent, ConsentPlace, Consents } from './consents.js';
import { fitting, ROOM } from './fitting.js';
import { type Markup, sendPage } from './html.js';
import { postedBy, seeOther, signedIn, type Visit as VisitOf, type VisitDeps } from './own-visit.js';

export type OwnConsentsDeps = VisitDeps & Readonly<{ consents: Consents; registry: RegistryReader }>;

type Visit = VisitOf<OwnConsentsDeps>;

/** What a person has allowed, and how to take it back. */
export function ownConsentsRoutes(deps: OwnConsentsDeps): readonly Route[] {
  const path = `${new URL(deps.issuer).pathname.replace(/\/$/, '')}/approvals/consents`;
  return [
    { method: 'GET', path, handle: (ctx) => signedIn(ctx, deps, (visit) => show(visit)) },
    {
      method: 'POST',
      path: `${path}/:id`,
      handle: (ctx, { id = '' }: PathParams) => postedBy(ctx, deps, (visit, form) => revoke(visit, form, id)),
    },
  ];
}

async function show(visit: Visit, problem?: ApprovalsProblem): Promise<void> {
  const { items, next } = await consentsOf(visit, placeOf(visit.ctx.query['after']), ROOM);
  sendPage(visit.ctx, consentsPage({ items, next, problem, issuer: visit.deps.issuer }));
}

/** The newest for which there is room, and where the list goes on. */
export async function consentsOf(
  { person, session, deps }: Visit,
  after: ConsentPlace | undefined,
  room: number,
): Promise<Readonly<{ items: readonly Markup[]; next: string | undefined }>> {
  const { issuer, consents, people } = deps;
  const found = await consents.list(person.id, { after, limit: PAGE + 1 });
  const named = { registry: deps.registry.current(), people };
  const form = { issuer, token: deps.secrets.placeToken(session.uid) };
  const all: Markup[] = [];
  for (const one of found.slice(0, PAGE)) all.push(await consentItem(one, { ...named, form }));
  const items = fitting(all, room);
  const last = found[items.length - 1];
  return { items, next: last === undefined || found.length <= items.length ? undefined : afterOf(last) };
}

const PAGE = 10;

const afterOf = ({ id, givenAt }: Consent): string => `${String(givenAt)}.${id}`;

function placeOf(after: unknown): ConsentPlace | undefined {
  const [, givenAt, id] = /^(\d{1,12})\.([\w-]{43})$/.exec(typeof after === 'string' ? after : '') ?? [];
  return givenAt === undefined || id === undefined ? undefined : { givenAt: Number(givenAt), id };
}

async function revoke(visit: Visit, form: URLSearchParams | undefined, id: string): Promise<void> {
  const { ctx, person, deps } = visit;
  if (form === undefined) await show(visit, 'not_from_here');
  else if (await deps.consents.revoke(id, person.id)) seeOther(ctx, `${deps.issuer}/approvals/consents`);
  else await show(visit, 'changed');
}
