import type { ConsentRequest } from './consent.js';
import { html, type Markup, type Page, page } from './html.js';

/** Asks the person whether the agent may act for them. The form carries the decision and a token against forged posts. */
export function consentPage(
  request: ConsentRequest,
  form: Readonly<{ action: string; token: string; changed: boolean }>,
): Page {
  const { agent, person } = request;
  return page(
    `Allow ${agent.name}?`,
    html`<h1>Allow ${agent.name} to act for you?</h1>
      <p class="soft">
        You are signed in as
        <strong>${person.name}</strong>${person.email === undefined ? '' : html` (${person.email})`}.
      </p>
      ${form.changed ? html`<p class="warn" role="alert">What this agent would get has changed meanwhile. Please read it again.</p>` : undefined}
      <dl>
        <div>
          <dt>Purpose</dt>
          <dd>${agent.purpose}</dd>
        </div>
        <div>
          <dt>Responsible</dt>
          <dd>${agent.owner}</dd>
        </div>
        <div>
          <dt>Agent id</dt>
          <dd><code>${agent.clientId}</code></dd>
        </div>
        <div>
          <dt>You return to</dt>
          <dd><code>${request.redirectHost}</code></dd>
        </div>
      </dl>
      ${request.isLoopback ? LOOPBACK_WARNING : undefined}
      <h2>What it could ask for in your name</h2>
      ${
        request.servers.length === 0
          ? html`<p>Nothing beyond knowing that it is you.</p>`
          : html`<ul>
              ${request.servers.map(serverItem)}
            </ul>`
      }
      ${request.staysSignedIn ? html`<p>It may also go on while you are away, until it is revoked.</p>` : undefined}
      <p class="small soft">Each call is still checked by policy and recorded.</p>
      <form method="post" action="${form.action}">
        <input type="hidden" name="token" value="${form.token}" />
        <div class="actions">
          <button type="submit" name="decision" value="deny">Deny</button>
          <button type="submit" name="decision" value="allow" class="primary">Allow</button>
        </div>
      </form>`,
  );
}

const LOOPBACK_WARNING = html`<p class="warn">
  You return to a program on your own computer. Any program there can pretend to be this agent: go on only if you
  started it yourself just now.
</p>`;

const serverItem = (server: ConsentRequest['servers'][number]): Markup =>
  html`<li class="server">
    <strong>${server.name}</strong>
    <div class="small soft">${server.resource}</div>
    <div class="scopes">${server.scopes.map((scope) => html`<code>${scope}</code>`)}</div>
  </li>`;

/** Lets the person say where they sign in. */
export function chooserPage(choices: readonly Readonly<{ name: string; address: string }>[]): Page {
  const links = choices.map(({ name, address }) => html`<a class="button" href="${address}">${name}</a>`);
  return page(
    'Sign in',
    html`<h1>Sign in</h1>
      <p class="soft">Where do you have your account?</p>
      <div class="choices">${links}</div>`,
  );
}

/** Goes on by a plain link: a redirect after a form would count as the form's target, which the policy forbids. */
export function continuePage(address: string): Page {
  return page(
    'One moment',
    html`<h1>One moment</h1>
      <p class="soft">You are being taken back.</p>
      <div class="actions"><a class="button primary" href="${address}">Continue</a></div>`,
    { next: address },
  );
}

export type Trouble = Readonly<{ status: number; title: string; advice: string; code?: string | undefined }>;

/** Says what went wrong and what to do. Repeats nothing that came with the request. */
export function troublePage({ status, title, advice, code }: Trouble): Page {
  return page(
    title,
    html`<h1>${title}</h1>
      <p>${advice}</p>
      ${code === undefined ? undefined : html`<p class="small soft">Error code: <code>${code}</code></p>`}`,
    { status },
  );
}
