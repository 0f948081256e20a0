import { isUtf8 } from 'node:buffer';
import type { Answer } from './answer.js';
import type { Inbound } from './credential.js';

/** A web-standard request. Repeated headers arrive joined by commas, which no token or proof contains. */
export function fetchInbound(request: Request): Inbound {
  return {
    method: request.method,
    url: request.url,
    header: (name) => {
      const value = request.headers.get(name);
      return value === null ? [] : [value];
    },
  };
}

/** The same request with its body to read again. */
export function withText({ url, method, headers, signal }: Request, body: string): Request {
  return new Request(url, { method, headers, signal, body });
}

/** See {@link Answer}. */
export const answerFetch = ({ status, headers, body }: Answer): Response => new Response(body, { status, headers });

/** The bytes of a stream as text, or `undefined` past the limit or when they are no UTF-8. */
export async function readChunks(
  stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  limit: number,
): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.byteLength;
    if (size > limit) return undefined;
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined;
}
