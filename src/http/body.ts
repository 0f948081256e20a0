import { isUtf8 } from 'node:buffer';
import { err, ok, type Result } from '../base/index.js';
import type { HttpContext } from './context.js';

export type BodyFlaw = 'too_large' | 'aborted' | 'not_utf8' | 'encoded';

/** What reading a body takes of a request. */
export type BodyContext = Pick<HttpContext, 'get' | 'set' | 'req'>;

/**
 * The text of a request's body, at most `limit` bytes of it; a larger one is refused before it is read to the end and
 * its connection is closed. Says nothing about the content type.
 */
export async function readText(ctx: BodyContext, limit: number): Promise<Result<string, BodyFlaw>> {
  // A compressed body could be any size, so none is accepted.
  if (!['', 'identity'].includes(ctx.get('Content-Encoding').toLowerCase())) return err('encoded');
  const bytes = Number(ctx.get('Content-Length') || 0) > limit ? err('too_large' as const) : await collect(ctx, limit);
  if (!bytes.ok) {
    ctx.set('Connection', 'close');
    return bytes;
  }
  return isUtf8(bytes.value) ? ok(bytes.value.toString('utf8')) : err('not_utf8');
}

async function collect(ctx: BodyContext, limit: number): Promise<Result<Buffer, 'too_large' | 'aborted'>> {
  // Who hung up before is heard of no more.
  if (ctx.req.destroyed) return err('aborted');
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const { req } = ctx;
    const take = (chunk: Buffer): void => {
      size += chunk.length;
      if (size <= limit) {
        chunks.push(chunk);
        return;
      }
      req.pause().off('data', take);
      resolve(err('too_large'));
    };
    // Every request closes, ended or not; the first word counts.
    req.on('data', take);
    req.once('end', () => {
      const [only, ...more] = chunks;
      resolve(ok(only !== undefined && more.length === 0 ? only : Buffer.concat(chunks)));
    });
    req.once('close', () => {
      resolve(err('aborted'));
    });
  });
}
