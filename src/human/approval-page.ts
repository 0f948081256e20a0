import { sha256 } from '../protocol/index.js';
import type { Seconds } from '../base/index.js';
import type { ApprovalView, ShownArgument } from './approval-view.js';
import { visible } from '../registry/index.js';
import { WORDS } from '../words/index.js';
import { hiddenFields, html, Markup, type Page, page, timeOf } from './html.js';
import { passkeyForm } from './passkey-pages.js';
import { PASSKEY_SCRIPT } from './passkey-script.js';

const T = WORDS.approval;

/** What a person reads before they decide. `sha256` is of its markup, word for word; `isWhole` says that nothing is left out. */
export type Facts = Readonly<{ markup: Markup; sha256: string; isWhole: boolean }>;

/** A page of at most 30 kB has room for this much beside its style, its script and its forms, in bytes. */
const MOST = 21_000;

export function factsOf(view: ApprovalView): Facts {
  const whole = factsMarkup(view, argumentList(view.arguments));
  const isWhole = Buffer.byteLength(whole.toString()) <= MOST;
  const short = { ...view, reasons: [], groups: [] };
  const markup = isWhole ? whole : factsMarkup(short, html`<p class="warn">${T.tooLong}</p>`);
  return { markup, sha256: sha256(markup.toString()), isWhole };
}

/** How somebody who looks may answer. */
export type Decision =
  | Readonly<{ by: 'button' }>
  | Readonly<{ by: 'passkey'; options: object; nonce: string; isNumbered: boolean }>
  | Readonly<{ by: 'passkey_first' | 'nowhere' | 'others' | 'nobody' }>;

export type ApprovalProblem = keyof typeof T.problems;

export type ApprovalForm = Readonly<{
  issuer: string;
  id: string;
  token: string;
  decision: Decision;
  /** The agent acts for whoever looks, right now. */
  mayPause: boolean;
  now: Seconds;
  expiresAt: Seconds;
  problem: ApprovalProblem | undefined;
}>;

/** One exact call, and the answer to it. In the order in which a person needs it: who, what, with what, how bad, until when. */
export function approvalPage(facts: Facts, form: ApprovalForm): Page {
  const { decision, problem } = form;
  const title = decision.by === 'others' ? T.titleOther : T.title;
  const said = problem === undefined ? undefined : T.problems[problem];
  const isScripted = decision.by === 'passkey';
  return page(
    title,
    html`<h1>${title}</h1>
      ${said === undefined || isScripted ? undefined : html`<p class="warn" role="alert">${said}</p>`} ${facts.markup}
      <h2>${T.decide}</h2>
      <p>
        ${T.until} ${timeOf(form.expiresAt)}
        <span class="soft">(${WORDS.time.left(form.expiresAt - form.now)} ${T.left}).</span>
        ${T.once}
      </p>
      ${answers(facts, form, said)}
      <p class="small"><a href="${form.issuer}/approvals">${T.toAll}</a></p>`,
    {
      status: problem === undefined ? 200 : STATUS[problem],
      ...(isScripted ? { script: PASSKEY_SCRIPT } : {}),
    },
  );
}

const STATUS: Readonly<Record<ApprovalProblem, number>> = {
  not_from_here: 403,
  changed: 409,
  unreadable: 400,
  stale: 400,
  no_passkey: 403,
  no_number: 400,
};

/** Deny stands first, and needs nothing. */
function answers(facts: Facts, form: ApprovalForm, said: string | undefined): Markup {
  const { issuer, id, token, decision, mayPause } = form;
  const action = `${issuer}/approvals/${id}`;
  const hidden = { token, shown: facts.sha256 };
  const approves = decision.by === 'button' && facts.isWhole;
  return html`<form method="post" action="${action}">
      ${hiddenFields(hidden)}
      <div class="actions in-order">
        <button type="submit" name="action" value="deny">${T.deny}</button>
        ${approves ? html`<button type="submit" name="action" value="approve" class="primary">${T.approve}</button>` : undefined}
      </div>
      ${
        mayPause
          ? html`<div class="actions in-order">
              <button type="submit" name="action" value="deny_and_pause" class="small">${T.denyAndPause}</button>
            </div>`
          : undefined
      }
    </form>
    ${facts.isWhole ? byPasskey(decision, { action, hidden, said, issuer }) : undefined}`;
}

function byPasskey(
  decision: Decision,
  {
    action,
    hidden,
    said,
    issuer,
  }: Readonly<{ action: string; hidden: Record<string, string>; said: string | undefined; issuer: string }>,
): Markup | undefined {
  switch (decision.by) {
    case 'passkey':
      return passkeyForm(
        'get',
        {
          ...{ action, options: decision.options, said },
          hidden: { ...hidden, nonce: decision.nonce, action: 'approve' },
          fields: decision.isNumbered ? NUMBER : undefined,
        },
        T.approveByPasskey,
      );
    case 'passkey_first':
      return html`<p class="warn">${T.noPasskey}</p>
        <div class="actions"><a class="button primary" href="${issuer}/approvals/passkey">${T.makePasskey}</a></div>`;
    case 'nowhere':
      return html`<p class="warn">${T.nowhere}</p>`;
    case 'button':
    case 'others':
    case 'nobody':
      return undefined;
  }
}

const NUMBER = html`<label class="field">
  <span>${T.number}</span>
  <input
    name="number"
    inputmode="numeric"
    pattern="[0-9]{2}"
    maxlength="2"
    size="2"
    required
    autocomplete="off"
    aria-describedby="number-help"
  />
  <span class="small soft" id="number-help">${T.numberHelp}</span>
</label>`;

type Row = readonly [string, string | Markup | undefined];

function factsMarkup(view: ApprovalView, args: Markup): Markup {
  const { agent, chain, person, purpose, task, network, server } = view;
  return html`<h2>${T.asks}</h2>
    <p class="sentence">${agent.name}</p>
    <p class="small soft"><code>${agent.id}</code> · ${agent.owner === undefined ? T.unregistered : T.registered}</p>
    ${rows([
      [T.fields.owner, agent.owner],
      [T.fields.chain, chain.length === 0 ? undefined : chain.join(' ← ')],
      [T.fields.person, person ?? T.you],
      [T.fields.purpose, purpose ?? undefined],
      [T.fields.task, task ?? undefined],
      [T.fields.started, timeOf(view.askedAt)],
      [T.fields.network, network ?? T.unknownNetwork],
    ])}
    <h2>${T.would}</h2>
    <p class="sentence">${view.sentence}</p>
    <p class="small soft"><code>${view.tool}</code> · ${server.name} · ${server.resource}</p>
    <h2>${T.with}</h2>
    ${args}
    <h2>${T.difference}</h2>
    ${difference(view)}
    <h2>${T.risk}</h2>
    <p><strong>${T.tiers[view.tier]}.</strong> ${view.reasons.length === 0 ? T.noReason : view.reasons.join(' ')}</p>
    ${view.groups.length === 0 ? undefined : html`<p>${T.waitsFor} ${view.groups.join(', ')}</p>`}`;
}

const rows = (all: readonly Row[]): Markup =>
  html`<dl class="compact">
    ${all.flatMap(([name, value]) =>
      value === undefined
        ? []
        : [
            html`<div>
              <dt>${name}</dt>
              <dd>${value}</dd>
            </div>`,
          ],
    )}
  </dl>`;

function argumentList(all: readonly ShownArgument[]): Markup {
  if (all.length === 0) return html`<p>${T.withNothing}</p>`;
  return html`<dl class="arguments">${all.map(argument)}</dl>`;
}

/** Longer ones are folded away: they are there, and do not bury the rest. */
const LONG = 400;

const argument = ({ name, text, isText, characters, isSensitive, mark }: ShownArgument): Markup =>
  html`<div>
    <dt>${name}${mark === undefined ? undefined : html` <span class="mark">${T[mark]}</span>`}</dt>
    <dd>
      ${
        isSensitive || characters > LONG
          ? html`<details>
              <summary>${isSensitive ? T.sensitive : start(text)} (${characters} ${T.characters})</summary>
              <pre>${isText ? lines(text) : inLines(text)}</pre>
            </details>`
          : html`<pre>${isText ? lines(text) : inLines(text)}</pre>`
      }
    </dd>
  </div>`;

const start = (text: string): string => `${Array.from(text).slice(0, 60).join('').replaceAll('\n', ' ')}…`;

/** A line that ends is said, so that two blanks are no new line and no value looks like two. */
const lines = (text: string): readonly Markup[] =>
  text
    .split('\n')
    .map((line, index, all) =>
      index === all.length - 1 ? html`${line}` : html`${line}<span class="soft">↵</span>${LF}`,
    );

const LF = new Markup('\n');

const inLines = (text: string): readonly Markup[] => text.split('\n').map((line) => html`${line}${LF}`);

function difference({ difference: one }: ApprovalView): Markup {
  if (one === undefined) return html`<p>${T.first}</p>`;
  const { at, changed, added, missing } = one;
  const isSame = changed.length + added.length + missing === 0;
  if (isSame) return html`<p>${T.same} ${timeOf(at)}.</p>`;
  const parts = [
    ...changed.map((name) => html`<strong>${visible(name)}</strong> ${T.changed}`),
    ...added.map((name) => html`<strong>${visible(name)}</strong> ${T.added}`),
    ...(missing === 0 ? [] : [html`${missing} ${T.gone}`]),
  ];
  return html`<p>
    ${T.differs} ${timeOf(at)}: ${parts.map((part, index) => (index === 0 ? part : html`, ${part}`))}.
  </p>`;
}

export type Ended = keyof typeof T.ended;

/** How a request stands that nobody decides any more. `takeBack`: a form by which what was approved is taken back. */
export function endedPage(
  how: Ended,
  {
    issuer,
    takeBack,
    status = 200,
  }: Readonly<{
    issuer: string;
    takeBack?: Readonly<{ id: string; token: string }> | undefined;
    status?: number;
  }>,
): Page {
  const { title, advice } = T.ended[how];
  return page(
    title,
    html`<h1>${title}</h1>
      <p>${advice}</p>
      ${
        takeBack === undefined
          ? undefined
          : html`<form method="post" action="${issuer}/approvals/${takeBack.id}">
              ${hiddenFields({ token: takeBack.token, action: 'take_back' })}
              <div class="actions"><button type="submit">${T.takeBack}</button></div>
            </form>`
      }
      <p class="small"><a href="${issuer}/approvals">${T.toAll}</a></p>`,
    { status },
  );
}
