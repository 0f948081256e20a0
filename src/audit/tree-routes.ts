import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Context } from 'koa';
import { Fault } from '../base/index.js';
import { answerProblem, fieldProblem, plainProblem, readQuery, type Route } from '../http/index.js';
import {
  consistencyProof,
  entryBundle,
  fromBase64url,
  HASH_BYTES,
  inclusionProof,
  parseTilePath,
  rememberRoots,
  type RootMaker,
  TILE_WIDTH,
  type TilePath,
} from '../tlog/index.js';
import { originOf } from './log-signer.js';
import { auditRoute, type ReadingDeps } from './reading.js';
import type { TreeReader } from './tree-ports.js';

/** Everything that anybody may read of the tree (C2SP tlog-tiles), and the entry bundles, for auditors. */
export function treeRoutes(tree: TreeReader, issuer: string, deps: ReadingDeps): readonly Route[] {
  const at = (path: string): string => `${deps.mount}/audit/v1${path}`;
  const open = (path: string, answer: (ctx: Context) => Promise<void>): Route => ({
    method: 'GET',
    path: at(path),
    handle: async (ctx) => {
      ctx.set('Access-Control-Allow-Origin', '*');
      await answer(ctx);
    },
  });
  const prefix = at('/');
  const rootOf = rememberRoots();
  return [
    open('/checkpoint', (ctx) => sendCheckpoint(ctx, tree)),
    open('/keys', (ctx) => sendKeys(ctx, tree, originOf(issuer))),
    open('/proof/inclusion', (ctx) => sendInclusion(ctx, tree, rootOf)),
    open('/proof/consistency', (ctx) => sendConsistency(ctx, tree, rootOf)),
    // Before the tiles, whose level is any one segment.
    ...TILE_DEPTHS.map((depth) =>
      auditRoute(
        {
          path: `/audit/v1/tile/entries${depth}`,
          what: 'entries',
          query: z.strictObject({}),
          answer: (ctx) => sendEntries(ctx, tree, ctx.path.slice(prefix.length)),
        },
        deps,
      ),
    ),
    ...TILE_DEPTHS.map((depth) =>
      open(`/tile/:level${depth}`, (ctx) => sendTile(ctx, tree, ctx.path.slice(prefix.length))),
    ),
  ];
}

/** An index is written in groups of three digits, each a segment, and a partial tile has its width behind it. */
const TILE_DEPTHS = Array.from({ length: 6 }, (_, n) => Array.from({ length: n + 1 }, (_one, i) => `/:n${i}`).join(''));

async function sendCheckpoint(ctx: Context, tree: TreeReader): Promise<void> {
  const checkpoint = await tree.latest();
  if (checkpoint === undefined) answerProblem(ctx, plainProblem('not_found', 'There is no checkpoint yet'));
  else send(ctx, Buffer.from(checkpoint.note, 'utf8'), { type: 'text/plain; charset=utf-8', cache: 'no-cache' });
}

async function sendKeys(ctx: Context, tree: TreeReader, origin: string): Promise<void> {
  const keys = (await tree.verifierKeys()).map(({ vkey, fromSize, leafHash }) => ({
    vkey,
    from_size: fromSize,
    leaf: leafHash === undefined ? null : leafHash.toString('base64url'),
  }));
  const body = Buffer.from(JSON.stringify({ origin, keys }), 'utf8');
  send(ctx, body, { type: 'application/json', cache: 'public, max-age=60' });
}

/** A full tile never changes, nor does what a narrower one has of it. */
const FOREVER = 'public, max-age=31536000, immutable';

async function sendTile(ctx: Context, tree: TreeReader, path: string): Promise<void> {
  const asked = tilePathOf(ctx, path);
  if (asked?.of !== 'hashes') {
    answerProblem(ctx, plainProblem('not_found'));
    return;
  }
  const hashes = await tree.tile(asked.level, asked.index);
  const length = asked.width * HASH_BYTES;
  if (hashes === undefined || hashes.length < length) answerProblem(ctx, plainProblem('not_found'));
  else send(ctx, hashes.subarray(0, length), { type: 'application/octet-stream', cache: FOREVER });
}

async function sendEntries(ctx: Context, tree: TreeReader, path: string): Promise<void> {
  const asked = tilePathOf(ctx, path);
  if (asked?.of !== 'entries') {
    answerProblem(ctx, plainProblem('not_found'));
    return;
  }
  const start = asked.index * TILE_WIDTH;
  const entries = await tree.entries({ start, end: start + asked.width, limit: asked.width });
  const lost = entries.find(({ leaf, isPruned }) => leaf === undefined && !isPruned);
  if (lost) throw new Fault('log_inconsistent', `the entry ${lost.index} of the log has lost its leaf`);
  const leaves = entries.flatMap(({ leaf }) => (leaf === undefined ? [] : [leaf]));
  const bundle = entryBundle(leaves);
  if (entries.length < asked.width || !bundle.ok) answerProblem(ctx, plainProblem('not_found'));
  else if (leaves.length < asked.width)
    answerProblem(ctx, plainProblem('not_found', 'Retention removed the content of these entries; their hashes stay'));
  else send(ctx, bundle.value, { type: 'application/octet-stream', cache: 'no-store' });
}

/** One path for each tile: whatever is written in another way is not there. */
function tilePathOf(ctx: Context, path: string): TilePath | undefined {
  const parsed = ctx.querystring === '' ? parseTilePath(path) : undefined;
  return parsed?.ok === true ? parsed.value : undefined;
}

const Size = z
  .string()
  .regex(/^(0|[1-9]\d{0,14})$/, { error: 'must be a whole number' })
  .transform(Number);

const InclusionQuery = z
  .strictObject({
    leaf: z
      .string()
      .refine((text) => fromBase64url(text)?.length === HASH_BYTES, { error: 'must be a leaf hash in base64url' })
      .optional(),
    index: Size.optional(),
    size: Size.optional(),
  })
  .refine(({ leaf, index }) => (leaf === undefined) !== (index === undefined), {
    error: 'give exactly one of leaf and index',
    path: ['leaf'],
  });

/** RFC 6962 section 2.1.1, by the leaf hash that a token carries, or by index. */
async function sendInclusion(ctx: Context, tree: TreeReader, rootOf: RootMaker): Promise<void> {
  const query = readQuery(InclusionQuery, ctx.querystring);
  if (!query.ok) {
    answerProblem(ctx, query.error);
    return;
  }
  const { leaf, index: at, size: wanted } = query.value;
  const [latest, index] = await Promise.all([
    tree.latest(),
    leaf === undefined ? at : tree.indexOf(Buffer.from(leaf, 'base64url')),
  ]);
  const size = wanted ?? latest?.size ?? 0;
  if (latest === undefined || index === undefined || index >= size || size > latest.size) {
    answerProblem(ctx, plainProblem('not_found', 'It is not in the tree, or not yet'));
    return;
  }
  const proof = await inclusionProof(index, size, tree.tiles, rootOf);
  if (!proof.ok) answerProblem(ctx, plainProblem('not_found'));
  else sendProof(ctx, { index, size }, { proof: proof.value, checkpoint: size === latest.size ? latest.note : null });
}

const ConsistencyQuery = z.strictObject({ from: Size, to: Size.optional() });

/** RFC 6962 section 2.1.2. */
async function sendConsistency(ctx: Context, tree: TreeReader, rootOf: RootMaker): Promise<void> {
  const query = readQuery(ConsistencyQuery, ctx.querystring);
  if (!query.ok) {
    answerProblem(ctx, query.error);
    return;
  }
  const latest = await tree.latest();
  const { from, to = latest?.size ?? 0 } = query.value;
  if (latest === undefined || to > latest.size) {
    answerProblem(ctx, plainProblem('not_found', 'The tree is not of that size yet'));
    return;
  }
  const proof = await consistencyProof(from, to, tree.tiles, rootOf);
  if (!proof.ok) answerProblem(ctx, fieldProblem([{ param: 'from', detail: 'must not be above to' }]));
  else sendProof(ctx, { from, to }, { proof: proof.value, checkpoint: to === latest.size ? latest.note : null });
}

type Proof = Readonly<{ proof: readonly Buffer[]; checkpoint: string | null }>;

function sendProof(ctx: Context, about: object, { proof, checkpoint }: Proof): void {
  ctx.set('Cache-Control', 'no-cache');
  ctx.body = JSON.stringify({ ...about, proof: proof.map((hash) => hash.toString('base64url')), checkpoint });
  ctx.type = 'application/json';
}

type Sending = Readonly<{ type: string; cache: string }>;

/** RFC 9110 section 13.1.2: whoever has it already gets 304. */
function send(ctx: Context, body: Buffer, { type, cache }: Sending): void {
  ctx.set('Cache-Control', cache);
  ctx.status = 200;
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  ctx.set('ETag', etag);
  const known = ctx.get('If-None-Match').split(',');
  if (known.some((one) => one.trim().replace(/^W\//, '') === etag)) {
    ctx.status = 304;
    return;
  }
  ctx.body = body;
  ctx.set('Content-Type', type);
}
