import type { ReadingFlawCode } from '../registry/index.js';

/** The reading cannot go on. */
export class Unreadable extends Error {
  override readonly name = 'Unreadable';
  readonly code: ReadingFlawCode;
  constructor(code: ReadingFlawCode, options?: { cause?: unknown }) {
    super(code, options);
    this.code = code;
  }
}

export type BoundedFetch = ((input: string | URL, init?: RequestInit) => Promise<Response>) &
  Readonly<{
    flaw(): ReadingFlawCode | undefined;
    /** Aborts with the first flaw, so that nothing is tried again, and when the time is over. */
    over: AbortSignal;
  }>;

type Reach = Readonly<{ url: URL; token: string | undefined; deadline: AbortSignal; bytes: number }>;

/**
 * A fetch for one address alone, with so many bytes and so much time for all of its answers together. No redirect is
 * followed and no stream of events is opened, so the server decides neither where we go nor for how long.
 */
export function boundedFetch({ url, token, deadline, bytes }: Reach): BoundedFetch {
  let flaw: ReadingFlawCode | undefined;
  let left = bytes;
  const stop = new AbortController();
  const over = AbortSignal.any([stop.signal, deadline]);
  const fail = (code: ReadingFlawCode, cause?: unknown): Unreadable => {
    if (!deadline.aborted) flaw ??= code;
    const unreadable = new Unreadable(code, { cause });
    stop.abort(unreadable);
    return unreadable;
  };
  const ask = async (input: string | URL, init: RequestInit = {}): Promise<Response> => {
    if (new URL(input).href !== url.href) throw fail('redirected');
    if ((init.method ?? 'GET') === 'GET') return new Response(null, { status: 405 });
    const headers = new Headers(init.headers);
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
    const signal = init.signal ? AbortSignal.any([init.signal, over]) : over;
    const response = await fetch(url, { ...init, headers, signal, redirect: 'manual' }).catch((cause: unknown) => {
      throw fail('unreachable', cause);
    });
    const code = codeOf(response.status);
    if (code !== undefined) {
      await response.body?.cancel();
      throw fail(code);
    }
    return counted(response, (size) => {
      left -= size;
      return left < 0 ? fail('too_large') : undefined;
    });
  };
  return Object.assign(ask, { flaw: () => flaw, over });
}

/** Everything else is for the client to understand: an older server answers 400 or 404 to a newer revision. */
function codeOf(status: number): ReadingFlawCode | undefined {
  if (status >= 300 && status < 400) return 'redirected';
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  return status >= 500 ? 'server_failed' : undefined;
}

function counted({ body, status, statusText, headers }: Response, take: (size: number) => Error | undefined): Response {
  if (body === null) return new Response(null, { status, statusText, headers });
  const bounded = body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => {
        const over = take(chunk.byteLength);
        if (over === undefined) controller.enqueue(chunk);
        else controller.error(over);
      },
    }),
  );
  return new Response(bounded, { status, statusText, headers });
}
