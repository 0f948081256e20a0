import { WORDS } from '../words/index.js';
import { hiddenFields, html, type Markup, type Page, page } from './html.js';
import { PASSKEY_SCRIPT } from './passkey-script.js';
import type { PasskeyFlaw } from './passkeys.js';
import { troublePage } from './pages.js';
import { passwordForm, passwordStatus } from './password-pages.js';
import type { PasswordFlaw } from './password.js';
import { lostPasskey } from './recovery-pages.js';

const T = WORDS.passkey;

type Form = Readonly<{ action: string; options: object; problem: PasskeyFlaw | undefined }>;

/** Signs in by passkey, or leads to where else the person may have their account. */
export function signInPage(
  form: Form &
    Readonly<{
      issuer: string;
      password: (Parameters<typeof passwordForm>[0] & { problem: PasswordFlaw | undefined }) | undefined;
    }>,
  others: readonly Readonly<{ name: string; address: string }>[],
): Page {
  return page(
    WORDS.signIn.title,
    html`<h1>${WORDS.signIn.title}</h1>
      <p class="soft">${WORDS.signIn.how}</p>
      ${passkeyForm('get', saying(form), WORDS.signIn.byPasskey)}
      ${form.password === undefined ? undefined : passwordForm(form.password, form.password.problem)}
      ${lostPasskey(form.issuer)} ${others.length === 0 ? undefined : elsewhere(others)}`,
    {
      script: PASSKEY_SCRIPT,
      status: form.password?.problem === undefined ? statusOf(form) : passwordStatus(form.password.problem),
    },
  );
}

const elsewhere = (others: Parameters<typeof signInPage>[1]): Markup =>
  html`<h2>${WORDS.signIn.elsewhere}</h2>
    <div class="choices">
      ${others.map(({ name, address }) => html`<a class="button" href="${address}">${name}</a>`)}
    </div>`;

/** Lets an invited person make a passkey. */
export function enrolPage({ name, email }: Readonly<{ name: string; email: string | undefined }>, form: Form): Page {
  return page(
    T.enrol.title,
    html`<h1>${T.enrol.welcome(name)}</h1>
      <p class="soft">
        ${T.enrol.lead}${email === undefined ? '' : html` ${T.enrol.as} <strong>${email}</strong>`}.
        ${T.enrol.noPassword}
      </p>
      <dl>
        ${T.enrol.facts.map(
          ([title, about]) =>
            html`<div>
              <dt>${title}</dt>
              <dd>${about}</dd>
            </div>`,
        )}
      </dl>
      ${passkeyForm('create', saying(form), T.enrol.make)}`,
    { script: PASSKEY_SCRIPT, status: statusOf(form) },
  );
}

export const enrolledPage = (): Page =>
  page(
    T.enrolled.title,
    html`<h1>${T.enrolled.title}</h1>
      <p>${T.enrolled.choose} <strong>${WORDS.signIn.byPasskey}</strong>. ${T.enrolled.close}</p>`,
  );

export const NO_INVITATION = troublePage(WORDS.trouble.noInvitation);

export const TOO_MANY_LINKS = troublePage(WORDS.trouble.tooManyLinks);

const statusOf = ({ problem }: Form): number => (problem === undefined ? 200 : 400);

const saying = ({ problem, ...form }: Form) => ({
  ...form,
  said: problem === undefined ? undefined : T.problems[problem],
});

type PasskeyForm = Readonly<{
  action: string;
  options: object;
  /** What is wrong, where something is. */
  said: string | undefined;
  hidden?: Readonly<Record<string, string | undefined>>;
  /** What else the person fills in. */
  fields?: Markup | undefined;
}>;

/** One button that asks the browser for a passkey. */
export const passkeyForm = (
  method: 'create' | 'get',
  { action, options, said, hidden = {}, fields }: PasskeyForm,
  label: string,
): Markup =>
  html`<p class="warn" role="alert" ${said === undefined ? HIDDEN : undefined}>${said ?? ''}</p>
    <noscript><p class="warn">${T.noScript}</p></noscript>
    <form
      method="post"
      action="${action}"
      data-passkey="${JSON.stringify({ method, options })}"
      data-failed="${T.failed}"
      data-known="${T.known}"
      data-missing="${T.missing}"
    >
      <input type="hidden" name="answer" value="" />
      ${hiddenFields(hidden)} ${fields}
      <div class="actions"><button type="submit" class="primary">${label}</button></div>
    </form>`;

const HIDDEN = html`hidden`;
