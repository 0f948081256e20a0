import { hiddenFields, html, type Markup, type Page, page } from './html.js';
import { PASSKEY_SCRIPT } from './passkey-script.js';
import type { PasskeyFlaw } from './passkeys.js';
import { troublePage } from './pages.js';
import { passwordForm, passwordStatus } from './password-pages.js';
import type { PasswordFlaw } from './password.js';
import { lostPasskey } from './recovery-pages.js';

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
    'Sign in',
    html`<h1>Sign in</h1>
      <p class="soft">Your device asks for your fingerprint, your face or its PIN. You need not type a name.</p>
      ${passkeyForm('get', saying(form), 'Sign in with a passkey')}
      ${form.password === undefined ? undefined : passwordForm(form.password, form.password.problem)}
      ${lostPasskey(form.issuer)} ${others.length === 0 ? undefined : elsewhere(others)}`,
    {
      script: PASSKEY_SCRIPT,
      status: form.password?.problem === undefined ? statusOf(form) : passwordStatus(form.password.problem),
    },
  );
}

const elsewhere = (others: Parameters<typeof signInPage>[1]): Markup =>
  html`<h2>Or sign in at</h2>
    <div class="choices">
      ${others.map(({ name, address }) => html`<a class="button" href="${address}">${name}</a>`)}
    </div>`;

/** Lets an invited person make a passkey. */
export function enrolPage({ name, email }: Readonly<{ name: string; email: string | undefined }>, form: Form): Page {
  return page(
    'Make your passkey',
    html`<h1>Welcome, ${name}</h1>
      <p class="soft">
        Make a passkey to sign in here${email === undefined ? '' : html` as <strong>${email}</strong>`}. There is no
        password that somebody could guess, steal or ask you for.
      </p>
      <dl>
        <div>
          <dt>What happens</dt>
          <dd>Your device or security key makes a key of its own and keeps it.</dd>
        </div>
        <div>
          <dt>How you open it</dt>
          <dd>By fingerprint, face or PIN. None of them leaves your device.</dd>
        </div>
        <div>
          <dt>Not you?</dt>
          <dd>Close this page and tell whoever sent you the link.</dd>
        </div>
      </dl>
      ${passkeyForm('create', saying(form), 'Make a passkey')}`,
    { script: PASSKEY_SCRIPT, status: statusOf(form) },
  );
}

export const enrolledPage = (): Page =>
  page(
    'Your passkey is ready',
    html`<h1>Your passkey is ready</h1>
      <p>
        Whenever an agent asks you to sign in here, choose <strong>Sign in with a passkey</strong>. You can close this
        page.
      </p>`,
  );

/** Unknown, used and over look the same. */
export const NO_INVITATION = troublePage({
  status: 404,
  title: 'This link is not valid any more',
  advice: 'It has expired or was used before. Ask your administrator for a new one.',
});

export const TOO_MANY_LINKS = troublePage({
  status: 429,
  title: 'Too many requests from your network',
  advice: 'Wait a minute and try again.',
});

const statusOf = ({ problem }: Form): number => (problem === undefined ? 200 : 400);

const saying = ({ problem, ...form }: Form) => ({
  ...form,
  said: problem === undefined ? undefined : PROBLEMS[problem],
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
    <noscript><p class="warn">A passkey needs JavaScript, which your browser has switched off here.</p></noscript>
    <form
      method="post"
      action="${action}"
      data-passkey="${JSON.stringify({ method, options })}"
      data-failed="No passkey was used. You can try again."
      data-known="This device has a passkey for your account already. Choose another device or security key."
      data-missing="This browser knows no passkeys. Open the page in a newer one."
    >
      <input type="hidden" name="answer" value="" />
      ${hiddenFields(hidden)} ${fields}
      <div class="actions"><button type="submit" class="primary">${label}</button></div>
    </form>`;

const HIDDEN = html`hidden`;

/** What is known of nobody and what does not hold read the same: a page tells nobody who has an account. */
const PROBLEMS: Readonly<Record<PasskeyFlaw, string>> = {
  unreadable: 'No passkey was used. You can try again.',
  stale: 'That took too long, or the page was open twice. Please try again.',
  unknown: 'This passkey is not good here. Use another one, or ask your administrator for a new link.',
  invalid: 'This passkey is not good here. Use another one, or ask your administrator for a new link.',
  copied: 'This passkey is not good here. Use another one, or ask your administrator for a new link.',
};
