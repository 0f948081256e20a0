import type { Deed } from '../audit/index.js';
import { type RegistrySnapshot, sentenceOf } from '../registry/index.js';
import { WORDS } from '../words/index.js';
import { html, type Markup, type Page, page, timeOf } from './html.js';

const T = WORDS.approvals.deeds;

/** Of the tools of one decision, so many are told. */
const MOST = 3;

/** One decision in plain words, without a value of any argument. */
export function deedItem(deed: Deed, registry: RegistrySnapshot): Markup {
  const { at, agents, tools } = deed;
  const [first = '', ...through] = agents.map((id) => nameOf(id, registry));
  const said = tools.length === 0 ? [targetOf(deed, registry)] : tools.map((tool) => toolOf(tool, deed, registry));
  const more = said.length - MOST;
  const server = deed.target?.kind === 'server' && tools.length > 0 ? targetOf(deed, registry) : undefined;
  return html`<li class="server">
    <h3>${[first, ...through].join(` ${T.through} `)}</h3>
    ${said.slice(0, MOST).map((one) => html`<p>${one}</p>`)} ${more > 0 ? html`<p>${T.others} ${more}</p>` : undefined}
    <p class="small soft">
      ${server === undefined ? undefined : html`${server} · `}${timeOf(at)} ·
      <strong>${outcomeOf(deed)}</strong>
    </p>
  </li>`;
}

const nameOf = (id: string, registry: RegistrySnapshot): string =>
  registry.agent(id)?.name ?? (registry.serverByResource(id) ?? registry.serverByClientId(id))?.name ?? id;

function targetOf({ target }: Deed, registry: RegistrySnapshot): string {
  switch (target?.kind) {
    case undefined:
      return T.somewhere;
    case 'server':
      return registry.serverByResource(target.id)?.name ?? target.id;
    case 'agent':
      return `${T.handOver} ${nameOf(target.id, registry)}`;
    case 'domain':
      return `${T.within} ${target.id}`;
  }
}

function toolOf(name: string, { target }: Deed, registry: RegistrySnapshot): string {
  const server = target?.kind === 'server' ? registry.serverByResource(target.id) : undefined;
  const tool = server?.tools.find((one) => one.name === name);
  return tool === undefined ? name : sentenceOf(tool);
}

/** What came of it, as far as it is known. */
function outcomeOf({ decision, isApproved, reported: { executed, failed, unknown } }: Deed): string {
  if (decision !== 'permit') return T.decisions[decision];
  const told = [
    ...(executed === 0 ? [] : [counted(T.reported.executed, executed)]),
    ...(failed === 0 ? [] : [counted(T.reported.failed, failed)]),
    ...(unknown === 0 ? [] : [counted(T.reported.unknown, unknown)]),
  ];
  return [isApproved ? T.approved : T.decisions.permit, ...told].join(', ');
}

const counted = (text: string, count: number): string => (count === 1 ? text : `${text} ${String(count)} ${T.times}`);

export const deedList = (items: readonly Markup[]): Markup =>
  items.length === 0
    ? html`<p>${T.nothing}</p>`
    : html`<ul>
        ${items}
      </ul>`;

/** `next`: where the list goes on. */
export const deedsPage = ({
  items,
  next,
  issuer,
}: Readonly<{ items: readonly Markup[]; next: number | undefined; issuer: string }>): Page =>
  page(
    T.title,
    html`<h1>${T.title}</h1>
      <p class="soft">${T.lead}</p>
      ${items.length === 0 ? undefined : html`<h2>${WORDS.approvals.newestFirst}</h2>`} ${deedList(items)}
      ${next === undefined ? undefined : html`<p><a href="${issuer}/approvals/history?before=${next}">${WORDS.approvals.more}</a></p>`}
      <p><a href="${issuer}/approvals">${WORDS.approvals.toAll}</a></p>`,
  );
