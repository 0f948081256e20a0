import { type Approvals, type Held, isFresh } from '../approval/index.js';
import { randomText } from '../base/index.js';
import type { PathParams, Route } from '../http/index.js';
import { sha256 } from '../protocol/index.js';
import type { RegistryReader } from '../registry/index.js';
import type { SessionsAdmin } from '../session/index.js';
import { WORDS } from '../words/index.js';
import {
  type ApprovalProblem,
  approvalPage,
  type Decision,
  type Ended,
  endedPage,
  type Facts,
  factsOf,
} from './approval-page.js';
import { isOpen, type Open, openTo, tierOf, viewOf } from './approval-view.js';
import { sendPage } from './html.js';
import type { OwnPasskeys } from './local-accounts.js';
import { Place, showOwnSignIn } from './own-sign-in.js';
import { approverOf, postedBy, signedIn, type Visit as VisitOf, type VisitDeps } from './own-visit.js';
import { troublePage } from './pages.js';
import type { Passkeys } from './passkeys.js';

export type ApprovalDeps = VisitDeps &
  Readonly<{
    approvals: Pick<Approvals, 'byId' | 'difference' | 'answer'>;
    /** Nothing where browsers keep no passkeys: at an issuer without a host name. */
    confirming: Readonly<{ passkeys: Passkeys; own: OwnPasskeys }> | undefined;
    acting: Pick<SessionsAdmin, 'list' | 'pause'>;
    registry: RegistryReader;
  }>;

type Visit = VisitOf<ApprovalDeps>;

/** The page of one request. DT-03: nothing but its own forms, in a sign-in that no client opened, answers a request. */
export function approvalRoutes(deps: ApprovalDeps): readonly Route[] {
  const path = `${new URL(deps.issuer).pathname.replace(/\/$/, '')}/approvals/:id`;
  return [
    { method: 'GET', path, handle: (ctx, { id = '' }) => signedIn(ctx, deps, (visit) => look(visit, id), placeOf(id)) },
    {
      method: 'POST',
      path,
      handle: (ctx, { id = '' }: PathParams) =>
        postedBy(ctx, deps, (visit, form) => answer(visit, form, id), placeOf(id)),
    },
  ];
}

const placeOf = (id: string): Place | undefined => Place.safeParse(id).data;

/** AP-09: what is somebody else's is answered as what was never there. */
async function heldFor(visit: Visit, id: string): Promise<Held | undefined> {
  const held = placeOf(id) === undefined ? undefined : await visit.deps.approvals.byId(id, visit.deps.clock.now());
  if (held === undefined) return undefined;
  const by = approverOf(visit);
  const isTheirs = held.person === by.person || held.answers.some(({ person }) => person === by.person);
  return isTheirs || (isOpen(held) && openTo(by, held).length > 0) ? held : undefined;
}

async function look(visit: Visit, id: string): Promise<void> {
  const held = await heldFor(visit, id);
  if (held === undefined) unknown(visit);
  else await show(visit, held);
}

const unknown = ({ ctx }: Visit): void => {
  sendPage(ctx, troublePage(WORDS.trouble.nothingHere));
};

/** The request as it stands, for whoever may see it. */
async function show(visit: Visit, held: Held, problem?: ApprovalProblem): Promise<void> {
  const { ctx, person, session, deps } = visit;
  const { issuer, clock } = deps;
  const token = deps.secrets.placeToken(session.uid);
  if (held.state !== 'asked' || !isOpen(held)) {
    const takeBack = held.state === 'granted' && held.person === person.id ? { id: held.id, token } : undefined;
    sendPage(ctx, endedPage(endOf(held), { issuer, takeBack, status: problem === undefined ? 200 : 409 }));
    return;
  }
  const by = approverOf(visit);
  const open = openTo(by, held);
  if (open.length === 0 && held.person !== person.id) {
    sendPage(ctx, endedPage('in_part', { issuer }));
    return;
  }
  const facts = await factsFor(visit, held);
  const decision = facts.isWhole ? await decisionOf(visit, held, open.length > 0) : ({ by: 'nobody' } as const);
  const mayPause = held.person === person.id && (await activeOf(visit, held)).length > 0;
  const { id, expiresAt } = held;
  const form = { issuer, id, token, decision, mayPause, now: clock.now(), expiresAt, problem };
  sendPage(ctx, approvalPage(facts, form));
}

async function factsFor({ person, deps }: Visit, held: Open): Promise<Facts> {
  const difference = await deps.approvals.difference(held);
  const known = { registry: deps.registry.current(), people: deps.people, difference };
  return factsOf(await viewOf(held, person.id, known));
}

/** AP-17, AP-23: what can do much harm is approved by a passkey only, and so is anything where the sign-in is some time ago. */
async function decisionOf(visit: Visit, held: Open, mayApprove: boolean): Promise<Decision> {
  const { ctx, session, person, deps } = visit;
  const { confirming, clock } = deps;
  if (!mayApprove) return { by: 'others' };
  const isGrave = isGraveOf(held, deps);
  const hasPasskey = confirming !== undefined && (await confirming.own.has(person.id));
  if (!isGrave && (!hasPasskey || isFresh(approverOf(visit), clock.now()))) return { by: 'button' };
  if (confirming === undefined) return { by: 'nowhere' };
  if (!hasPasskey) return { by: 'passkey_first' };
  const nonce = ctx.method === 'HEAD' ? '' : randomText(32);
  const { sha256: digest } = held.approval.frozen;
  const options =
    nonce === ''
      ? {}
      : await confirming.passkeys.requestOptions(purposeOf(digest, nonce, session.uid), challengeOf(digest, nonce));
  return { by: 'passkey', options, nonce, isNumbered: isGrave };
}

function isGraveOf(held: Held, { registry }: Pick<ApprovalDeps, 'registry'>): boolean {
  const tier = tierOf(held, registry.current());
  return tier === 'high' || tier === 'critical';
}

/** AP-23: what the authenticator signs says which request it is, whatever the page says. */
const challengeOf = (digest: string, nonce: string): string => sha256(`${digest}\n${nonce}`);
/** And it is good in this sign-in only. */
const purposeOf = (digest: string, nonce: string, signIn: string): string =>
  `approval ${challengeOf(digest, nonce)} ${sha256(signIn)}`;

async function answer(visit: Visit, form: URLSearchParams | undefined, id: string): Promise<void> {
  const held = await heldFor(visit, id);
  if (held === undefined) {
    unknown(visit);
    return;
  }
  if (form === undefined) return show(visit, held, 'not_from_here');
  const action = form.get('action');
  if (action === 'take_back') return withdraw(visit, held, 'withdrawn');
  if (held.state !== 'asked' || !isOpen(held)) return show(visit, held, 'changed');
  const facts = await factsFor(visit, held);
  if (form.get('shown') !== facts.sha256) return show(visit, held, 'changed');
  if (action === 'approve') return facts.isWhole ? approve(visit, held, { form, facts }) : show(visit, held, 'changed');
  if (action !== 'deny' && action !== 'deny_and_pause') return show(visit, held, 'not_from_here');
  const isPause = action === 'deny_and_pause' && held.person === visit.person.id;
  if (isPause) await pauseAgent(visit, held);
  await deny(visit, held, { facts, how: isPause ? 'refused_and_paused' : 'refused' });
}

type Reading = Readonly<{ form: URLSearchParams; facts: Facts }>;

async function approve(visit: Visit, held: Open, { form, facts }: Reading): Promise<void> {
  const { ctx, session, person, deps } = visit;
  const { clock, approvals, confirming } = deps;
  let by = approverOf(visit);
  const { sha256: digest } = held.approval.frozen;
  const isGrave = isGraveOf(held, deps);
  const given = form.get('answer') ?? '';
  if (isGrave || given !== '') {
    if (isGrave && !/^\d{2}$/.test(form.get('number') ?? '')) return show(visit, held, 'no_number');
    if (confirming === undefined) return show(visit, held, 'no_passkey');
    const purpose = purposeOf(digest, form.get('nonce') ?? '', session.uid);
    const proved = await confirming.passkeys.verified(given, purpose, person.id);
    if (!proved.ok) {
      const { error } = proved;
      return show(visit, held, error === 'unreadable' || error === 'stale' ? error : 'no_passkey');
    }
    // AP-25: who does not see what the agent shows did not start it, and is told by nobody whom they should trust.
    if (isGrave && form.get('number') !== held.about.number) return deny(visit, held, { facts, how: 'wrong_number' });
    by = { ...by, verifiedAt: proved.value.authTime };
  } else if (!isFresh(by, clock.now())) {
    return showOwnSignIn(ctx, deps, { problem: 'approve', to: held.id });
  }
  const at = { now: clock.now(), shown: facts.sha256 };
  await settle(visit, held.id, await approvals.answer(held.id, { event: 'grant', by, sha256: digest }, at), undefined);
}

/** Whoever may not answer, and is the one in whose name the agent acts, takes the request back instead. */
async function deny(visit: Visit, held: Open, { facts, how }: Readonly<{ facts: Facts; how: Ended }>): Promise<void> {
  const by = approverOf(visit);
  if (openTo(by, held).length === 0) return withdraw(visit, held, how);
  const { sha256: digest } = held.approval.frozen;
  const at = { now: visit.deps.clock.now(), shown: facts.sha256 };
  await settle(
    visit,
    held.id,
    await visit.deps.approvals.answer(held.id, { event: 'refuse', by, sha256: digest }, at),
    how,
  );
}

async function withdraw(visit: Visit, { id }: Held, how: Ended): Promise<void> {
  const { deps, person } = visit;
  const done = await deps.approvals.answer(id, { event: 'withdraw', by: person.id }, { now: deps.clock.now() });
  await settle(visit, id, done, how);
}

/** Of several who answer at once one is heard; the others see how it stands. */
async function settle(
  visit: Visit,
  id: string,
  done: Awaited<ReturnType<Approvals['answer']>>,
  how: Ended | undefined,
): Promise<void> {
  const { ctx, person, session, deps } = visit;
  const { issuer } = deps;
  if (done?.ok === true) {
    const { state, person: whose } = done.value;
    const takeBack =
      state === 'granted' && whose === person.id ? { id, token: deps.secrets.placeToken(session.uid) } : undefined;
    sendPage(ctx, endedPage(how ?? endOf(done.value), { issuer, takeBack }));
    return;
  }
  const held = done === undefined ? undefined : await heldFor(visit, id);
  if (held === undefined) unknown(visit);
  else await show(visit, held, 'changed');
}

const endOf = ({ state }: Held): Ended => (state === 'asked' ? 'in_part' : state);

/** Sessions that are paused in one go. */
const AT_ONCE = 16;

/** What this agent has under way for the person. */
async function activeOf({ person, deps }: Visit, { client }: Held): Promise<readonly string[]> {
  const found = await deps.acting.list({ person: person.id, agent: client, status: 'active' }, { limit: AT_ONCE });
  return found.sessions.map(({ id }) => id);
}

async function pauseAgent(visit: Visit, held: Held): Promise<void> {
  const { person, deps } = visit;
  const wish = { by: person.id, reason: 'the person paused it', seconds: undefined };
  for (;;) {
    const active = await activeOf(visit, held);
    const done = await Promise.all(active.map((id) => deps.acting.pause(id, wish)));
    if (!done.includes('paused')) break;
  }
}
