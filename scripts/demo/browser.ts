import type { Employee } from './company.js';

type Cookie = Readonly<{ host: string; path: string; name: string; value: string }>;

export type Seen = Readonly<{ url: string; status: number; headers: Headers; body: string }>;

/** What a browser does without script: cookies, redirects, plain forms and refresh tags. Stops at an address of `stopAt`. */
export class Browser {
  #cookies: Cookie[] = [];
  /** Every address it went to, the last one first. */
  readonly history: string[] = [];

  cookies(): readonly Cookie[] {
    return this.#cookies;
  }

  async get(url: string, stopAt?: string): Promise<Seen> {
    const page = await this.#go(url, { method: 'GET' }, stopAt);
    return this.#afterScript(page, stopAt);
  }

  /** Sends the page's first form, with its hidden fields and the boxes that are ticked. */
  async submit(
    page: Seen,
    fields: Readonly<Record<string, string | readonly string[]>>,
    stopAt?: string,
  ): Promise<Seen> {
    const action = /<form[^>]*action="([^"]*)"/.exec(page.body)?.[1] ?? page.url;
    const hidden = [...page.body.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)].map(
      ([, name = '', value = '']): [string, string] => [name, value],
    );
    const boxes = [...page.body.matchAll(/<input type="checkbox" name="([^"]+)" value="([^"]*)" checked/g)].map(
      ([, name = '', value = '']): [string, string] => [name, value],
    );
    const body = new URLSearchParams([
      ...[...hidden, ...boxes].filter(([name]) => !Object.hasOwn(fields, name)),
      ...Object.entries(fields).flatMap(([name, given]) =>
        [given].flat().map((value): [string, string] => [name, value]),
      ),
    ]);
    const seen = await this.#go(
      new URL(action.replaceAll('&amp;', '&'), page.url).href,
      { method: 'POST', body },
      stopAt,
    );
    return this.#afterScript(seen, stopAt);
  }

  /** The one script that it knows: a page that sends its form by itself (the company's, when somebody else signs in). */
  async #afterScript(page: Seen, stopAt: string | undefined): Promise<Seen> {
    return page.body.includes('document.forms[0].submit()') ? this.submit(page, {}, stopAt) : page;
  }

  async #go(start: string, first: RequestInit, stopAt?: string): Promise<Seen> {
    let [url, init] = [start, first];
    for (let hops = 0; hops < 20; hops++) {
      this.history.unshift(url);
      if (stopAt !== undefined && url.startsWith(stopAt)) return { url, status: 0, headers: new Headers(), body: '' };
      const headers = { accept: 'text/html', cookie: this.cookieHeader(url) };
      const response = await fetch(url, { ...init, headers, redirect: 'manual' });
      this.#keep(url, response.headers.getSetCookie());
      const body = await response.text();
      const next = response.headers.get('location') ?? /http-equiv="refresh" content="0; url=([^"]+)"/.exec(body)?.[1];
      if (next === undefined) return { url, status: response.status, headers: response.headers, body };
      [url, init] = [new URL(next.replaceAll('&amp;', '&'), url).href, { method: 'GET' }];
    }
    throw new Error(`too many redirects: ${this.history.slice(0, 4).join(' < ')}`);
  }

  /** What it would send to this address. */
  cookieHeader(url: string): string {
    const { host, pathname } = new URL(url);
    const fits = this.#cookies.filter(
      (cookie) =>
        cookie.host === host && `${pathname}/`.startsWith(cookie.path.endsWith('/') ? cookie.path : `${cookie.path}/`),
    );
    return fits.map(({ name, value }) => `${name}=${value}`).join('; ');
  }

  #keep(url: string, lines: readonly string[]): void {
    const { host } = new URL(url);
    for (const line of lines) {
      const [pair = '', ...attributes] = line.split(';').map((part) => part.trim());
      const [name = '', value = ''] = pair.split(/=(.*)/s);
      const path = attributes.find((one) => one.toLowerCase().startsWith('path='))?.slice(5) ?? '/';
      this.#cookies = this.#cookies.filter(
        (cookie) => !(cookie.host === host && cookie.path === path && cookie.name === name),
      );
      if (value !== '' && !/expires=Thu, 01 Jan 1970/i.test(line)) this.#cookies.push({ host, path, name, value });
    }
  }
}

/** A person who opens an agent's link, signs in at the company when asked to, and decides. Answers where the agent is told. */
export async function authorize(
  browser: Browser,
  link: string,
  {
    redirectUri,
    employee,
    decision = 'allow',
  }: Readonly<{ redirectUri: string; employee: Employee; decision?: 'allow' | 'deny' }>,
): Promise<URL> {
  const { email, password } = employee;
  let page = await browser.get(link, redirectUri);
  if (page.body.includes('Sign in to The Company')) page = await browser.submit(page, { email, password }, redirectUri);
  if (page.body.includes('to act for you?')) page = await browser.submit(page, { decision }, redirectUri);
  if (!page.url.startsWith(redirectUri))
    throw new Error(`stopped at ${page.url} with ${String(page.status)}: ${page.body}`);
  return new URL(page.url);
}
