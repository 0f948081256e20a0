import { createHmac, randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { encoded, seconds } from '../support/jws.js';
import type { Client } from '../support/world.js';
import type { Reply } from '../support/writ.js';

export { encoded, jws as forge, seconds, signature } from '../support/jws.js';

/** A token whose "signature" is an HMAC by this secret (JW-02). */
export function forgeHmac(secret: string | Buffer, header: unknown, payload: unknown): string {
  const input = `${encoded(header)}.${encoded(payload)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

/** The claims of a sound client assertion. */
export const assertionClaims = (issuer: string, { id }: Client): Record<string, unknown> => ({
  iss: id,
  sub: id,
  aud: issuer,
  jti: randomUUID(),
  iat: seconds(),
  exp: seconds() + 60,
});

/** Of ES256: the other signature that verifies for the same bytes (r, n - s). */
export function otherSignature(token: string): string {
  const [header = '', payload = '', tail = ''] = token.split('.');
  const bytes = Buffer.from(tail, 'base64url');
  const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const s = n - BigInt(`0x${bytes.subarray(32).toString('hex')}`);
  const other = Buffer.concat([bytes.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]);
  return `${header}.${payload}.${other.toString('base64url')}`;
}

/** JSON this many objects deep. */
export const nested = (depth: number, inner = '1', name = 'a'): string =>
  `${`{"${name}":`.repeat(depth)}${inner}${'}'.repeat(depth)}`;

/** HTTP as fetch would not send it: headers as a list, repeated and with any bytes of Latin-1. */
export function raw(
  url: string,
  options: Readonly<{ method?: string; headers?: readonly string[]; body?: string }>,
): Promise<Reply> {
  const { method = 'POST', headers = [], body = '' } = options;
  const { hostname, port, pathname, search } = new URL(url);
  const all = ['Host', `${hostname}:${port}`, 'Content-Length', String(Buffer.byteLength(body)), ...headers];
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { hostname, port, path: pathname + search, method, headers: all, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const pairs = Object.entries(response.headersDistinct).flatMap(([name, values]) =>
            (values ?? []).map((value): [string, string] => [name, value]),
          );
          resolve({ status: response.statusCode ?? 0, headers: new Headers(pairs), text, body: parsed(text) });
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
