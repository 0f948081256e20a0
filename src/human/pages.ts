import type { Seconds } from '../base/index.js';
import { WORDS } from '../words/index.js';
import type { ConsentRequest } from './consent.js';
import { html, type Markup, type Page, page } from './html.js';
import type { NarrowingFlaw } from './narrowing.js';

const T = WORDS.consent;

/** Asks the person whether the agent may act for them. The form carries the decision and a token against forged posts. */
export function consentPage(
  request: ConsentRequest,
  form: Readonly<{ action: string; token: string; problem: ConsentProblem | undefined; signOut: string }>,
): Page {
  const { agent, person } = request;
  return page(
    T.title(agent.name),
    html`<h1>${T.heading(agent.name)}</h1>
      <p class="soft">
        ${WORDS.signIn.as}
        <strong>${person.name}</strong>${person.email === undefined ? '' : html` (${person.email})`}.
        <a href="${form.signOut}">${WORDS.signOut.title}</a>
      </p>
      ${form.problem === undefined ? undefined : html`<p class="warn" role="alert">${T.problems[form.problem]}</p>`}
      <dl>
        <div>
          <dt>${T.fields.purpose}</dt>
          <dd>${agent.purpose}</dd>
        </div>
        <div>
          <dt>${T.fields.owner}</dt>
          <dd>${agent.owner}</dd>
        </div>
        <div>
          <dt>${T.fields.known}</dt>
          <dd>${T.registered}</dd>
        </div>
        <div>
          <dt>${T.fields.id}</dt>
          <dd><code>${agent.clientId}</code></dd>
        </div>
        <div>
          <dt>${T.fields.back}</dt>
          <dd><code>${request.redirectHost}</code></dd>
        </div>
      </dl>
      ${request.isLoopback ? LOOPBACK_WARNING : undefined}
      <form method="post" action="${form.action}">
        <input type="hidden" name="token" value="${form.token}" />
        <h2>${T.could}</h2>
        ${request.servers.length === 0 ? html`<p>${T.nothing}</p>` : serverList(request)}
        ${request.budgets.length === 0 ? undefined : limits(request)}
        ${request.servers.length === 0 ? undefined : OWN_LIMIT} ${request.staysSignedIn ? duration(request) : undefined}
        <p class="small soft">${T.stillChecked}</p>
        <div class="actions">
          <button type="submit" name="decision" value="deny">${T.deny}</button>
          <button type="submit" name="decision" value="allow" class="primary">${T.allow}</button>
        </div>
      </form>`,
  );
}

const LOOPBACK_WARNING = html`<p class="warn">${T.loopback}</p>`;

/** Why the page is shown again. */
export type ConsentProblem = 'changed' | NarrowingFlaw;

type Server = ConsentRequest['servers'][number];

/** Tools are numbered over all servers: what comes back is their places, which the form's token vouches for. */
function serverList({ servers }: ConsentRequest): Markup {
  const firsts = servers.map((_server, index) =>
    servers.slice(0, index).reduce((sum, { tools }) => sum + tools.length, 0),
  );
  const tools = servers.flatMap((server) => server.tools);
  const changing = tools.filter(({ action }) => action !== 'read').length;
  return html`<ul>
      ${servers.map((server, index) => serverItem(server, firsts[index] ?? 0))}
    </ul>
    ${changing > 0 && changing < tools.length ? READS_ONLY : undefined}`;
}

const READS_ONLY = html`<label class="choice">
  <input type="checkbox" name="reads_only" value="yes" />
  <span>${T.readsOnly}</span>
</label>`;

/** More tools than these are folded away. */
const OPEN = 12;

const serverItem = (server: Server, first: number): Markup =>
  html`<li class="server">
    <strong>${server.name}</strong>
    <div class="small soft">${server.resource}</div>
    ${server.tools.length === 0 ? html`<p class="small">${T.noTool}</p>` : toolList(server, first)}
    <div class="scopes">${server.scopes.map((scope) => html`<code>${scope}</code>`)}</div>
  </li>`;

const toolList = ({ tools }: Server, first: number): Markup =>
  html`<details${tools.length > OPEN ? undefined : OPENED}>
    <summary class="small">${T.things(tools.length)}</summary>
    ${tools.map((tool, index) => toolChoice(tool, first + index))}
  </details>`;

const OPENED = html` open`;

const toolChoice = ({ name, sentence, action, tier }: Server['tools'][number], place: number): Markup =>
  html`<label class="choice">
    <input type="checkbox" name="tool" value="${place}" checked />
    <span>
      ${sentence}
      <span class="small soft"
        >${[sentence === name ? undefined : name, action && T.actions[action], T.risk[tier]].filter(Boolean).join(' · ')}</span
      >
    </span>
  </label>`;

const limits = ({ budgets }: ConsentRequest): Markup =>
  html`<h2>${T.limits}</h2>
    <ul>
      ${budgets.map((budget) => html`<li>${inWords(budget)}</li>`)}
    </ul>`;

const OWN_LIMIT = html`<label class="choice"
  ><span>${T.ownLimit}</span>
  <input
    class="count"
    name="calls"
    type="text"
    inputmode="numeric"
    pattern="[0-9]{1,7}"
    maxlength="7"
    autocomplete="off"
/></label>`;

function inWords({ unit, per, limit, currency, window_seconds: window }: ConsentRequest['budgets'][number]): string {
  const what = unit === 'money' ? `${String(limit)} ${currency ?? ''}` : `${String(limit)} ${T.units[unit]}`;
  return T.limit(what, T.scopes[per], window === undefined ? undefined : WORDS.time.inWords(window));
}

/** One choice is no choice. */
const duration = ({ lasts }: ConsentRequest): Markup =>
  html`<h2>${T.duration}</h2>
    <p>${T.away}</p>
    ${
      lasts.length < 2
        ? undefined
        : html`<label class="choice"
            ><span>${T.lasts}</span>
            <select name="lasts">
              ${lasts.map((seconds, index) => option(seconds, index === lasts.length - 1))}
            </select></label
          >`
    }`;

const option = (seconds: Seconds, chosen: boolean): Markup =>
  html`<option value="${seconds}" ${chosen ? SELECTED : undefined}>${WORDS.time.inWords(seconds)}</option>`;

const SELECTED = html`selected`;

/** Lets the person say where they sign in. */
export function chooserPage(choices: readonly Readonly<{ name: string; address: string }>[]): Page {
  const links = choices.map(({ name, address }) => html`<a class="button" href="${address}">${name}</a>`);
  return page(
    WORDS.signIn.title,
    html`<h1>${WORDS.signIn.title}</h1>
      <p class="soft">${WORDS.signIn.where}</p>
      <div class="choices">${links}</div>`,
  );
}

/** Goes on by a plain link: a redirect after a form would count as the form's target, which the policy forbids. */
export function continuePage(address: string): Page {
  return page(
    WORDS.signIn.moment,
    html`<h1>${WORDS.signIn.moment}</h1>
      <p class="soft">${WORDS.signIn.back}</p>
      <div class="actions"><a class="button primary" href="${address}">${WORDS.signIn.go}</a></div>`,
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
      ${code === undefined ? undefined : html`<p class="small soft">${WORDS.trouble.code} <code>${code}</code></p>`}`,
    { status },
  );
}
