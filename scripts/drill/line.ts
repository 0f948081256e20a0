import { Agent, request as httpRequest } from 'node:http';

export type Form = Readonly<Record<string, string>>;
/** `status` is 0 when there was no whole answer, and then `why` says what happened. */
export type Reply = Readonly<{
  status: number;
  retryAfter: string | undefined;
  body: Readonly<Record<string, unknown>>;
  ms: number;
  why?: string;
}>;

/** Kept connections to one server; an answer counts only when all of it was received. */
export class Line {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  readonly #address: string;

  constructor(address: string) {
    this.#address = address;
  }

  post(path: string, form: Form, headers: Form = {}): Promise<Reply> {
    const body = new URLSearchParams(form).toString();
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    return this.#send('POST', path, body, { ...type, ...headers });
  }

  json(method: string, path: string, token: string, value?: unknown): Promise<Reply> {
    const authorization = `Bearer ${token}`;
    return value === undefined
      ? this.#send(method, path, '', { authorization })
      : this.#send(method, path, JSON.stringify(value), { authorization, 'content-type': 'application/json' });
  }

  get(path: string, headers: Form): Promise<Reply> {
    return this.#send('GET', path, '', headers);
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(method: string, path: string, body: string, headers: Form): Promise<Reply> {
    const began = performance.now();
    return new Promise((resolve) => {
      const fail = (error: Error): void => {
        resolve({ status: 0, retryAfter: undefined, body: {}, ms: performance.now() - began, why: error.message });
      };
      const length = String(Buffer.byteLength(body));
      const options = { method, agent: this.#agent, headers: { ...headers, 'content-length': length } };
      const sent = httpRequest(`${this.#address}${path}`, options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.once('error', fail);
        response.once('aborted', () => {
          fail(new Error('the answer was cut off'));
        });
        response.once('end', () => {
          const { statusCode: status = 0, headers: answered } = response;
          const retryAfter = answered['retry-after'];
          resolve({ status, retryAfter, body: parsed(chunks), ms: performance.now() - began });
        });
      });
      sent.setTimeout(30_000, () => sent.destroy(new Error('no answer for 30 s')));
      sent.once('error', fail);
      sent.end(body);
    });
  }
}

function parsed(chunks: readonly Buffer[]): Reply['body'] {
  const text = Buffer.concat(chunks).toString('utf8');
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : { text };
  } catch {
    return { text };
  }
}

/** A member of an answer that must be text. */
export function textOf({ status, body, why }: Reply, name: string): string {
  const value = body[name];
  if (typeof value !== 'string') throw new Error(`no ${name}: ${String(status)} ${why ?? JSON.stringify(body)}`);
  return value;
}
