import {
  createDecipheriv,
  createECDH,
  createHmac,
  createPublicKey,
  type ECDH,
  hkdfSync,
  randomBytes,
  verify,
} from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { close, listen } from './company.js';

export type Received = Readonly<{ path: string; headers: IncomingMessage['headers']; body: Buffer }>;

/** What takes messages on loopback: a push service (RFC 8030), or the program of a webhook. It answers what a test says. */
export class Receiver {
  readonly received: Received[] = [];
  status = 201;
  /** Nothing is answered there. */
  silentAt: string | undefined;
  answersAfterMs = 0;
  readonly #server: Server;
  readonly url: string;

  private constructor(server: Server, url: string) {
    [this.#server, this.url] = [server, url];
  }

  static async start(): Promise<Receiver> {
    const server = createServer();
    const receiver = new Receiver(server, await listen(server));
    server.on('request', (request: IncomingMessage, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        receiver.received.push({ path: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks) });
        if (request.url === receiver.silentAt) return;
        setTimeout(() => {
          response.statusCode = receiver.status;
          response.end();
        }, receiver.answersAfterMs);
      });
    });
    return receiver;
  }

  stop(): Promise<void> {
    return close(this.#server);
  }
}

/** A browser's end of a subscription: it alone reads what comes (RFC 8291). */
export class Subscriber {
  readonly #ecdh: ECDH = createECDH('prime256v1');
  readonly #auth = randomBytes(16);

  constructor() {
    this.#ecdh.generateKeys();
  }

  /** What `PushManager.subscribe` answers. */
  subscription(endpoint: string): string {
    const keys = { p256dh: this.#ecdh.getPublicKey('base64url'), auth: this.#auth.toString('base64url') };
    return JSON.stringify({ endpoint, expirationTime: null, keys });
  }

  /** RFC 8188 section 2 and RFC 8291 section 3.4, one record. */
  read(body: Buffer): unknown {
    const [salt, length] = [body.subarray(0, 16), body.readUInt8(20)];
    const sender = body.subarray(21, 21 + length);
    const cipher = body.subarray(21 + length);
    const info = Buffer.concat([Buffer.from('WebPush: info\0'), this.#ecdh.getPublicKey(), sender]);
    const ikm = Buffer.from(hkdfSync('sha256', this.#ecdh.computeSecret(sender), this.#auth, info, 32));
    const prk = createHmac('sha256', salt).update(ikm).digest();
    const expand = (name: string, size: number): Buffer =>
      createHmac('sha256', prk).update(`Content-Encoding: ${name}\0\u0001`).digest().subarray(0, size);
    const decipher = createDecipheriv('aes-128-gcm', expand('aes128gcm', 16), expand('nonce', 12));
    decipher.setAuthTag(cipher.subarray(-16));
    const plain = Buffer.concat([decipher.update(cipher.subarray(0, -16)), decipher.final()]);
    return JSON.parse(plain.subarray(0, plain.lastIndexOf(2)).toString('utf8'));
  }
}

/** RFC 8292 section 2 and 3: who sends, as a push service checks it; the claims, or nothing where it does not hold. */
export function vapidClaims(authorization: string | undefined): Record<string, unknown> | undefined {
  const [, token = '', key = ''] = /^vapid t=([\w.-]+), ?k=([\w-]+)$/.exec(authorization ?? '') ?? [];
  const [header = '', payload = '', signature = ''] = token.split('.');
  const point = Buffer.from(key, 'base64url');
  const [x, y] = [point.subarray(1, 33).toString('base64url'), point.subarray(33).toString('base64url')];
  const publicKey = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
  const holds = verify(
    'sha256',
    Buffer.from(`${header}.${payload}`),
    { key: publicKey, dsaEncoding: 'ieee-p1363' },
    Buffer.from(signature, 'base64url'),
  );
  return holds
    ? (JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Record<string, unknown>)
    : undefined;
}
