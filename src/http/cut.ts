import type { Context } from 'koa';

/**
 * Whether something thrown is only that the client ended its connection, or had it ended for being slow. Anybody can do
 * that as often as they like, so it is counted (as `cut`, among the requests) and is no fault to be told of (RL-04).
 */
export function isCutOff(thrown: unknown, { req, res }: Pick<Context, 'req' | 'res'>): boolean {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return false;
  return isOfClient(thrown.code) && (req.socket.destroyed || req.destroyed || res.destroyed);
}

/** The system's, the streams', and those of the parser, for a request that breaks off in its middle. */
const isOfClient = (code: unknown): boolean => CODES.has(code) || (typeof code === 'string' && code.startsWith('HPE_'));

const CODES: ReadonlySet<unknown> = new Set(['ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE']);
