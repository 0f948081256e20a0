import { z } from 'zod';
import { parseObject } from '../protocol/index.js';
import type { LogSource } from '../sdk/auditor/index.js';
import { HASH_BYTES, TILE_WIDTH } from '../tlog/index.js';
import { Failure } from './io.js';

/** The most that an answer of each kind can have; whoever answers with more is not a log. */
const LONGEST = {
  checkpoint: 256 * 1024,
  tile: TILE_WIDTH * HASH_BYTES,
  entries: TILE_WIDTH * (2 + 0xffff),
  /** A header, and the entries of one tile in base64. */
  bundle: 40 * 1024 * 1024,
} as const;

/** A log by its URL. The token goes to the entries only: everything else of a log is public. */
export async function logAt(url: URL, token: string | undefined): Promise<LogSource> {
  const prefix = url.href.replace(/\/$/, '');
  return {
    hasEntries: token !== undefined,
    // Keys are followed by entries alone.
    earlier: token === undefined ? [] : await earlierOf(prefix, token),
    contents: (start, end) => contentsOf(`${prefix}/bundle?from=${start}&to=${end}`, token),
    read: async (path) => {
      const isOfEntries = path.startsWith('tile/entries/');
      const response = await ask(`${prefix}/${path}`, isOfEntries ? token : undefined);
      if (response.status === 404 || response.status === 410) return undefined;
      // What lacks an entry is not served: which one, the entries say one by one.
      if (response.status === 503 && isOfEntries) return undefined;
      if (!response.ok) throw new Failure(2, `${prefix}/${path} answered ${response.status}`);
      const longest = isOfEntries ? LONGEST.entries : path === 'checkpoint' ? LONGEST.checkpoint : LONGEST.tile;
      return bytesOf(response, longest);
    },
  };
}

/** The answer as it comes. */
export async function bodyOf(url: URL, token: string | undefined): Promise<AsyncIterable<Uint8Array>> {
  const response = await ask(url, token);
  if (!response.ok || response.body === null) throw new Failure(2, `${url.href} answered ${response.status}`);
  return response.body;
}

const ask = (url: URL | string, token: string | undefined): Promise<Response> =>
  fetch(url, {
    redirect: 'error',
    signal: AbortSignal.timeout(600_000),
    headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
  });

async function bytesOf(response: Response, longest: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const body: AsyncIterable<Uint8Array> | null = response.body;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > longest) throw new Failure(2, `${response.url} answers with more than ${longest} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function linesOf(url: string, token: string | undefined): Promise<readonly ReturnType<typeof parseObject>[]> {
  const response = await ask(url, token);
  if (!response.ok) throw new Failure(2, `${url} answered ${response.status}`);
  const text = (await bytesOf(response, LONGEST.bundle)).toString('utf8');
  return text.trimEnd().split('\n').map(parseObject);
}

const Header = z.object({ earlier: z.array(z.object({ checkpoint: z.string().optional() })) });

/** The checkpoints in which the log's keys changed, as any bundle has them. Nothing of them is believed by that. */
async function earlierOf(prefix: string, token: string): Promise<readonly string[]> {
  const [line] = await linesOf(`${prefix}/bundle?from=0&to=0`, token);
  const header = line?.ok === true ? Header.safeParse(line.value) : undefined;
  return (header?.data?.earlier ?? []).flatMap(({ checkpoint }) => checkpoint ?? []);
}

/** Entries one by one, as a bundle has them. Nothing but the leaves is taken from it: their hashes are proved by the tiles. */
async function contentsOf(
  bundle: string,
  token: string | undefined,
): Promise<ReadonlyMap<number, Uint8Array | 'pruned' | 'lost'>> {
  return new Map(
    (await linesOf(bundle, token)).flatMap((line): [number, Uint8Array | 'pruned' | 'lost'][] => {
      const { index, leaf, pruned } = line.ok ? line.value : {};
      if (typeof index !== 'number') return [];
      if (typeof leaf === 'string') return [[index, Buffer.from(leaf, 'base64url')]];
      return [[index, pruned === true ? 'pruned' : 'lost']];
    }),
  );
}
