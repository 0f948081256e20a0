import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Context } from 'koa';

/** What our own middleware and form routes take of a request. Koa's context is one. */
export type HttpContext = Pick<
  Context,
  'req' | 'res' | 'method' | 'path' | 'querystring' | 'headerSent' | 'respond' | 'status' | 'body' | 'type'
> &
  Readonly<{ get(name: string): string; set(name: string, value: string): void }>;

/** One layer around an answer. */
export type Step = (ctx: HttpContext, next: () => Promise<void>) => Promise<void>;

/** A request and its answer without Koa, for a path that has no query. Answers in one piece, and only text. */
export class PlainContext implements HttpContext {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly querystring = '';
  respond = true;
  body: unknown = '';
  type = '';

  constructor(req: IncomingMessage, res: ServerResponse) {
    this.req = req;
    this.res = res;
    // What is cut before it is answered is known by the same number as with Koa.
    res.statusCode = 404;
  }

  get method(): string {
    return this.req.method ?? '';
  }

  get path(): string {
    return this.req.url ?? '';
  }

  get headerSent(): boolean {
    return this.res.headersSent;
  }

  get status(): number {
    return this.res.statusCode;
  }

  set status(status: number) {
    this.res.statusCode = status;
  }

  get(name: string): string {
    const value = this.req.headers[name.toLowerCase()];
    return typeof value === 'string' ? value : (value?.join(', ') ?? '');
  }

  set(name: string, value: string): void {
    if (!this.headerSent) this.res.setHeader(name, value);
  }

  /** Sends what was not sent yet. */
  end(): void {
    if (!this.respond || this.headerSent) return;
    const text = typeof this.body === 'string' ? this.body : '';
    this.res.setHeader('Content-Type', this.type);
    this.res.setHeader('Content-Length', Buffer.byteLength(text));
    this.res.end(text);
  }
}
