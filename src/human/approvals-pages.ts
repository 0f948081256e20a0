import type { AgentSession } from '../session/index.js';
import { WORDS, type ApprovalsProblem } from '../words/index.js';
import { consentList } from './consents-page.js';
import { deedList } from './deeds-page.js';
import { hiddenFields, html, type Markup, type Page, page, timeOf } from './html.js';
import { passkeyForm } from './passkey-pages.js';
import { passwordForm, passwordStatus } from './password-pages.js';
import type { PasswordFlaw } from './password.js';
import { PASSKEY_SCRIPT } from './passkey-script.js';
import { lostPasskey } from './recovery-pages.js';
import { TOLD_SCRIPT } from './told-script.js';

/** Why somebody is asked to sign in (again). */
export type OwnSignInProblem = keyof typeof WORDS.approvals.signInProblems;

type SignInForms = Readonly<{
  issuer: string;
  action: string;
  /** Where it leads below /approvals. */
  to: string | undefined;
  /** What a passkey is asked for, where there are local accounts. */
  options: object | undefined;
  providers: readonly Readonly<{ id: string; name: string }>[];
  problem: OwnSignInProblem | undefined;
  /** Whether a password for emergencies may be used; with what was wrong with one. */
  password: Readonly<{ problem: PasswordFlaw | undefined }> | undefined;
}>;

const T = WORDS.approvals;

/** Every way leads through a form of ours: a link that somebody follows begins nothing. */
export function ownSignInPage({ issuer, action, to, options, providers, problem, password }: SignInForms): Page {
  const said = problem === undefined ? undefined : T.signInProblems[problem];
  return page(
    T.signIn.title,
    html`<h1>${T.signIn.title}</h1>
      <p class="soft">${T.signIn.lead}</p>
      ${said === undefined || options !== undefined ? undefined : html`<p class="warn" role="alert">${said}</p>`}
      ${options === undefined ? undefined : passkeyForm('get', { action, options, said, hidden: { to } }, T.signIn.byPasskey)}
      ${password === undefined || (problem !== undefined && BY_PASSKEY.has(problem)) ? undefined : passwordForm({ action, hidden: { to } }, password.problem)}
      ${options === undefined ? undefined : lostPasskey(issuer)}
      ${options === undefined && providers.length === 0 ? html`<p>${T.signIn.nobody}</p>` : undefined}
      <div class="choices">
        ${providers.map(
          ({ id, name }) =>
            html`<form method="post" action="${action}">
              <input type="hidden" name="provider" value="${id}" />
              ${hiddenFields({ to })}
              <div class="actions"><button type="submit">${T.signIn.at} ${name}</button></div>
            </form>`,
        )}
      </div>`,
    {
      ...(options === undefined ? {} : { script: PASSKEY_SCRIPT }),
      status:
        password?.problem !== undefined
          ? passwordStatus(password.problem)
          : problem === undefined
            ? 200
            : AGAIN.has(problem)
              ? 403
              : 400,
    },
  );
}

/** AP-17: what a password is not enough for. */
const BY_PASSKEY: ReadonlySet<OwnSignInProblem> = new Set<OwnSignInProblem>(['passkey', 'codes', 'password']);

/** What needs a sign-in of just now. */
const AGAIN: ReadonlySet<OwnSignInProblem> = new Set<OwnSignInProblem>([
  'confirm',
  'approve',
  'passkey',
  'codes',
  'told',
  'password',
]);

/** A live session of an agent as its person sees it. */
export type Acting = Readonly<{ session: AgentSession; agent: string; owner: string | undefined }>;

export type ApprovalsView = Readonly<{
  person: Readonly<{ name: string; email: string | undefined }>;
  acting: readonly Markup[];
  /** The last session of this page, where there are more. */
  next: string | undefined;
  /** What stands on the first page only. */
  first: FirstPage | undefined;
  form: ActingForm;
  problem: ApprovalsProblem | undefined;
}>;

/** `isMore`: the rest is on a page of its own. */
type Part = Readonly<{ items: readonly Markup[]; isMore: boolean }>;

export type FirstPage = Readonly<{
  waiting: Markup;
  consents: Part;
  deeds: Part;
  /** Of local accounts: their password for emergencies. */
  password: Markup | undefined;
  /** Of local accounts: their recovery codes. */
  codes: Markup | undefined;
  /** How the person is told of what waits. */
  told: Markup;
}>;

export type ActingForm = Readonly<{ issuer: string; token: string; person: string }>;

/** What agents can do in the person's name now, and how to stop it. */
export function approvalsPage({ person, acting, next, first, form, problem }: ApprovalsView): Page {
  const { issuer, token } = form;
  return page(
    T.title,
    html`<h1>${T.title}</h1>
      <p class="soft">
        ${T.signedInAs} <strong>${person.name}</strong>${person.email === undefined ? '' : html` (${person.email})`}.
      </p>
      ${problem === undefined ? undefined : html`<p class="warn" role="alert">${T.problems[problem]}</p>`}
      ${
        first === undefined
          ? undefined
          : html`<h2>${WORDS.waiting.title}</h2>
              ${first.waiting}`
      }
      <h2>${T.acting}</h2>
      ${
        acting.length === 0
          ? html`<p>${T.nothing}</p>`
          : html`<ul>
              ${acting}
            </ul>`
      }
      ${first === undefined ? html`<p><a href="${issuer}/approvals">${T.first}</a></p>` : undefined}
      ${next === undefined ? undefined : html`<p><a href="${issuer}/approvals?after=${next}">${T.more}</a></p>`}
      ${
        first === undefined
          ? undefined
          : html`<h2>${T.consents.title}</h2>
              ${consentList(first.consents.items)}
              ${first.consents.isMore ? html`<p><a href="${issuer}/approvals/consents">${T.consents.all}</a></p>` : undefined}
              <h2>${T.deeds.title}</h2>
              ${deedList(first.deeds.items)}
              ${first.deeds.isMore ? html`<p><a href="${issuer}/approvals/history">${T.deeds.all}</a></p>` : undefined}
              ${first.told} ${first.codes} ${first.password}`
      }
      <form method="post" action="${issuer}/approvals/sign-out">
        <input type="hidden" name="token" value="${token}" />
        <div class="actions">
          <button type="submit">${T.signOut}</button>
          <button type="submit" name="where" value="everywhere">${T.all}</button>
        </div>
      </form>`,
    {
      ...(first === undefined ? {} : { script: TOLD_SCRIPT, manifest: `${issuer}/approvals/manifest.webmanifest` }),
      status: problem === undefined ? 200 : STATUS[problem],
    },
  );
}

const STATUS: Readonly<Record<ApprovalsProblem, number>> = {
  not_from_here: 400,
  changed: 409,
  bad_address: 400,
  bad_subscription: 400,
  too_many_channels: 409,
};

export function actingItem({ session, agent, owner }: Acting, { person, issuer, token }: ActingForm): Markup {
  const { id, status, paused } = session;
  const isOwnPause = status === 'paused' && paused?.by === person && paused.with === id;
  const state = status !== 'paused' ? 'active' : isOwnPause ? 'by_you' : 'by_others';
  const rows: readonly (readonly [string, string | Markup])[] = [
    [T.fields.purpose, session.purpose ?? T.unsaid],
    ...(owner === undefined ? [] : [[T.fields.owner, owner] as const]),
    [T.fields.since, timeOf(session.openedAt)],
    [T.fields.used, timeOf(session.lastUsedAt)],
    [T.fields.until, timeOf(Math.min(session.expiresAt, session.idleUntil ?? session.expiresAt))],
  ];
  const actions = [state === 'active' ? 'pause' : isOwnPause ? 'resume' : undefined, 'end'] as const;
  return html`<li class="server">
    <h3>${agent}</h3>
    <p class="small soft">${T.states[state]}</p>
    <dl>
      ${rows.map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>
    <form method="post" action="${issuer}/approvals/sessions/${id}">
      <input type="hidden" name="token" value="${token}" />
      <div class="actions">${actions.map((action) => (action === undefined ? html`` : button(action, agent)))}</div>
    </form>
  </li>`;
}

const button = (action: keyof typeof T.actions, agent: string): Markup =>
  html`<button type="submit" name="action" value="${action}" aria-label="${T.actions[action]} ${agent}">
    ${T.actions[action]}
  </button>`;
