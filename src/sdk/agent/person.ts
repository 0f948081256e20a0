import { isObject, parseJws } from '../../protocol/index.js';

/** Of a token that nobody verified: good for telling two apart, and for nothing else. */
export function personOf(token: string): string | undefined {
  const jws = parseJws(token);
  if (!jws.ok || !isObject(jws.value.payload)) return undefined;
  const { iss, sub } = jws.value.payload;
  return typeof iss === 'string' && typeof sub === 'string' ? JSON.stringify([iss, sub]) : undefined;
}
