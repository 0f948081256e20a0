import { createHash } from 'node:crypto';
import type { Seconds } from '../base/index.js';
import { STYLE } from './style.js';

/** Markup that is safe to send: made by {@link html} only. */
export class Markup {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  toString(): string {
    return this.#text;
  }
}

type Part = string | number | Markup | undefined | readonly Markup[];

/** Every value is escaped; only what `html` itself made goes through as it is. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  const filled = strings.map((text, index) => text + render(parts[index]));
  return new Markup(filled.join(''));
}

function render(part: Part): string {
  if (part === undefined) return '';
  if (part instanceof Markup) return part.toString();
  if (typeof part === 'object') return part.map(String).join('');
  return escape(visible(String(part)));
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '');

/** A name must not turn the line around it, hide a part of itself or look like another: such characters are spelled out. */
export function visible(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}\u00AD\u034F\u115F\u1160\u17B4\u17B5\u2800\u3164\uFFA0\u{1D159}]|(?<![\p{L}\p{M}\p{N}\p{P}\p{S}])\p{M}|(?<=\p{M}{4})\p{M}/gu,
    (character) => {
      const code = character.codePointAt(0) ?? 0;
      return `[U+${code.toString(16).toUpperCase().padStart(4, '0')}]`;
    },
  );
}

/** What a form brings back unseen; what is `undefined` is left out. */
export const hiddenFields = (fields: Readonly<Record<string, string | undefined>>): readonly Markup[] =>
  Object.entries(fields).map(([name, value]) =>
    value === undefined ? html`` : html`<input type="hidden" name="${name}" value="${value}" />`,
  );

/** A time, to the minute. */
export function timeOf(seconds: Seconds): Markup {
  const text = new Date(seconds * 1_000).toISOString();
  return html`<time datetime="${text}">${text.slice(0, 16).replace('T', ' ')} UTC</time>`;
}

/** A whole page and the headers it must be sent with. */
export type Page = Readonly<{ status: number; headers: Readonly<Record<string, string>>; body: string }>;

type PageOptions = Readonly<{
  status?: number;
  next?: string;
  script?: string;
  /** Where the manifest of a page is that can be installed, and has a worker. */
  manifest?: string;
}>;

/** No image, no frame, nothing from elsewhere; the one style sheet, and the one script of a page that needs it, are named by their hashes. */
export function page(title: string, content: Markup, { status = 200, next, script, manifest }: PageOptions = {}): Page {
  const refresh = next === undefined ? undefined : html`<meta http-equiv="refresh" content="0; url=${next}" />`;
  const body = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        ${refresh}${manifest === undefined ? undefined : html`<link rel="manifest" href="${manifest}" />`}
        <title>${title}</title>
        ${STYLE_ELEMENT}
      </head>
      <body>
        <main>${content}</main>
        ${script === undefined ? undefined : new Markup(`<script>${script}</script>`)}
      </body>
    </html> `;
  return { status, headers: headersOf(script, manifest !== undefined), body: body.toString() };
}

/** In one piece: the hash is over exactly what stands between the tags. */
const STYLE_ELEMENT = new Markup(`<style>${STYLE}</style>`);

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

const styleHash = hashOf(STYLE);

function headersOf(script: string | undefined, isInstallable: boolean): Page['headers'] {
  const own = isInstallable ? "; manifest-src 'self'; worker-src 'self'; img-src 'self'" : '';
  const scripts = script === undefined ? '' : `; script-src ${hashOf(script)}; require-trusted-types-for 'script'`;
  return own + scripts === ''
    ? HEADERS
    : { ...HEADERS, 'content-security-policy': `${HEADERS['content-security-policy']}${own}${scripts}` };
}

const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `default-src 'none'; style-src ${styleHash}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
} as const;

/** Sends a page of ours with exactly its headers. */
export function sendPage(
  context: { status: number; body: unknown; set(headers: Record<string, string>): void },
  { status, headers, body }: Page,
): void {
  context.status = status;
  context.set({ ...headers });
  context.body = body;
}
