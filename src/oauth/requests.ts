import type { IncomingMessage } from 'node:http';
import type { ParameterizedContext } from 'koa';
import type { Seconds } from '../base/index.js';
import { type OAuthErrorBody, verifyProof } from '../protocol/index.js';

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

/** A small form of ours. `undefined` when it is none or too large. */
export async function readForm({ req, request }: ParameterizedContext): Promise<URLSearchParams | undefined> {
  if (request.is('application/x-www-form-urlencoded') === false) return undefined;
  const before = bodyReadBefore(req);
  if (before !== undefined) return new URLSearchParams(before);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req) {
    if (!Buffer.isBuffer(chunk)) return undefined;
    size += chunk.length;
    if (size > MAX_FORM_BYTES) return undefined;
    chunks.push(chunk);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
}

/** The library takes proofs five minutes old and duplicate JSON keys; the proof is judged by our own rules before it. */
export function judgeProof(context: ParameterizedContext, uri: string, now: Seconds): boolean {
  // An empty header is a proof that is no good, not the absence of one.
  if (context.headers['dpop'] === undefined) return true;
  const judged = verifyProof(context.get('dpop'), { method: context.method, uri, now });
  if (judged.ok) return true;
  const body: OAuthErrorBody = { error: 'invalid_dpop_proof', error_description: 'the DPoP proof is not valid' };
  context.status = 400;
  context.set('cache-control', 'no-store');
  context.body = body;
  return false;
}
