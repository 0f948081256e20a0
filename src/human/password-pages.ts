import type { Seconds } from '../base/index.js';
import { WORDS } from '../words/index.js';
import { hiddenFields, html, type Markup, type Page, page, timeOf } from './html.js';
import type { PasswordFlaw } from './password.js';

const T = WORDS.password;

/** Whether the person has one, when it was used, and the form that makes or takes it away. */
export function passwordSection(
  held: Readonly<{ madeAt: Seconds; lastUsedAt: Seconds | undefined }> | undefined,
  { issuer, token }: Readonly<{ issuer: string; token: string }>,
): Markup {
  const rows =
    held === undefined
      ? []
      : [
          [T.section.made, timeOf(held.madeAt)] as const,
          [T.section.used, held.lastUsedAt === undefined ? T.section.never : timeOf(held.lastUsedAt)] as const,
        ];
  const actions = held === undefined ? (['make'] as const) : (['renew', 'remove'] as const);
  return html`<h2>${T.section.title}</h2>
    ${
      rows.length === 0
        ? html`<p>${T.section.none}</p>`
        : html`<dl>
            ${rows.map(
              ([name, value]) =>
                html`<div>
                  <dt>${name}</dt>
                  <dd>${value}</dd>
                </div>`,
            )}
          </dl>`
    }
    <form method="post" action="${issuer}/approvals/password">
      ${hiddenFields({ token })} ${held === undefined ? undefined : html`<p class="small soft">${T.section.ends}</p>`}
      <div class="actions">
        ${actions.map(
          (action) => html`<button type="submit" name="action" value="${action}">${T.section[action]}</button>`,
        )}
      </div>
    </form>`;
}

/** The password, this once. */
export const passwordPage = ({
  name,
  password,
  issuer,
}: Readonly<{ name: string; password: string; issuer: string }>): Page =>
  page(
    T.made.title,
    html`<h1>${T.made.title}</h1>
      <p>${T.made.advice}</p>
      <dl>
        <div>
          <dt>${T.made.name}</dt>
          <dd>${name}</dd>
        </div>
        <div>
          <dt>${T.signIn.password}</dt>
          <dd><code>${password}</code></dd>
        </div>
      </dl>
      <p class="soft">${T.made.use}</p>
      <div class="actions"><a class="button primary" href="${issuer}/approvals">${T.made.back}</a></div>`,
  );

type SignIn = Readonly<{ action: string; hidden?: Readonly<Record<string, string | undefined>> | undefined }>;

/** Folded away below the passkey, and open when it was tried. */
export const passwordForm = ({ action, hidden = {} }: SignIn, problem: PasswordFlaw | undefined): Markup =>
  html`<details ${problem === undefined ? undefined : html`open`}>
    <summary>${T.signIn.instead}</summary>
    ${problem === undefined ? undefined : html`<p class="warn" role="alert">${T.problems[problem]}</p>`}
    <form method="post" action="${action}">
      ${hiddenFields(hidden)}
      <label class="field address">
        <span>${T.signIn.name}</span>
        <input
          name="name"
          type="text"
          required
          maxlength="320"
          autocomplete="username"
          autocapitalize="none"
          spellcheck="false"
        />
      </label>
      <label class="field address">
        <span>${T.signIn.password}</span>
        <input name="password" type="password" required maxlength="256" autocomplete="current-password" />
      </label>
      <div class="actions"><button type="submit">${T.signIn.go}</button></div>
    </form>
  </details>`;

/** What an answer with such a problem is sent with. */
export const passwordStatus = (problem: PasswordFlaw): number =>
  problem === 'wrong' ? 400 : problem === 'busy' ? 503 : 429;
