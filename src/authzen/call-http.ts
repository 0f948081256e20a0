import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { err, ok, type Result } from '../base/index.js';
import type { Silence } from '../policy/index.js';

const MAX_BYTES = 65_536;
const KEPT = { keepAlive: true, maxSockets: 64, maxFreeSockets: 16, scheduling: 'lifo' } as const;

export type Call = Readonly<{
  method: 'GET' | 'POST';
  url: string;
  headers: Readonly<Record<string, string>>;
  body?: string;
  /** When the whole answer has to be there, by `performance.now()`. */
  deadline: number;
}>;

/** Kept connections to one decision point. Redirects are not followed, and nothing beyond 64 KB is read. */
export class Line {
  readonly #http = new HttpAgent(KEPT);
  readonly #https = new HttpsAgent(KEPT);

  /** The text of an answer of status 200 in JSON. */
  async send(call: Call): Promise<Result<string, Silence>> {
    const first = await this.#try(call);
    // A kept connection that the other side has ended meanwhile tells nothing about it; an evaluation changes nothing.
    const answer = first === 'stale_connection' ? await this.#try(call) : first;
    return answer === 'stale_connection' ? err('unreachable') : answer;
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  #try({ method, url, headers, body = '', deadline }: Call): Promise<Result<string, Silence> | 'stale_connection'> {
    const isHttps = url.startsWith('https:');
    return new Promise((resolve) => {
      const options = {
        method,
        agent: isHttps ? this.#https : this.#http,
        headers: { ...headers, accept: 'application/json', 'content-length': String(Buffer.byteLength(body)) },
      };
      const request = (isHttps ? httpsRequest : httpRequest)(url, options);
      const end = (answer: Result<string, Silence> | 'stale_connection'): void => {
        clearTimeout(timer);
        resolve(answer);
      };
      const giveUp = (why: Silence): void => {
        end(err(why));
        request.destroy();
      };
      const timer = setTimeout(giveUp, Math.max(0, deadline - performance.now()), 'timeout');
      request.once('response', (response) => {
        read(response).then(end, giveUp);
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        const isStale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
        end(isStale ? 'stale_connection' : err(error.code?.startsWith('HPE_') === true ? 'malformed' : 'unreachable'));
      });
      request.end(body);
    });
  }
}

async function read(response: IncomingMessage): Promise<Result<string, Silence>> {
  const flaw = flawOf(response);
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    const stream: AsyncIterable<Uint8Array> = response;
    for await (const chunk of stream) {
      size += chunk.byteLength;
      if (size > MAX_BYTES) return err(flaw ?? 'too_large');
      chunks.push(chunk);
    }
  } catch {
    return err(flaw ?? 'malformed');
  }
  return flaw === undefined ? ok(Buffer.concat(chunks).toString('utf8')) : err(flaw);
}

function flawOf({ statusCode, headers }: IncomingMessage): Silence | undefined {
  if (statusCode !== 200) return 'wrong_status';
  return /^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '') ? undefined : 'malformed';
}
