import { WORDS } from '../words/index.js';
import { html, type Page, page } from './html.js';
import { passkeyForm } from './passkey-pages.js';
import { PASSKEY_SCRIPT } from './passkey-script.js';

const T = WORDS.ownPasskey;

export type OwnPasskeyProblem = keyof typeof T.problems;

export function makePasskeyPage({
  action,
  token,
  options,
  problem,
}: Readonly<{ action: string; token: string; options: object; problem: OwnPasskeyProblem | undefined }>): Page {
  const said = problem === undefined ? undefined : T.problems[problem];
  return page(
    T.title,
    html`<h1>${T.title}</h1>
      <p>${T.why}</p>
      <p class="soft">${T.how}</p>
      ${passkeyForm('create', { action, options, said, hidden: { token } }, T.make)}`,
    { script: PASSKEY_SCRIPT, status: problem === undefined ? 200 : problem === 'not_from_here' ? 403 : 400 },
  );
}

/** There is one now, or can be none. */
export function madePage(how: keyof typeof T.ended, issuer: string): Page {
  const { title, advice, status } = T.ended[how];
  return page(
    title,
    html`<h1>${title}</h1>
      <p>${advice}</p>
      <div class="actions"><a class="button primary" href="${issuer}/approvals">${T.back}</a></div>`,
    { status },
  );
}
