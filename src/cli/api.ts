import { z } from 'zod';
import { isLoopback } from '../protocol/index.js';
import { Failure, type Io } from './io.js';

/** The admin API of a running Writ: the only thing that a command ever talks to. */
export interface AdminApi {
  get(path: string, query?: Query): Promise<unknown>;
  send(method: 'POST' | 'DELETE', path: string, body?: object): Promise<unknown>;
  /** Every item of a list, page by page. */
  all(path: string, query?: Query): AsyncGenerator<Record<string, unknown>>;
}
export type Query = Readonly<Record<string, string | undefined>>;
export type ConnectionOptions = Readonly<{ url?: string | undefined; tokenFile?: string | undefined }>;

/** Finds out where Writ is and with which token to speak to it. Nothing is sent yet. */
export function connect({ url, tokenFile }: ConnectionOptions, io: Io): AdminApi {
  const base = baseUrl(url ?? given(io, 'WRIT_ISSUER') ?? 'http://localhost:4455');
  const token = findToken(tokenFile, io);
  const call = (method: string, path: string, body?: object): Promise<unknown> =>
    request({ base, token, method, path, body });
  const get: AdminApi['get'] = (path, query) => call('GET', withQuery(path, query ?? {}));
  return {
    get,
    send: call,
    all: async function* (path, query = {}) {
      for (let after: string | undefined; ;) {
        const page = Page.parse(await get(path, { ...query, limit: '200', after: after ?? query['after'] }));
        yield* page.items;
        if (page.next === null) return;
        after = page.next;
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

type Call = Readonly<{ base: string; token: string; method: string; path: string; body: object | undefined }>;

async function request({ base, token, method, path, body }: Call): Promise<unknown> {
  const response = await reach(base, `${base}/admin/v1${path}`, {
    method,
    redirect: 'error',
    signal: AbortSignal.timeout(30_000),
    headers: {
      Authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw refusal(base, response.status, text);
  return text === '' ? undefined : parse(base, text);
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
  const { code, detail, errors, request_id } = problem.data;
  if (status === 401) return new Failure(1, 'the admin token is not the one of this Writ');
  if (status >= 500) return new Failure(2, `${detail} (request ${request_id})`);
  const lines = errors === undefined ? [detail] : errors.map(({ param, detail: what }) => `${param}: ${what}`);
  return new Failure(
    1,
    lines.length === 1 ? `${code}: ${lines[0] ?? ''}` : `${code}:\n${lines.map((line) => `  ${line}`).join('\n')}`,
  );
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
const Problem = z.object({
  code: z.string(),
  detail: z.string(),
  request_id: z.string(),
  errors: z.array(z.object({ param: z.string(), detail: z.string() })).optional(),
});
