import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import {
  candidates,
  importKey,
  Jwks,
  MAX_TOKEN_LENGTH,
  parseJws,
  PublicJwk,
  thumbprint,
  type VerificationKey,
  verifyProof,
  verifySignature,
} from '../../src/protocol/index.js';
import { vector } from '../support/vectors.js';

const es256 = vector(
  'jose/es256',
  z.object({ jwk: PublicJwk, jws: z.string(), payload: z.record(z.string(), z.unknown()) }),
);
const ed25519 = vector('jose/ed25519', z.object({ jwk: PublicJwk, jws: z.string(), thumbprint: z.string() }));
const rsa = vector('jose/thumbprint', z.object({ jwk: PublicJwk, thumbprint: z.string() }));
const Proof = z.object({
  method: z.string(),
  uri: z.string(),
  iat: z.number(),
  jti: z.string(),
  proof: z.string(),
  accessToken: z.string().optional(),
});
type Proof = z.infer<typeof Proof>;
const dpop = vector('jose/dpop', z.object({ thumbprint: z.string(), atTheTokenEndpoint: Proof, atTheResource: Proof }));

const keyOf = (jwk: PublicJwk): VerificationKey => {
  const key = importKey(PublicJwk.parse(jwk));
  if (!key.ok) throw new Error(key.error);
  return key.value;
};
const parsed = (token: string) => {
  const jws = parseJws(token);
  if (!jws.ok) throw new Error(jws.error);
  return jws.value;
};
const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** The same number with a zero before it. */
const longer = (number = ''): string =>
  Buffer.concat([Buffer.alloc(1), Buffer.from(number, 'base64url')]).toString('base64url');
/** The same bytes by another last character, whose last bits nobody reads. */
const respelled = (bytes = ''): string => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return bytes.slice(0, -1) + (alphabet[alphabet.indexOf(bytes.at(-1) ?? '') + 1] ?? '');
};

describe('published signatures', () => {
  it('RFC 7515 A.3: an ES256 signature verifies, and its payload is read', () => {
    const jws = parsed(es256.jws);
    expect(jws).toMatchObject({ alg: 'ES256', kid: undefined, typ: undefined, payload: es256.payload });
    expect(verifySignature(jws, keyOf(es256.jwk))).toBe(true);
    const payload = encode({ ...es256.payload, iss: 'ann' });
    expect(verifySignature({ ...jws, signingInput: `${encode({ alg: 'ES256' })}.${payload}` }, keyOf(es256.jwk))).toBe(
      false,
    );
  });

  it('RFC 8037 A.4, A.5: an Ed25519 signature verifies; its payload is no JSON object and so no token', () => {
    const [header = '', payload = '', signature = ''] = ed25519.jws.split('.');
    expect(parseJws(ed25519.jws)).toEqual({ ok: false, error: 'bad_json' });
    const jws = {
      ...parsed(`${header}.${encode({})}.${signature}`),
      signingInput: `${header}.${payload}`,
    };
    expect(verifySignature(jws, keyOf(ed25519.jwk))).toBe(true);
    expect(verifySignature({ ...jws, signingInput: `${header}.${encode({})}` }, keyOf(ed25519.jwk))).toBe(false);
  });

  it('a signature verifies by the algorithms of its key only, whatever its header says', () => {
    expect(verifySignature(parsed(es256.jws), keyOf(ed25519.jwk))).toBe(false);
    expect(verifySignature(parsed(es256.jws), { ...keyOf(es256.jwk), algs: [] })).toBe(false);
  });
});

describe('published thumbprints (RFC 7638)', () => {
  it('RFC 7638 section 3.1: of an RSA key, by its required members alone', () => {
    expect(thumbprint(PublicJwk.parse(rsa.jwk))).toBe(rsa.thumbprint);
  });
  it('RFC 8037 A.3: of an Ed25519 key', () => {
    expect(thumbprint(PublicJwk.parse(ed25519.jwk))).toBe(ed25519.thumbprint);
  });
});

describe('the published DPoP proofs (RFC 9449 sections 4.1, 6.1 and 7.1)', () => {
  const wanted = ({ method, uri, iat, accessToken }: Proof) => ({
    method,
    uri,
    now: iat,
    ...(accessToken === undefined ? {} : { accessToken }),
  });
  it.each([
    ['at the token endpoint', dpop.atTheTokenEndpoint],
    ['with a token at a resource', dpop.atTheResource],
  ])('verify %s, by the published thumbprint', (_, one) => {
    expect(verifyProof(one.proof, wanted(one))).toEqual({
      ok: true,
      value: { jkt: dpop.thumbprint, jti: one.jti, iat: one.iat },
    });
  });

  const { atTheTokenEndpoint: first, atTheResource: second } = dpop;
  it.each([
    ['another method', first.proof, { ...wanted(first), method: 'GET' }, 'wrong_method'],
    ['another path', first.proof, { ...wanted(first), uri: 'https://server.example.com/tokens' }, 'wrong_uri'],
    ['another host', first.proof, { ...wanted(first), uri: 'https://server.example.org/token' }, 'wrong_uri'],
    ['another scheme', first.proof, { ...wanted(first), uri: 'http://server.example.com/token' }, 'wrong_uri'],
    ['61 seconds later', first.proof, { ...wanted(first), now: first.iat + 61 }, 'stale'],
    ['61 seconds earlier', first.proof, { ...wanted(first), now: first.iat - 61 }, 'stale'],
    ['a token, though it has no ath', first.proof, { ...wanted(first), accessToken: 'x' }, 'wrong_token'],
    ['another token', second.proof, { ...wanted(second), accessToken: `${second.accessToken ?? ''}x` }, 'wrong_token'],
    ['a signature of its twin', swapped(first.proof, second.proof), wanted(first), 'bad_signature'],
    ['no proof at all', es256.jws, wanted(first), 'wrong_typ'],
  ])('are refused for %s', (_, proof, facts, flaw) => {
    expect(verifyProof(proof, facts)).toEqual({ ok: false, error: flaw });
  });

  it('compares addresses as RFC 3986 does: default port, letter case of the host and an empty query mean nothing', () => {
    for (const uri of ['https://server.example.com:443/token', 'HTTPS://Server.Example.COM/token', `${first.uri}?`]) {
      expect(verifyProof(first.proof, { ...wanted(first), uri }).ok).toBe(true);
    }
  });
});

function swapped(one: string, other: string): string {
  return [...one.split('.').slice(0, 2), other.split('.')[2] ?? ''].join('.');
}

describe('parseJws', () => {
  const header = encode({ alg: 'ES256' });
  const payload = encode({ iss: 'joe' });
  const signature = encode('s');
  it.each([
    ['nothing', '', 'not_compact'],
    ['two parts', `${header}.${payload}`, 'not_compact'],
    ['four parts', `${header}.${payload}.${signature}.x`, 'not_compact'],
    ['the five parts of an encrypted one', 'a.b.c.d.e', 'not_compact'],
    ['an unsigned one', `${header}.${payload}.`, 'bad_base64url'],
    ['padding', `${header}=.${payload}.${signature}`, 'bad_base64url'],
    ['the other alphabet', `${header}.${payload}.ab+/`, 'bad_base64url'],
    ['white space', `${header}.${payload} .${signature}`, 'bad_base64url'],
    ['a stray bit at the end', `${header}.${payload}.AB`, 'bad_base64url'],
    ['a header that is a list', `${encode([])}.${payload}.${signature}`, 'bad_json'],
    [
      'bytes that are not UTF-8',
      `${header}.${Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')}.${signature}`,
      'bad_json',
    ],
    ['alg twice', `${encode('{"alg":"none","alg":"ES256"}')}.${payload}.${signature}`, 'bad_json'],
    ['a claim twice', `${header}.${encode('{"sub":"a","sub":"b"}')}.${signature}`, 'bad_json'],
    ['33 levels', `${header}.${encode('{"a":'.repeat(33) + '1' + '}'.repeat(33))}.${signature}`, 'bad_json'],
    ['alg none', `${encode({ alg: 'none' })}.${payload}.${signature}`, 'bad_header'],
    ['alg HS256', `${encode({ alg: 'HS256' })}.${payload}.${signature}`, 'bad_header'],
    ['alg in another case', `${encode({ alg: 'es256' })}.${payload}.${signature}`, 'bad_header'],
    ['no alg', `${encode({})}.${payload}.${signature}`, 'bad_header'],
    ['a kid that is no text', `${encode({ alg: 'ES256', kid: 1 })}.${payload}.${signature}`, 'bad_header'],
    ['an empty kid', `${encode({ alg: 'ES256', kid: '' })}.${payload}.${signature}`, 'bad_header'],
    ['an empty crit', `${encode({ alg: 'ES256', crit: [] })}.${payload}.${signature}`, 'unknown_crit'],
    ['b64', `${encode({ alg: 'ES256', b64: true })}.${payload}.${signature}`, 'unknown_crit'],
    ['16 KB and one', 'a'.repeat(MAX_TOKEN_LENGTH + 1), 'too_long'],
  ])('refuses %s', (_, token, flaw) => {
    expect(parseJws(token)).toEqual({ ok: false, error: flaw });
  });

  it('RFC 7515 §4.1.9: reads typ in any case, with and without the media type prefix', () => {
    for (const typ of ['at+jwt', 'AT+JWT', 'application/at+jwt']) {
      expect(parsed(`${encode({ alg: 'ES256', typ })}.${payload}.${signature}`).typ).toBe('at+jwt');
    }
  });
});

describe('keys', () => {
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' });
  const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });
  it.each([
    ['of a curve that we do not use', p384, 'unsupported_key'],
    ['that is too short', short, 'weak_key'],
    ['whose point is on no curve', { ...es256.jwk, y: es256.jwk.x }, 'malformed_key'],
    ['that lacks a coordinate', { kty: 'EC', crv: 'P-256', x: es256.jwk.x }, 'misspelled_key'],
    ['RFC 7518 §6.2.1.2 with a padded coordinate', { ...es256.jwk, x: `${String(es256.jwk.x)}=` }, 'misspelled_key'],
    [
      'RFC 7518 §6.2.1.3 with a coordinate of too many bytes',
      { ...es256.jwk, y: longer(es256.jwk.y) },
      'misspelled_key',
    ],
    ['RFC 8037 §2 with bits that mean nothing', { ...ed25519.jwk, x: respelled(ed25519.jwk.x) }, 'misspelled_key'],
    [
      'RFC 7518 §6.3.1.1 with a modulus that begins with a zero',
      { ...rsa.jwk, n: longer(rsa.jwk.n) },
      'misspelled_key',
    ],
    ['RFC 7518 §6.3.1.2 with an exponent that begins with a zero', { ...rsa.jwk, e: 'AAEAAQ' }, 'misspelled_key'],
    ['without an exponent', { ...rsa.jwk, e: '' }, 'misspelled_key'],
    ['for an algorithm of another kind', { ...es256.jwk, alg: 'RS256' }, 'unsupported_key'],
  ])('%s are not imported', (_, jwk, flaw) => {
    expect(importKey(PublicJwk.parse(jwk))).toEqual({ ok: false, error: flaw });
  });

  it('with private members are no public keys, and a set holds at most 32', () => {
    expect(PublicJwk.safeParse({ ...es256.jwk, d: 'jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI' }).success).toBe(false);
    expect(PublicJwk.safeParse({ kty: 'oct', k: 'AQAB' }).success).toBe(false);
    expect(Jwks.safeParse({ keys: Array(32).fill(es256.jwk) }).success).toBe(true);
    expect(Jwks.safeParse({ keys: Array(33).fill(es256.jwk) }).success).toBe(false);
  });

  it('are chosen by kid when the token names one, and else all that fit', () => {
    const [a, b] = ['a', 'b'].map((kid) => keyOf({ ...es256.jwk, kid })) as [VerificationKey, VerificationKey];
    const other = keyOf({ ...rsa.jwk, kid: 'a' });
    const by = (members: object) => parsed(`${encode({ alg: 'ES256', ...members })}.${encode({})}.${encode('s')}`);
    expect(candidates(by({ kid: 'a' }), [a, b, other])).toEqual([a]);
    expect(candidates(by({}), [a, b, other])).toEqual([a, b]);
    expect(candidates(by({ kid: 'c' }), [a, b, other])).toEqual([]);
  });
});
