import type { Held } from '../approval/index.js';
import type { Seconds } from '../base/index.js';
import { type RegistrySnapshot, sentenceFor } from '../registry/index.js';
import { WORDS } from '../words/index.js';
import { isOpen, tierOf } from './approval-view.js';
import { fitting } from './fitting.js';
import { html, type Markup, timeOf } from './html.js';

/** Requests for the same call, the oldest first: a flood of one thing is one thing. */
export type Group = Readonly<{
  agent: string;
  sentence: string;
  tier: Held['about']['tier'];
  requests: readonly Pick<Held, 'id' | 'askedAt' | 'expiresAt'>[];
}>;

/** Each in its place by its first request. What cannot be opened is not shown, for it cannot be answered. */
export function groupsOf(all: readonly Held[], registry: RegistrySnapshot): readonly Group[] {
  const groups = new Map<string, Held[]>();
  for (const held of all) {
    if (!isOpen(held)) continue;
    const { server, tool, argumentsSha256 } = held.approval.frozen.binding.call;
    const key = JSON.stringify([held.client, held.person, server, tool, argumentsSha256]);
    groups.set(key, [...(groups.get(key) ?? []), held]);
  }
  return [...groups.values()].map((requests) => groupOf(requests, registry));
}

function groupOf(requests: readonly Held[], registry: RegistrySnapshot): Group {
  const [first] = requests;
  if (!isOpen(first)) throw new TypeError('a group has a request');
  const tool = registry.serverByResource(first.server)?.tools.find(({ name }) => name === first.tool);
  const { arguments: given } = first.approval.frozen.binding.call;
  return {
    agent: registry.agent(first.client)?.name ?? first.client,
    sentence: sentenceFor(tool ?? { name: first.tool, sentence: undefined, sensitive: [] }, given),
    tier: tierOf(first, registry),
    requests,
  };
}

type Where = Readonly<{ issuer: string; now: Seconds }>;

/** Links only: on a list nobody reads what they approve. Those for which there is no room come when these are answered. */
export function waitingList(groups: readonly Group[], where: Where, room: number): Markup {
  if (groups.length === 0) return html`<p>${WORDS.waiting.nothing}</p>`;
  const items = groups.map((group) => waitingItem(group, where));
  const shown = fitting(items, room);
  const more = items.length - shown.length;
  return html`<ul>
      ${shown}
    </ul>
    ${more === 0 ? undefined : html`<p>${more} ${WORDS.waiting.more}</p>`}`;
}

/** Links to requests for one call. */
const MOST = 3;

const waitingItem = ({ agent, sentence, tier, requests }: Group, where: Where): Markup =>
  html`<li class="server">
    <h3>${agent}</h3>
    <p>${sentence}</p>
    <p class="small soft">
      ${WORDS.waiting.tiers[tier]}${requests.length === 1 ? '' : html` · ${WORDS.waiting.asked} ${requests.length} ${WORDS.waiting.times}`}
    </p>
    ${requests.slice(0, MOST).map((request) => link(request, agent, where))}
  </li>`;

const link = ({ id, askedAt, expiresAt }: Group['requests'][number], agent: string, { issuer, now }: Where): Markup =>
  html`<p>
    <a href="${issuer}/approvals/${id}" aria-label="${WORDS.waiting.decide} ${agent}">${WORDS.waiting.decide}</a>
    <span class="small soft">${WORDS.waiting.since} ${timeOf(askedAt)}, ${minutes(expiresAt - now)}</span>
  </p>`;

const minutes = (left: Seconds): string =>
  left < 60 ? WORDS.waiting.lessThanAMinute : `${String(Math.floor(left / 60))} ${WORDS.waiting.minutesLeft}`;
