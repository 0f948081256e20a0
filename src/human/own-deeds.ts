import type { Deeds } from '../audit/index.js';
import type { Route } from '../http/index.js';
import type { RegistryReader } from '../registry/index.js';
import { deedItem, deedsPage } from './deeds-page.js';
import { fitting, ROOM } from './fitting.js';
import { type Markup, sendPage } from './html.js';
import { signedIn, type Visit as VisitOf, type VisitDeps } from './own-visit.js';

export type OwnDeedsDeps = VisitDeps & Readonly<{ deeds: Deeds; registry: RegistryReader }>;

type Visit = VisitOf<OwnDeedsDeps>;

/** What was decided of what agents wanted to do for the person. */
export function ownDeedsRoutes(deps: OwnDeedsDeps): readonly Route[] {
  const path = `${new URL(deps.issuer).pathname.replace(/\/$/, '')}/approvals/history`;
  return [{ method: 'GET', path, handle: (ctx) => signedIn(ctx, deps, show) }];
}

async function show(visit: Visit): Promise<void> {
  const asked = visit.ctx.query['before'];
  const before = typeof asked === 'string' && /^\d{1,15}$/.test(asked) ? Number(asked) : undefined;
  sendPage(visit.ctx, deedsPage({ ...(await deedsOf(visit, before, ROOM)), issuer: visit.deps.issuer }));
}

const PAGE = 25;

/** The newest for which there is room, and where the list goes on. */
export async function deedsOf(
  { person, deps }: Visit,
  before: number | undefined,
  room: number,
): Promise<Readonly<{ items: readonly Markup[]; next: number | undefined }>> {
  const found = await deps.deeds.of(person.id, { before, limit: PAGE });
  const registry = deps.registry.current();
  const items = fitting(
    found.deeds.map((deed) => deedItem(deed, registry)),
    room,
  );
  const next = items.length < found.deeds.length ? found.deeds[items.length - 1]?.index : found.next;
  return { items, next };
}
