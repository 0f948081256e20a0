import type { Seconds } from '../base/index.js';
import type { ConsentRequest } from './consent.js';
import { html, type Markup, type Page, page } from './html.js';
import type { NarrowingFlaw } from './narrowing.js';

/** Asks the person whether the agent may act for them. The form carries the decision and a token against forged posts. */
export function consentPage(
  request: ConsentRequest,
  form: Readonly<{ action: string; token: string; problem: ConsentProblem | undefined; signOut: string }>,
): Page {
  const { agent, person } = request;
  return page(
    `Allow ${agent.name}?`,
    html`<h1>Allow ${agent.name} to act for you?</h1>
      <p class="soft">
        You are signed in as
        <strong>${person.name}</strong>${person.email === undefined ? '' : html` (${person.email})`}.
        <a href="${form.signOut}">Sign out</a>
      </p>
      ${form.problem === undefined ? undefined : html`<p class="warn" role="alert">${PROBLEMS[form.problem]}</p>`}
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
          <dt>Known here</dt>
          <dd>Registered by an administrator</dd>
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
      <form method="post" action="${form.action}">
        <input type="hidden" name="token" value="${form.token}" />
        <h2>What it could do in your name</h2>
        ${request.servers.length === 0 ? html`<p>Nothing beyond knowing that it is you.</p>` : serverList(request)}
        ${request.budgets.length === 0 ? undefined : limits(request)}
        ${request.servers.length === 0 ? undefined : OWN_LIMIT} ${request.staysSignedIn ? duration(request) : undefined}
        <p class="small soft">Each call is still checked by policy and recorded.</p>
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

/** Why the page is shown again. */
export type ConsentProblem = 'changed' | NarrowingFlaw;

const PROBLEMS: Readonly<Record<ConsentProblem, string>> = {
  changed: 'What this agent would get has changed meanwhile. Please read it again.',
  nothing_left: 'With this choice nothing is left that it could do. Leave at least one thing, or deny.',
  too_many_tools: 'Leave all that is asked, or at most 32 things of it.',
  unknown_time: 'Please choose again how long it may go on.',
  unreadable_limit:
    'How many calls it may make has to be a whole number from 1 to 1000000, or empty for no limit of yours.',
};

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
  <span>Only let it read: nothing that changes, sends or pays anything</span>
</label>`;

/** More tools than these are folded away. */
const OPEN = 12;

const serverItem = (server: Server, first: number): Markup =>
  html`<li class="server">
    <strong>${server.name}</strong>
    <div class="small soft">${server.resource}</div>
    ${server.tools.length === 0 ? html`<p class="small">No tool of it is open to this agent yet.</p>` : toolList(server, first)}
    <div class="scopes">${server.scopes.map((scope) => html`<code>${scope}</code>`)}</div>
  </li>`;

const toolList = ({ tools }: Server, first: number): Markup =>
  html`<details${tools.length > OPEN ? undefined : OPENED}>
    <summary class="small">${tools.length} ${tools.length === 1 ? 'thing' : 'things'} that it could do</summary>
    ${tools.map((tool, index) => toolChoice(tool, first + index))}
  </details>`;

const OPENED = html` open`;

const toolChoice = ({ name, sentence, action, tier }: Server['tools'][number], place: number): Markup =>
  html`<label class="choice">
    <input type="checkbox" name="tool" value="${place}" checked />
    <span>
      ${sentence}
      <span class="small soft"
        >${[sentence === name ? undefined : name, action, `${tier} risk`].filter(Boolean).join(' · ')}</span
      >
    </span>
  </label>`;

const limits = ({ budgets }: ConsentRequest): Markup =>
  html`<h2>Its limits</h2>
    <ul>
      ${budgets.map((budget) => html`<li>${inWords(budget)}</li>`)}
    </ul>`;

const OWN_LIMIT = html`<label class="choice"
  ><span>At most so many calls in all (empty: no limit of yours)</span>
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
  const what =
    unit === 'money' ? `${String(limit)} ${currency ?? ''}` : `${String(limit)} ${unit.replaceAll('_', ' ')}`;
  const until = window === undefined ? '' : `, anew every ${timeInWords(window).replace(/^1 /, '')}`;
  return `${what} for each ${per}${until}`;
}

/** One choice is no choice. */
const duration = ({ lasts }: ConsentRequest): Markup =>
  html`<h2>How long</h2>
    <p>It may also go on while you are away, until it is revoked.</p>
    ${
      lasts.length < 2
        ? undefined
        : html`<label class="choice"
            ><span>It ends by itself after</span>
            <select name="lasts">
              ${lasts.map((seconds, index) => option(seconds, index === lasts.length - 1))}
            </select></label
          >`
    }`;

const option = (seconds: Seconds, chosen: boolean): Markup =>
  html`<option value="${seconds}" ${chosen ? SELECTED : undefined}>${timeInWords(seconds)}</option>`;

const SELECTED = html`selected`;

const UNITS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const;

/** In the largest unit that it is a whole number of. */
function timeInWords(seconds: Seconds): string {
  const [name, length] = UNITS.find(([, size]) => seconds >= size && seconds % size === 0) ?? ['second', 1];
  const count = seconds / length;
  return `${String(count)} ${name}${count === 1 ? '' : 's'}`;
}

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
