import { WORDS, type RecoveryProblem } from '../words/index.js';
import { hiddenFields, html, type Markup, type Page, page } from './html.js';

const T = WORDS.recovery;

/** Where those go who cannot sign in by the passkey that they are asked for. */
export const lostPasskey = (issuer: string): Markup =>
  html`<p class="small"><a href="${issuer}/recover">${T.lost}</a></p>`;

/** How many codes a person has left, and the form that makes new ones. */
export const codesSection = (left: number, { issuer, token }: Readonly<{ issuer: string; token: string }>): Markup =>
  html`<h2>${T.section.title}</h2>
    <p>${left === 0 ? T.section.none : html`${T.section.left} ${left}`}</p>
    <form method="post" action="${issuer}/approvals/recovery-codes">
      ${hiddenFields({ token })}
      <div class="actions"><button type="submit">${left === 0 ? T.section.make : T.section.renew}</button></div>
    </form>`;

/** The codes, this once. */
export const codesPage = (codes: readonly string[], issuer: string): Page =>
  page(
    T.made.title,
    html`<h1>${T.made.title}</h1>
      <p>${T.made.advice}</p>
      <ol>
        ${codes.map((code) => html`<li><code>${code}</code></li>`)}
      </ol>
      <p class="soft">${T.made.use}</p>
      <div class="actions"><a class="button primary" href="${issuer}/approvals">${T.made.back}</a></div>`,
  );

/** Where a code is entered. */
export function recoverPage(action: string, problem?: RecoveryProblem): Page {
  const isWrong = problem !== undefined;
  return page(
    T.page.title,
    html`<h1>${T.page.title}</h1>
      <p>${T.page.lead}</p>
      <p class="soft">${T.page.danger}</p>
      ${isWrong ? html`<p class="warn" role="alert" id="problem">${T.problems[problem]}</p>` : undefined}
      <form method="post" action="${action}">
        <label class="field address">
          <span>${T.page.label}</span>
          <input
            name="code"
            type="text"
            required
            maxlength="256"
            autocomplete="off"
            autocapitalize="characters"
            spellcheck="false"
            aria-describedby="${isWrong ? 'hint problem' : 'hint'}"
            ${isWrong ? html`aria-invalid="true"` : undefined}
          />
        </label>
        <p class="small soft" id="hint">${T.page.hint}</p>
        <div class="actions"><button type="submit" class="primary">${T.page.go}</button></div>
      </form>`,
    { status: isWrong ? 400 : 200 },
  );
}
