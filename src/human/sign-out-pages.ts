import { html, type Page, page } from './html.js';

/** Why the page is shown again. */
export type SignOutProblem = 'not_from_here';

const PROBLEMS: Readonly<Record<SignOutProblem, string>> = {
  not_from_here: 'That did not come from this page as it is now, so nothing has changed. Please choose here.',
};

/** Lets the person end this sign-in or all of theirs; the form carries a token against forged posts. */
export function signOutPage(
  person: Readonly<{ name: string; email: string | undefined }>,
  form: Readonly<{ action: string; token: string; problem: SignOutProblem | undefined }>,
): Page {
  return page(
    'Sign out',
    html`<h1>Sign out</h1>
      <p class="soft">
        You are signed in as
        <strong>${person.name}</strong>${person.email === undefined ? '' : html` (${person.email})`}.
      </p>
      ${form.problem === undefined ? undefined : html`<p class="warn" role="alert">${PROBLEMS[form.problem]}</p>`}
      <form method="post" action="${form.action}">
        <input type="hidden" name="token" value="${form.token}" />
        <h2>In this browser</h2>
        <p>
          Ends this sign-in and what agents got through it: they have to ask you again. Your other browsers stay signed
          in.
        </p>
        <div class="actions">
          <button type="submit" name="where" value="here" class="primary">Sign out here</button>
        </div>
        <h2>Everywhere</h2>
        <p>
          Ends every sign-in of yours, and at once everything that any agent holds in your name, whoever gave it. What
          is under way stops.
        </p>
        <div class="actions"><button type="submit" name="where" value="everywhere">Sign out everywhere</button></div>
      </form>`,
    form.problem === undefined ? {} : { status: 400 },
  );
}

const DONE = {
  here: 'This sign-in has ended, and with it what agents got through it.',
  everywhere: 'All your sign-ins have ended, and with them everything that agents held in your name.',
} as const;

export function signedOutPage(where: keyof typeof DONE): Page {
  return page(
    'You are signed out',
    html`<h1>You are signed out</h1>
      <p>${DONE[where]}</p>
      <p class="soft">
        If your company signed you in, you may still be signed in there: whoever uses this browser could come in again.
      </p>`,
  );
}
