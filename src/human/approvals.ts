import { type Approvals, isFresh, MOST_OF_PERSON } from '../approval/index.js';
import type { PathParams, Route } from '../http/index.js';
import type { AgentSession, SessionsAdmin } from '../session/index.js';
import { WORDS, type ApprovalsProblem } from '../words/index.js';
import { type ActingForm, actingItem, approvalsPage, type FirstPage } from './approvals-pages.js';
import { fitting, ROOM } from './fitting.js';
import { type Markup, sendPage } from './html.js';
import { consentsOf, type OwnConsentsDeps } from './own-consents.js';
import { deedsOf, type OwnDeedsDeps } from './own-deeds.js';
import { readOwnForm } from './own-form.js';
import { beginOwnSignIn, showOwnSignIn } from './own-sign-in.js';
import { changePassword, passwordIn } from './own-password.js';
import { approverOf, isByPassword, postedBy, seeOther, signedIn, type Visit as VisitOf } from './own-visit.js';
import { changeTold, type ToldDeps, toldSection } from './told.js';
import type { RecoveryCodes } from './local-accounts.js';
import { troublePage } from './pages.js';
import { hashOfCode, newRecoveryCodes } from './recovery-code.js';
import { codesPage, codesSection } from './recovery-pages.js';
import { responsible } from './responsible.js';
import { groupsOf, waitingList } from './waiting.js';

export type ApprovalsDeps = ToldDeps &
  OwnConsentsDeps &
  OwnDeedsDeps &
  Readonly<{
    /** Ends one sign-in, on the record. */
    endSignIn(signIn: string, person: string): Promise<void>;
    /** Ends every sign-in of the person, with all that agents hold in their name. */
    endAll(person: string): Promise<void>;
    acting: Pick<SessionsAdmin, 'list' | 'get' | 'pause' | 'resume' | 'end'>;
    approvals: Pick<Approvals, 'waitingFor'>;
    /** Only where there are local accounts. */
    codes: RecoveryCodes | undefined;
  }>;

type Visit = VisitOf<ApprovalsDeps>;

/** Where everything of /approvals begins, for the router. */
export const approvalsPrefix = (issuer: string): string => `${new URL(issuer).pathname.replace(/\/$/, '')}/approvals`;

/** A person's own place: what can act for them, and how to stop it. Only forms of its own pages change anything. */
export function approvalsRoutes(deps: ApprovalsDeps): readonly Route[] {
  const path = approvalsPrefix(deps.issuer);
  const origin = new URL(deps.issuer).origin;
  return [
    { method: 'GET', path, handle: (ctx) => signedIn(ctx, deps, (visit) => show(visit)) },
    {
      method: 'POST',
      path: `${path}/sign-in`,
      handle: async (ctx) => beginOwnSignIn(ctx, await readOwnForm(ctx, origin), deps),
    },
    { method: 'POST', path: `${path}/sign-out`, handle: (ctx) => postedBy(ctx, deps, here(signOut)) },
    { method: 'POST', path: `${path}/recovery-codes`, handle: (ctx) => postedBy(ctx, deps, here(renewCodes)) },
    { method: 'POST', path: `${path}/password`, handle: (ctx) => postedBy(ctx, deps, here(setPassword)) },
    { method: 'POST', path: `${path}/channels`, handle: (ctx) => postedBy(ctx, deps, here(tell)) },
    {
      method: 'POST',
      path: `${path}/sessions/:id`,
      handle: (ctx, params) =>
        postedBy(
          ctx,
          deps,
          here((visit, form) => change(visit, form, params)),
        ),
    },
  ];
}

const here =
  (go: (visit: Visit, form: URLSearchParams) => Promise<void>) =>
  (visit: Visit, form: URLSearchParams | undefined): Promise<void> =>
    form === undefined ? show(visit, 'not_from_here') : go(visit, form);

const PAGE = 10;

/** Of the room that is left on the first page. */
const PARTS = { waiting: 0.35, acting: 0.35, consents: 0.15, deeds: 0.15 } as const;

async function show(visit: Visit, problem?: ApprovalsProblem): Promise<void> {
  const { ctx, session, person, deps } = visit;
  const asked = ctx.query['after'];
  const after = typeof asked === 'string' && /^ses_[\w-]{22}$/.test(asked) ? asked : undefined;
  const form = { issuer: deps.issuer, token: deps.secrets.placeToken(session.uid), person: person.id };
  const found = await deps.acting.list(
    { person: person.id, live: true },
    { limit: PAGE, ...(after === undefined ? {} : { after }) },
  );
  const items = await actingItems(found.sessions, deps, form);
  const told = after === undefined ? await toldIn(visit) : undefined;
  const codes = after === undefined ? await codesIn(visit) : undefined;
  const password = after === undefined ? await passwordIn(visit) : undefined;
  const room = [told, codes, password].reduce((left, part) => left - Buffer.byteLength(part?.toString() ?? ''), ROOM);
  const acting = fitting(items, told === undefined ? room : room * PARTS.acting);
  const next = acting.length < items.length ? found.sessions[acting.length - 1]?.id : found.next;
  const first = told && { told, codes, password, ...(await firstOf(visit, room)) };
  const { name, email } = person.attributes;
  const who = { name: name ?? email ?? person.id, email };
  sendPage(ctx, approvalsPage({ person: who, acting, next, first, form, problem }));
}

async function actingItems(
  sessions: readonly AgentSession[],
  { registry, people }: ApprovalsDeps,
  form: ActingForm,
): Promise<readonly Markup[]> {
  const items: Markup[] = [];
  for (const session of sessions) {
    const agent = registry.current().agent(session.agentId);
    const owner = agent === undefined ? undefined : await responsible(agent.owner, people);
    items.push(actingItem({ session, agent: agent?.name ?? session.agentId, owner }, form));
  }
  return items;
}

async function toldIn({ person, session, deps: { issuer, secrets, notices, vapid } }: Visit): Promise<Markup> {
  return toldSection(await notices.of(person.id), { issuer, token: secrets.placeToken(session.uid), vapid });
}

async function codesIn({ person, session, deps: { issuer, secrets, codes } }: Visit): Promise<Markup | undefined> {
  if (codes === undefined || person.issuer !== issuer) return undefined;
  return codesSection(await codes.left(person.id), { issuer, token: secrets.placeToken(session.uid) });
}

/** AP-17: they make a passkey, so whoever makes them has just shown one. */
async function renewCodes(visit: Visit): Promise<void> {
  const { ctx, person, session, deps } = visit;
  const { codes, issuer, clock } = deps;
  if (codes === undefined || person.issuer !== issuer) {
    sendPage(ctx, troublePage(WORDS.trouble.nothingHere));
    return;
  }
  if (isByPassword(visit) || !isFresh(approverOf(visit), clock.now()))
    return showOwnSignIn(ctx, deps, { problem: 'codes' });
  const made = newRecoveryCodes();
  const isKept = await codes.replace({ person: person.id, uid: session.uid }, made.map(hashOfCode));
  if (isKept) sendPage(ctx, codesPage(made, issuer));
  else await show(visit, 'changed');
}

async function firstOf(visit: Visit, room: number): Promise<Omit<FirstPage, 'told' | 'codes' | 'password'>> {
  const { issuer, clock, registry, approvals } = visit.deps;
  const now = clock.now();
  const waiting = await approvals.waitingFor(approverOf(visit), now, MOST_OF_PERSON);
  const { items, next } = await consentsOf(visit, undefined, room * PARTS.consents);
  const deeds = await deedsOf(visit, undefined, room * PARTS.deeds);
  return {
    waiting: waitingList(groupsOf(waiting, registry.current()), { issuer, now }, room * PARTS.waiting),
    consents: { items, isMore: next !== undefined },
    deeds: { items: deeds.items, isMore: deeds.next !== undefined },
  };
}

async function setPassword(visit: Visit, form: URLSearchParams): Promise<void> {
  const problem = await changePassword(visit, form);
  if (problem !== undefined) await show(visit, problem);
}

async function tell(visit: Visit, form: URLSearchParams): Promise<void> {
  const problem = await changeTold(visit, form);
  if (problem !== undefined) await show(visit, problem);
}

/** What is somebody else's is answered as what was never there. */
async function change(visit: Visit, form: URLSearchParams, { id = '' }: PathParams): Promise<void> {
  const { ctx, person, deps } = visit;
  const found = await deps.acting.get(id);
  if (found?.personId !== person.id) {
    sendPage(ctx, troublePage(WORDS.trouble.nothingHere));
    return;
  }
  const action = form.get('action');
  const approver = approverOf(visit);
  if (action !== 'pause' && action !== 'resume' && action !== 'end') await show(visit, 'not_from_here');
  else if (action === 'resume' && !isFresh(approver, deps.clock.now()))
    await showOwnSignIn(ctx, deps, { problem: 'confirm' });
  else if (await isDone(action, found, visit)) seeOther(ctx, `${deps.issuer}/approvals`);
  else await show(visit, 'changed');
}

/** What others paused, the person may end and not resume; so a pause of theirs is not made their own either. */
async function isDone(
  action: keyof typeof WORDS.approvals.actions,
  { id, status, paused }: AgentSession,
  { person: { id: by }, deps: { acting } }: Visit,
): Promise<boolean> {
  const reason = REASONS[action];
  switch (action) {
    case 'pause':
      return status === 'active' && (await acting.pause(id, { by, reason, seconds: undefined })) === 'paused';
    case 'resume':
      return paused?.by === by && (await acting.resume(id, { by, reason })) === 'resumed';
    case 'end':
      return (await acting.end(id, { by, reason })) === 'ended';
  }
}

/** What the agent and the log are told. */
const REASONS = {
  pause: 'the person paused it',
  resume: 'the person let it go on',
  end: 'the person ended it',
} as const;

async function signOut({ ctx, session, person, deps }: Visit, form: URLSearchParams): Promise<void> {
  if (form.get('where') === 'everywhere') await deps.endAll(person.id);
  else await deps.endSignIn(session.uid, person.id);
  await deps.sessions.clear(ctx);
  seeOther(ctx, `${deps.issuer}/approvals`);
}
