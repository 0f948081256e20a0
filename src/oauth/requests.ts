import type { IncomingMessage } from 'node:http';
import { parse } from 'node:querystring';
import type { ParameterizedContext } from 'koa';
import { ok, type Result, type Seconds } from '../base/index.js';
import { type BodyFlaw, FORM_LIMIT, readText } from '../http/index.js';
import { type OAuthErrorBody, parseJws, verifyProof } from '../protocol/index.js';

/** A body that an earlier route has read already, as text; otherwise `undefined`. */
export function bodyReadBefore(request: IncomingMessage): string | undefined {
  const body: unknown = Reflect.get(request, 'body');
  return typeof body === 'string' ? body : undefined;
}

/** Lets the library read the text again as if it came from the wire: it warns and guesses otherwise. */
export function replayBody(request: IncomingMessage, body: string): void {
  async function* chunks(): AsyncGenerator<Buffer> {
    yield await Promise.resolve(Buffer.from(body));
  }
  Object.defineProperties(request, {
    readable: { value: true },
    readableEncoding: { value: null },
    iterator: { value: chunks },
  });
}

const MAX_FORM_BYTES = 8_192;
const FORM = 'application/x-www-form-urlencoded';

/** A small form of ours. `undefined` when it is none or too large. */
export async function readForm(context: ParameterizedContext): Promise<URLSearchParams | undefined> {
  if (context.request.is(FORM) === false) return undefined;
  const text = await readPosted(context, MAX_FORM_BYTES);
  return text.ok ? new URLSearchParams(text.value) : undefined;
}

/**
 * Reads a form for the library and judges its client assertions first: the library clones what they hold, without a
 * bound to how deep. What it answered itself is false; what is no form is for the library to refuse.
 */
export async function judgeForm(context: ParameterizedContext): Promise<boolean> {
  if (context.request.is(FORM) !== FORM) return true;
  // In another charset the library would read another form than the one that was judged.
  if (!['', 'utf-8'].includes(context.request.charset.toLowerCase())) return refuse(context, 400, NO_FORM);
  const text = await readPosted(context, FORM_LIMIT);
  if (!text.ok) return refuse(context, text.error === 'too_large' ? 413 : 400, NO_FORM);
  // The library's own way to take a form apart, so that both read the same.
  const assertions = [parse(text.value)['client_assertion'] ?? []].flat();
  if (assertions.every((assertion) => assertion === '' || parseJws(assertion).ok)) return true;
  return refuse(context, 401, NOT_AUTHENTICATED);
}

const NO_FORM: OAuthErrorBody = {
  error: 'invalid_request',
  error_description: `the body must be a form in UTF-8 of at most ${FORM_LIMIT} bytes`,
};
const NOT_AUTHENTICATED: OAuthErrorBody = {
  error: 'invalid_client',
  error_description: 'client authentication failed',
};

function refuse(context: ParameterizedContext, status: number, body: OAuthErrorBody): false {
  context.status = status;
  context.set('cache-control', 'no-store');
  context.body = body;
  return false;
}

/** What is read here, or was before, can be read again by the library. */
async function readPosted(context: ParameterizedContext, limit: number): Promise<Result<string, BodyFlaw>> {
  const { req } = context;
  const before = bodyReadBefore(req);
  if (before !== undefined) return ok(before);
  const text = await readText(context, limit);
  if (text.ok) replayBody(req, text.value);
  return text;
}

/** The library takes proofs five minutes old and duplicate JSON keys; the proof is judged by our own rules before it. */
export function judgeProof(context: ParameterizedContext, uri: string, now: Seconds): boolean {
  // An empty header is a proof that is no good, not the absence of one.
  if (context.headers['dpop'] === undefined) return true;
  const judged = verifyProof(context.get('dpop'), { method: context.method, uri, now });
  if (judged.ok) return true;
  return refuse(context, 400, { error: 'invalid_dpop_proof', error_description: 'the DPoP proof is not valid' });
}
