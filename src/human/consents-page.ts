import { type RegistrySnapshot, sentenceOf } from '../registry/index.js';
import { WORDS, type ApprovalsProblem } from '../words/index.js';
import type { Consent } from './consents.js';
import { hiddenFields, html, type Markup, type Page, page, timeOf } from './html.js';
import type { PersonDirectory } from './people.js';
import { responsible } from './responsible.js';

const T = WORDS.approvals.consents;

/** Of scopes and of tools, so many are named. */
const MOST = 8;

type Named = Readonly<{ issuer: string; token: string }>;

/** A consent with the names that people know, and the form that takes it back. */
export async function consentItem(
  consent: Consent,
  { registry, people, form }: Readonly<{ registry: RegistrySnapshot; people: PersonDirectory; form: Named }>,
): Promise<Markup> {
  const agent = registry.agent(consent.agent);
  const name = agent?.name ?? consent.agent;
  const tools = consent.tools?.map(({ server, name: wanted }) => {
    const tool = registry.serverByResource(server)?.tools.find((one) => one.name === wanted);
    return tool === undefined ? wanted : sentenceOf(tool);
  });
  const rows: readonly (readonly [string, string | Markup | undefined])[] = [
    [WORDS.approvals.fields.owner, agent === undefined ? undefined : await responsible(agent.owner, people)],
    [T.given, timeOf(consent.givenAt)],
    [WORDS.approvals.fields.until, consent.endsAt === undefined ? undefined : timeOf(consent.endsAt)],
    [T.scopes, consent.scopes.length === 0 ? undefined : some(consent.scopes)],
    [T.calls, consent.calls === undefined ? undefined : String(consent.calls)],
    [T.tools, tools === undefined ? undefined : some(tools)],
  ];
  return html`<li class="server">
    <h3>${name}</h3>
    <p class="small soft">${consent.staysSignedIn ? T.while.away : T.while.here}</p>
    <dl>
      ${rows.map(([field, value]) =>
        value === undefined
          ? html``
          : html`<div>
              <dt>${field}</dt>
              <dd>${value}</dd>
            </div>`,
      )}
    </dl>
    <form method="post" action="${form.issuer}/approvals/consents/${consent.id}">
      ${hiddenFields({ token: form.token })}
      <div class="actions"><button type="submit" aria-label="${T.revoke} ${name}">${T.revoke}</button></div>
    </form>
  </li>`;
}

const some = (all: readonly string[]): string =>
  [all.slice(0, MOST).join(', '), ...(all.length > MOST ? [`${T.others} ${String(all.length - MOST)}`] : [])].join(' ');

/** `next`: where the list goes on. */
export const consentsPage = ({
  items,
  next,
  problem,
  issuer,
}: Readonly<{
  items: readonly Markup[];
  next: string | undefined;
  problem: ApprovalsProblem | undefined;
  issuer: string;
}>): Page =>
  page(
    T.title,
    html`<h1>${T.title}</h1>
      ${problem === undefined ? undefined : html`<p class="warn" role="alert">${WORDS.approvals.problems[problem]}</p>`}
      ${items.length === 0 ? undefined : html`<h2>${WORDS.approvals.newestFirst}</h2>`} ${consentList(items)}
      ${next === undefined ? undefined : html`<p><a href="${issuer}/approvals/consents?after=${next}">${WORDS.approvals.more}</a></p>`}
      <p><a href="${issuer}/approvals">${WORDS.approvals.toAll}</a></p>`,
    problem === undefined ? {} : { status: problem === 'changed' ? 409 : 400 },
  );

export const consentList = (items: readonly Markup[]): Markup =>
  items.length === 0
    ? html`<p>${T.nothing}</p>`
    : html`<ul>
        ${items}
      </ul>`;
