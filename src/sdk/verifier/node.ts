import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answer } from './answer.js';
import type { Inbound } from './credential.js';
import { VerifierError } from './errors.js';
import { readChunks } from './fetch.js';

/** A Node request. Read from the raw headers: Node drops a second Authorization header silently. */
export function nodeInbound(request: IncomingMessage): Inbound {
  return {
    method: request.method ?? '',
    url: request.url ?? '',
    header: (name) => request.rawHeaders.filter((_, i, all) => i % 2 === 1 && all[i - 1]?.toLowerCase() === name),
  };
}

/**
 * The body from the socket, or from `req.rawBody` where a framework keeps the bytes. Parsed JSON cannot replace it: the
 * digest is over what was sent.
 */
export async function readNodeBody(
  request: IncomingMessage & { rawBody?: unknown },
  limit: number,
): Promise<string | undefined> {
  const { rawBody } = request;
  if (rawBody instanceof Uint8Array)
    return rawBody.byteLength <= limit && isUtf8(rawBody) ? Buffer.from(rawBody).toString('utf8') : undefined;
  if (request.readableDidRead) throw new VerifierError('body_already_read');
  return readChunks(request, limit);
}

/** See {@link Answer}. */
export function answerNode(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, headers).end(body);
}

/** For a handler that broke, or a client that went away in the middle: nothing of the cause is told. */
export function failNode(response: ServerResponse): void {
  if (response.headersSent) response.destroy();
  else response.writeHead(500, { 'cache-control': 'no-store' }).end();
}
