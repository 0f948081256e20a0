import { WORDS } from '../words/index.js';
import { html, type Page, page } from './html.js';

const T = WORDS.signOut;

/** Why the page is shown again. */
export type SignOutProblem = keyof typeof T.problems;

/** Lets the person end this sign-in or all of theirs; the form carries a token against forged posts. */
export function signOutPage(
  person: Readonly<{ name: string; email: string | undefined }>,
  form: Readonly<{ action: string; token: string; problem: SignOutProblem | undefined }>,
): Page {
  return page(
    T.title,
    html`<h1>${T.title}</h1>
      <p class="soft">
        ${WORDS.signIn.as}
        <strong>${person.name}</strong>${person.email === undefined ? '' : html` (${person.email})`}.
      </p>
      ${form.problem === undefined ? undefined : html`<p class="warn" role="alert">${T.problems[form.problem]}</p>`}
      <form method="post" action="${form.action}">
        <input type="hidden" name="token" value="${form.token}" />
        <h2>${T.here.title}</h2>
        <p>${T.here.about}</p>
        <div class="actions">
          <button type="submit" name="where" value="here" class="primary">${T.here.go}</button>
        </div>
        <h2>${T.everywhere.title}</h2>
        <p>${T.everywhere.about}</p>
        <div class="actions"><button type="submit" name="where" value="everywhere">${T.everywhere.go}</button></div>
      </form>`,
    form.problem === undefined ? {} : { status: 400 },
  );
}

export const signedOutPage = (where: 'here' | 'everywhere'): Page =>
  page(
    T.done,
    html`<h1>${T.done}</h1>
      <p>${T[where].done}</p>
      <p class="soft">${T.company}</p>`,
  );
