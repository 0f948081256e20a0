import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** What one ceremony does otherwise than it should. */
export type Misdeed = Readonly<{
  origin?: string;
  rpId?: string;
  challenge?: string;
  type?: string;
  crossOrigin?: boolean;
  isPresent?: boolean;
  isVerified?: boolean;
  counter?: number;
  userHandle?: string;
  credentialId?: string;
  key?: KeyObject;
}>;

type Options = Readonly<{ challenge: string; rpId?: string; rp?: { id: string }; user?: { id: string } }>;

/** A passkey and the browser around it, without a screen: WebAuthn level 3 by a software key, ES256, attestation none. */
export class Authenticator {
  readonly id: string = randomBytes(32).toString('base64url');
  readonly #key: KeyObject;
  readonly #point: Readonly<{ x: string; y: string }>;
  readonly #counts: boolean;
  readonly #mayBeCopied: boolean;
  #counter = 0;
  #user = '';

  constructor({ counts = false, mayBeCopied = false }: Readonly<{ counts?: boolean; mayBeCopied?: boolean }> = {}) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
    this.#key = privateKey;
    this.#point = { x, y };
    this.#counts = counts;
    this.#mayBeCopied = mayBeCopied;
  }

  /** The answer to `navigator.credentials.create`, as the page sends it. */
  create(origin: string, options: Options, misdeed: Misdeed = {}): string {
    this.#user = options.user?.id ?? '';
    const data = this.#data(options.rp?.id ?? '', misdeed, true);
    const attestation = Buffer.concat([
      Buffer.from('a363666d74646e6f6e656761747453746d74a068617574684461746159', 'hex'),
      Buffer.from([data.length >> 8, data.length & 255]),
      data,
    ]);
    return this.#answer(
      {
        clientDataJSON: clientData('webauthn.create', origin, options, misdeed).toString('base64url'),
        attestationObject: attestation.toString('base64url'),
        transports: ['internal'],
      },
      misdeed,
    );
  }

  /** The answer to `navigator.credentials.get`. */
  get(origin: string, options: Options, misdeed: Misdeed = {}): string {
    const client = clientData('webauthn.get', origin, options, misdeed);
    const data = this.#data(options.rpId ?? '', misdeed, false);
    const signed = Buffer.concat([data, createHash('sha256').update(client).digest()]);
    return this.#answer(
      {
        clientDataJSON: client.toString('base64url'),
        authenticatorData: data.toString('base64url'),
        signature: sign('sha256', signed, misdeed.key ?? this.#key).toString('base64url'),
        userHandle: misdeed.userHandle ?? this.#user,
      },
      misdeed,
    );
  }

  #answer(response: object, { credentialId = this.id }: Misdeed): string {
    return JSON.stringify({
      id: credentialId,
      rawId: credentialId,
      type: 'public-key',
      clientExtensionResults: {},
      response,
    });
  }

  #data(rpId: string, misdeed: Misdeed, isNew: boolean): Buffer {
    const { isPresent = true, isVerified = true } = misdeed;
    if (this.#counts) this.#counter += 1;
    const flags = (isPresent ? 1 : 0) | (isVerified ? 4 : 0) | (this.#mayBeCopied ? 0x18 : 0) | (isNew ? 0x40 : 0);
    const head = Buffer.alloc(5);
    head.writeUInt8(flags, 0);
    head.writeUInt32BE(misdeed.counter ?? this.#counter, 1);
    const hash = createHash('sha256')
      .update(misdeed.rpId ?? rpId)
      .digest();
    return Buffer.concat([hash, head, isNew ? this.#credential() : Buffer.alloc(0)]);
  }

  #credential(): Buffer {
    const id = Buffer.from(this.id, 'base64url');
    const hex = (text: string): Buffer => Buffer.from(text, 'hex');
    const [x, y] = [Buffer.from(this.#point.x, 'base64url'), Buffer.from(this.#point.y, 'base64url')];
    const key = Buffer.concat([hex('a5010203262001215820'), x, hex('225820'), y]);
    return Buffer.concat([Buffer.alloc(16), Buffer.from([id.length >> 8, id.length & 255]), id, key]);
  }
}

function clientData(type: string, origin: string, options: Options, misdeed: Misdeed): Buffer {
  const { challenge = options.challenge, crossOrigin = false } = misdeed;
  return Buffer.from(
    JSON.stringify({ type: misdeed.type ?? type, challenge, origin: misdeed.origin ?? origin, crossOrigin }),
  );
}

/** What a page of ours hands to the browser. */
export function passkeyOptions(page: string): Options {
  const [, text] = /data-passkey="([^"]*)"/.exec(page) ?? [];
  if (text === undefined) throw new Error(`no passkey is asked for: ${page}`);
  const asked = JSON.parse(text.replaceAll('&quot;', '"').replaceAll('&amp;', '&')) as { options: Options };
  return asked.options;
}
