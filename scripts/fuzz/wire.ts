import { createConnection } from 'node:net';

/** How a request ended. `status` is 0 when the connection was closed without an answer, `undefined` when nothing came in time. */
export type Outcome = Readonly<{ status: number | undefined; head: string; body: string; ms: number }>;

/** What a server that is not busy may take, and what one that is busy all the while. */
const ANSWER_WITHIN_MS = 5_000;
const BUSY_FOR_MS = 60_000;
/** A request that lacks its end is answered when the client gives up: then ours does. */
const GIVE_UP_MS = 1_000;

/** Sends bytes, whatever they are, over a connection of their own. `wasBusy`: of the server, at any time since. */
export function send(
  port: number,
  { bytes, isWhole }: Readonly<{ bytes: Buffer; isWhole: boolean }>,
  wasBusy: (since: number) => boolean,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const began = performance.now();
    const chunks: Buffer[] = [];
    const socket = createConnection({ host: '127.0.0.1', port, allowHalfOpen: true });
    const end = (isLate: boolean): void => {
      clearTimeout(late);
      clearTimeout(tired);
      socket.destroy();
      const text = Buffer.concat(chunks).toString('utf8');
      const answer = finalAnswer(text);
      const status = answer?.status ?? (isLate ? undefined : 0);
      resolve({ status, head: answer?.head ?? '', body: answer?.body ?? '', ms: performance.now() - began });
    };
    const judge = (since: number): void => {
      const now = performance.now();
      if (!wasBusy(since) || now - began > BUSY_FOR_MS) end(true);
      else
        late = setTimeout(() => {
          judge(now);
        }, ANSWER_WITHIN_MS);
    };
    let late = setTimeout(() => {
      judge(began);
    }, ANSWER_WITHIN_MS);
    const tired = isWhole ? undefined : setTimeout(() => socket.end(), GIVE_UP_MS);
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if (isComplete(Buffer.concat(chunks).toString('utf8'))) end(false);
    });
    for (const over of ['end', 'close', 'error'] as const)
      socket.on(over, () => {
        end(false);
      });
    socket.write(bytes);
  });
}

type Answer = Readonly<{ status: number; head: string; body: string }>;

/** The last answer of the connection, past any 1xx. */
function finalAnswer(text: string): Answer | undefined {
  const match = /^HTTP\/1\.[01] (\d{3})[^\r\n]*\r\n/.exec(text);
  if (match === null) return undefined;
  const end = text.indexOf('\r\n\r\n');
  const status = Number(match[1]);
  if (status < 200) return finalAnswer(text.slice(end + 4));
  return { status, head: text.slice(0, end), body: text.slice(end + 4) };
}

/** Whether waiting longer is no use: everything that the answer announces is there. */
function isComplete(text: string): boolean {
  const answer = finalAnswer(text);
  if (answer === undefined || !text.includes('\r\n\r\n')) return false;
  const length = /^content-length: (\d+)$/im.exec(answer.head)?.[1];
  if (/^transfer-encoding: chunked$/im.test(answer.head)) return answer.body.endsWith('0\r\n\r\n');
  return length === undefined ? [204, 304].includes(answer.status) : Buffer.byteLength(answer.body) >= Number(length);
}

export type Headers = readonly (readonly [name: string, value: string])[];

/** A request as text of Latin-1 or, in its body, of any bytes. */
export function requestBytes(
  line: Readonly<{ method: string; target: string; headers: Headers }>,
  body: Buffer | string = '',
): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const head = [`${line.method} ${line.target} HTTP/1.1`, ...line.headers.map(([name, value]) => `${name}: ${value}`)];
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), bytes]);
}
