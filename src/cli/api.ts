import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { isLoopback } from '../protocol/index.js';
import { Failure, type Io } from './io.js';

/** The admin API of a running Writ: the only thing that a command ever talks to. */
export interface AdminApi {
  get(path: string, query?: Query): Promise<unknown>;
  /** One object and its ETag. */
  read(path: string): Promise<Tagged>;
  send(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: object, headers?: Headers): Promise<unknown>;
  page(path: string, query: Query): Promise<Page>;
  /** The lines of a stream, each without its end, for as long as it lasts. */
  lines(path: string, query: Query): AsyncGenerator<string>;
  /** Every item of a list, page by page. */
  all(path: string, query?: Query): AsyncGenerator<Record<string, unknown>>;
}
export type Tagged = Readonly<{ object: Record<string, unknown>; etag: string }>;
type Headers = Readonly<Record<string, string>>;
export type Query = Readonly<Record<string, string | undefined>>;
export type ConnectionOptions = Readonly<{ url?: string | undefined; tokenFile?: string | undefined }>;

/** Finds out where Writ is and with which token to speak to it. Nothing is sent yet. */
export function connect(options: ConnectionOptions, io: Io): AdminApi {
  return connectTo('/admin/v1', options, io);
}

/** The log of a running Writ, by the token for auditors where there is one. */
export const connectAudit = (options: ConnectionOptions, io: Io): Pick<AdminApi, 'get' | 'page' | 'all' | 'lines'> =>
  connectTo('/audit/v1', options, io);

function connectTo(root: '/admin/v1' | '/audit/v1', { url, tokenFile }: ConnectionOptions, io: Io): AdminApi {
  const base = baseUrl(url ?? given(io, 'WRIT_ISSUER') ?? 'http://localhost:4455');
  const auditToken = root === '/audit/v1' && tokenFile === undefined ? given(io, 'WRIT_AUDIT_TOKEN') : undefined;
  const token = auditToken ?? findToken(tokenFile, io);
  const call = (method: string, path: string, body?: object, headers: Headers = {}): Promise<Answer> =>
    request({ base, root, token, method, path, body, headers });
  const get: AdminApi['get'] = async (path, query) => (await call('GET', withQuery(path, query ?? {}))).body;
  const page: AdminApi['page'] = async (path, query) => Page.parse(await get(path, query));
  return {
    get,
    read: async (path) => {
      const { body, etag } = await call('GET', path);
      return { object: AnyObject.parse(body), etag };
    },
    // What is lost on the way is asked for again by the same key, and so done once.
    send: async (method, path, body, headers) => {
      const keyed = { 'Idempotency-Key': randomUUID(), ...headers };
      return (await onceMore(() => call(method, path, body, keyed))).body;
    },
    page,
    lines: (path, query) => linesAt({ base, url: `${base}${root}${withQuery(path, query)}`, token }),
    all: async function* (path, query = {}) {
      for (let after: string | undefined; ;) {
        const found = await page(path, { ...query, limit: '200', after: after ?? query['after'] });
        yield* found.items;
        if (found.next === null) return;
        after = found.next;
      }
    },
  };
}

const given = ({ env }: Io, name: string): string | undefined => (env[name] === '' ? undefined : env[name]);

function baseUrl(text: string): string {
  if (!URL.canParse(text)) throw new Failure(2, `${text} is not a URL; give one with --url or WRIT_ISSUER`);
  const { protocol, hostname, href } = new URL(text);
  // The admin token must not travel in the clear.
  if (protocol !== 'https:' && !(protocol === 'http:' && isLoopback(hostname))) {
    throw new Failure(2, `${text} must be https (http on loopback only)`);
  }
  return href.replace(/\/$/, '');
}

function findToken(tokenFile: string | undefined, io: Io): string {
  const fromEnvironment = tokenFile === undefined ? given(io, 'WRIT_ADMIN_TOKEN') : undefined;
  const file = tokenFile ?? `${given(io, 'WRIT_DATA_DIR') ?? '.writ'}/admin-token`;
  const token = fromEnvironment ?? read(file, io)?.trim();
  if (token !== undefined && /^[\x21-\x7e]+$/.test(token)) return token;
  throw new Failure(
    2,
    `there is no admin token: set WRIT_ADMIN_TOKEN, or name a file with --token-file (looked at ${file})`,
  );
}

function read(file: string, io: Io): string | undefined {
  try {
    return io.readFile(file);
  } catch (cause) {
    throw new Failure(2, `${file} cannot be read; check its permissions`, { cause });
  }
}

/** A second try after an outage, such as a restart of Writ. */
async function onceMore<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (failure) {
    if (!(failure instanceof Failure && failure.code === 'unavailable')) throw failure;
    await pause(1_000);
    return work();
  }
}

type Call = Readonly<{
  base: string;
  root: string;
  token: string;
  method: string;
  path: string;
  body: object | undefined;
  headers: Headers;
}>;
type Answer = Readonly<{ body: unknown; etag: string }>;

async function request({ base, root, token, method, path, body, headers }: Call): Promise<Answer> {
  const response = await reach(base, `${base}${root}${path}`, {
    method,
    redirect: 'error',
    signal: AbortSignal.timeout(30_000),
    headers: {
      Authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw refusal(base, response.status, text);
  return { body: text === '' ? undefined : parse(base, text), etag: response.headers.get('ETag') ?? '' };
}

/** A stream may last as long as it likes, but not be silent for minutes: fetch then gives up by itself. */
async function* linesAt({
  base,
  url,
  token,
}: Readonly<Record<'base' | 'url' | 'token', string>>): AsyncGenerator<string> {
  const response = await reach(base, url, { redirect: 'error', headers: { Authorization: `Bearer ${token}` } });
  if (!response.ok) throw refusal(base, response.status, await response.text());
  const decoder = new TextDecoder();
  const body: AsyncIterable<Uint8Array> = response.body ?? Readable.from([]);
  let rest = '';
  try {
    for await (const chunk of body) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch (cause) {
    throw new Failure(2, `${base} broke off`, { cause });
  }
  if (rest !== '') throw new Failure(2, `${base} broke off in the middle of a line`);
}

async function reach(base: string, url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (cause) {
    throw new Failure(2, `no Writ answers at ${base}; is it running, and is --url (or WRIT_ISSUER) right?`, { cause });
  }
}

function refusal(base: string, status: number, text: string): Failure {
  const problem = Problem.safeParse(parse(base, text));
  if (!problem.success) return new Failure(2, `${base} answered ${status}, and not as Writ does; is --url right?`);
  const { code, detail, errors, request_id, type } = problem.data;
  const see = type === undefined ? '' : `\n  see ${type}`;
  if (status === 401) return new Failure(1, 'the admin token is not the one of this Writ', { code });
  if (status >= 500) return new Failure(2, `${detail} (request ${request_id})${see}`, { code });
  const lines = errors === undefined ? [detail] : errors.map(({ param, detail: what }) => `${param}: ${what}`);
  const said = lines.length === 1 ? ` ${lines[0] ?? ''}` : `\n${lines.map((line) => `  ${line}`).join('\n')}`;
  return new Failure(1, `${code}:${said}${see}`, { code });
}

function parse(base: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Failure(2, `${base} does not answer as Writ does; is --url right?`, { cause });
  }
}

function withQuery(path: string, query: Query): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.append(name, value);
  return given.size === 0 ? path : `${path}?${given.toString()}`;
}

const Page = z.object({ items: z.array(z.record(z.string(), z.unknown())), next: z.string().nullable() });
export type Page = z.infer<typeof Page>;
const AnyObject = z.record(z.string(), z.unknown());
const Problem = z.object({
  type: z.string().optional(),
  code: z.string(),
  detail: z.string(),
  request_id: z.string(),
  errors: z.array(z.object({ param: z.string(), detail: z.string() })).optional(),
});
