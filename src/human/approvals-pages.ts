import type { Seconds } from '../base/index.js';
import type { AgentSession } from '../session/index.js';
import { WAITING } from './approval-words.js';
import { APPROVALS } from './approvals-words.js';
import { hiddenFields, html, type Markup, type Page, page } from './html.js';
import { passkeyForm } from './passkey-pages.js';
import { PASSKEY_SCRIPT } from './passkey-script.js';
import { TOLD_SCRIPT } from './told-script.js';
import { type Group, waitingList } from './waiting.js';

/** Why somebody is asked to sign in (again). */
export type OwnSignInProblem = keyof typeof APPROVALS.signInProblems;

type SignInForms = Readonly<{
  action: string;
  /** Where it leads below /approvals. */
  to: string | undefined;
  /** What a passkey is asked for, where there are local accounts. */
  options: object | undefined;
  providers: readonly Readonly<{ id: string; name: string }>[];
  problem: OwnSignInProblem | undefined;
}>;

const T = APPROVALS;

/** Every way leads through a form of ours: a link that somebody follows begins nothing. */
export function ownSignInPage({ action, to, options, providers, problem }: SignInForms): Page {
  const said = problem === undefined ? undefined : T.signInProblems[problem];
  return page(
    T.signIn.title,
    html`<h1>${T.signIn.title}</h1>
      <p class="soft">${T.signIn.lead}</p>
      ${said === undefined || options !== undefined ? undefined : html`<p class="warn" role="alert">${said}</p>`}
      ${options === undefined ? undefined : passkeyForm('get', { action, options, said, hidden: { to } }, T.signIn.byPasskey)}
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
      status: problem === undefined ? 200 : AGAIN.has(problem) ? 403 : 400,
    },
  );
}

/** What needs a sign-in of just now. */
const AGAIN: ReadonlySet<OwnSignInProblem> = new Set<OwnSignInProblem>(['confirm', 'approve', 'passkey', 'told']);

/** A live session of an agent as its person sees it. */
export type Acting = Readonly<{ session: AgentSession; agent: string; owner: string | undefined }>;

export type ApprovalsProblem = keyof typeof T.problems;

export type ApprovalsView = Readonly<{
  person: Readonly<{ id: string; name: string; email: string | undefined }>;
  waiting: readonly Group[];
  now: Seconds;
  /** How the person is told of what waits. */
  told: Markup;
  acting: readonly Acting[];
  /** The last session of this page, where there are more. */
  next: string | undefined;
  isFirst: boolean;
  form: Readonly<{ issuer: string; token: string; problem: ApprovalsProblem | undefined }>;
}>;

/** What agents can do in the person's name now, and how to stop it. */
export function approvalsPage({ person, waiting, now, told, acting, next, isFirst, form }: ApprovalsView): Page {
  const { issuer, token, problem } = form;
  return page(
    T.title,
    html`<h1>${T.title}</h1>
      <p class="soft">
        ${T.signedInAs} <strong>${person.name}</strong>${person.email === undefined ? '' : html` (${person.email})`}.
      </p>
      ${problem === undefined ? undefined : html`<p class="warn" role="alert">${T.problems[problem]}</p>`}
      ${
        isFirst
          ? html`<h2>${WAITING.title}</h2>
              ${waitingList(waiting, issuer, now)}`
          : undefined
      }
      <h2>${T.acting}</h2>
      ${
        acting.length === 0
          ? html`<p>${T.nothing}</p>`
          : html`<ul>
              ${acting.map((one) => actingItem(one, person.id, form))}
            </ul>`
      }
      ${isFirst ? undefined : html`<p><a href="${issuer}/approvals">${T.first}</a></p>`}
      ${next === undefined ? undefined : html`<p><a href="${issuer}/approvals?after=${next}">${T.more}</a></p>`}
      ${isFirst ? told : undefined}
      <form method="post" action="${issuer}/approvals/sign-out">
        <input type="hidden" name="token" value="${token}" />
        <div class="actions">
          <button type="submit">${T.signOut}</button>
          <button type="submit" name="where" value="everywhere">${T.all}</button>
        </div>
      </form>`,
    {
      ...(isFirst ? { script: TOLD_SCRIPT, manifest: `${issuer}/approvals/manifest.webmanifest` } : {}),
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

function actingItem({ session, agent, owner }: Acting, person: string, form: ApprovalsView['form']): Markup {
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
    <form method="post" action="${form.issuer}/approvals/sessions/${id}">
      <input type="hidden" name="token" value="${form.token}" />
      <div class="actions">${actions.map((action) => (action === undefined ? html`` : button(action, agent)))}</div>
    </form>
  </li>`;
}

const button = (action: keyof typeof T.actions, agent: string): Markup =>
  html`<button type="submit" name="action" value="${action}" aria-label="${T.actions[action]} ${agent}">
    ${T.actions[action]}
  </button>`;

function timeOf(seconds: Seconds): Markup {
  const text = instantOf(seconds);
  return html`<time datetime="${text}">${text.slice(0, 16).replace('T', ' ')} UTC</time>`;
}

const instantOf = (seconds: Seconds): string => new Date(seconds * 1_000).toISOString();
