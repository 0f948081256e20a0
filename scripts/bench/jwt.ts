import { sign } from 'node:crypto';
import type { ClientKey } from '../../src/protocol/index.js';

/** RFC 7515 section 3.1 by ES256, as fast as Node.js can. */
export function signJwt({ key, kid }: Pick<ClientKey, 'key' | 'kid'>, header: object, claims: object): string {
  const input = `${part({ alg: 'ES256', kid, ...header })}.${part(claims)}`;
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
