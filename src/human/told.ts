import { randomBytes } from 'node:crypto';
import type { Context } from 'koa';
import { isFresh } from '../approval/index.js';
import type { Route } from '../http/index.js';
import { type Address, type Channel, type Notices, PushSubscription, type VapidKey } from '../notice/index.js';
import { parseObject } from '../protocol/index.js';
import { WORDS, type ApprovalsProblem } from '../words/index.js';
import { hiddenFields, html, type Markup, type Page, page, sendPage } from './html.js';
import { showOwnSignIn } from './own-sign-in.js';
import { approverOf, seeOther, type Visit as VisitOf, type VisitDeps } from './own-visit.js';
import { WORKER } from './told-script.js';

export type ToldDeps = VisitDeps &
  Readonly<{
    notices: Pick<Notices, 'of' | 'add' | 'remove'>;
    vapid: VapidKey;
    /** Whether messages may be sent there at all. */
    mayBeTold(address: string): boolean;
  }>;

type Visit = VisitOf<ToldDeps>;

/** Adds or takes away one place where the person is told. Answers what is wrong. */
export async function changeTold(visit: Visit, form: URLSearchParams): Promise<ApprovalsProblem | undefined> {
  const { ctx, person, deps } = visit;
  const { notices, issuer, clock } = deps;
  if (form.get('action') === 'stop') {
    if (!(await notices.remove(person.id, form.get('channel') ?? ''))) return 'changed';
    seeOther(ctx, `${issuer}/approvals`);
    return undefined;
  }
  const address = form.has('subscription') ? pushOf(form, deps) : webhookOf(form, deps);
  if (typeof address === 'string') return address;
  // AP-17: whoever finds a browser open would read what waits for its person from then on.
  if (!isFresh(approverOf(visit), clock.now())) {
    await showOwnSignIn(ctx, deps, { problem: 'told' });
    return undefined;
  }
  const url = new URL(address.kind === 'push' ? address.endpoint : address.url);
  const added = await notices.add(person.id, url.host, address);
  if (!added.ok) return 'too_many_channels';
  if (address.kind === 'webhook') sendPage(ctx, secretPage(address.secret, issuer));
  else seeOther(ctx, `${issuer}/approvals`);
  return undefined;
}

type Checks = Pick<ToldDeps, 'mayBeTold' | 'vapid'>;

function pushOf(form: URLSearchParams, { mayBeTold, vapid }: Checks): Address | 'bad_subscription' {
  const read = parseObject(form.get('subscription') ?? '');
  const given = read.ok ? PushSubscription.safeParse(read.value).data : undefined;
  return given === undefined || !mayBeTold(given.endpoint) ? 'bad_subscription' : { kind: 'push', ...given, vapid };
}

function webhookOf(form: URLSearchParams, { mayBeTold }: Checks): Address | 'bad_address' {
  const url = form.get('url') ?? '';
  if (url.length > 2_048 || !mayBeTold(url)) return 'bad_address';
  return { kind: 'webhook', url, secret: `whsec_${randomBytes(32).toString('base64')}` };
}

const secretPage = (secret: string, issuer: string): Page =>
  page(
    WORDS.told.secret.title,
    html`<h1>${WORDS.told.secret.title}</h1>
      <p>${WORDS.told.secret.advice}</p>
      <p><code>${secret}</code></p>
      <div class="actions"><a class="button primary" href="${issuer}/approvals">${WORDS.told.secret.back}</a></div>`,
  );

/** Where the person is told, and the forms by which they choose. */
export function toldSection(
  channels: readonly Channel[],
  { issuer, token, vapid }: Readonly<{ issuer: string; token: string; vapid: VapidKey }>,
): Markup {
  const place = `${new URL(issuer).pathname.replace(/\/$/, '')}/approvals`;
  const action = `${issuer}/approvals/channels`;
  return html`<h2>${WORDS.told.title}</h2>
    ${
      channels.length === 0
        ? html`<p>${WORDS.told.nowhere}</p>`
        : html`<ul>
            ${channels.map((one) => item(one, { action, token }))}
          </ul>`
    }
    <form
      method="post"
      action="${action}"
      data-push="${vapid.publicKey}"
      data-worker="${place}/sw.js"
      data-scope="${place}/"
      data-denied="${WORDS.told.denied}"
      data-missing="${WORDS.told.missing}"
    >
      ${hiddenFields({ token, subscription: '' })}
      <p class="warn" role="alert" hidden></p>
      <div class="actions"><button type="submit">${WORDS.told.push}</button></div>
    </form>
    <details>
      <summary>${WORDS.told.webhook}</summary>
      <form method="post" action="${action}">
        ${hiddenFields({ token })}
        <label class="field address">
          <span>${WORDS.told.address}</span>
          <input name="url" type="url" required maxlength="2048" autocomplete="off" />
        </label>
        <div class="actions"><button type="submit">${WORDS.told.add}</button></div>
      </form>
    </details>`;
}

const item = (
  { id, kind, label, failures }: Channel,
  { action, token }: Readonly<{ action: string; token: string }>,
): Markup =>
  html`<li class="server">
    <p>
      ${WORDS.told.kinds[kind]}
      ${label}${failures === 0 ? undefined : html` <span class="mark">${WORDS.told.failing}</span>`}
    </p>
    <form method="post" action="${action}">
      ${hiddenFields({ token, channel: id })}
      <div class="actions in-order">
        <button type="submit" name="action" value="stop" class="small" aria-label="${WORDS.told.stop}: ${label}">
          ${WORDS.told.stop}
        </button>
      </div>
    </form>
  </li>`;

/** What makes the page one that a phone keeps on its home screen, and that is told something there. */
export function toldRoutes(issuer: string): readonly Route[] {
  const place = `${new URL(issuer).pathname.replace(/\/$/, '')}/approvals`;
  const manifest = JSON.stringify({
    id: place,
    name: WORDS.told.app.name,
    short_name: WORDS.told.app.short,
    start_url: place,
    scope: place,
    display: 'standalone',
    background_color: '#f3f5f7',
    theme_color: '#0b5cad',
    icons: [{ src: `${place}/icon.svg`, sizes: 'any', type: 'image/svg+xml', purpose: 'any' }],
  });
  return [
    { method: 'GET', path: `${place}/manifest.webmanifest`, handle: fixed('application/manifest+json', manifest) },
    { method: 'GET', path: `${place}/sw.js`, handle: fixed('text/javascript; charset=utf-8', WORKER) },
    { method: 'GET', path: `${place}/icon.svg`, handle: fixed('image/svg+xml', ICON) },
  ];
}

const fixed =
  (type: string, body: string) =>
  (ctx: Context): void => {
    ctx.status = 200;
    ctx.set({
      'content-type': type,
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-cache',
    });
    ctx.body = body;
  };

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96"><rect width="96" height="96" rx="20" fill="#0b5cad"/><path d="M26 50l15 15 30-34" fill="none" stroke="#fff" stroke-width="10" stroke-linecap="round" stroke-linejoin="round"/></svg>`;
