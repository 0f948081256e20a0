import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { EmbeddedJWK, jwtVerify } from 'jose';
import {
  clientAssertion,
  dpopProof,
  importClientKey,
  PrivateJwk,
  sha256,
  verifyProof,
} from '../../src/protocol/index.js';

const jwkOf = (key: KeyObject, more: object = {}) => PrivateJwk.parse({ ...key.export({ format: 'jwk' }), ...more });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const now = Math.floor(Date.now() / 1000);

function imported(jwk: PrivateJwk) {
  const key = importClientKey(jwk);
  if (!key.ok) throw new Error(key.error);
  return key.value;
}

describe('what a client signs is verified by jose', () => {
  it.each([
    ['ES256', ec, {}],
    ['EdDSA', ed, {}],
    ['RS256', rsa, {}],
    ['PS256', rsa, { alg: 'PS256' }],
  ] as const)('with %s', async (alg, { privateKey, publicKey }, more) => {
    const key = imported(jwkOf(privateKey, { kid: 'c1', ...more }));
    const assertion = clientAssertion(key, { clientId: 'agt_a', issuer: 'https://writ.example', now });
    const { payload, protectedHeader } = await jwtVerify(assertion, publicKey, {
      audience: 'https://writ.example',
      issuer: 'agt_a',
      subject: 'agt_a',
    });
    expect(protectedHeader).toEqual({ alg, kid: 'c1', typ: 'client-authentication+jwt' });
    expect(payload).toEqual({
      iss: 'agt_a',
      sub: 'agt_a',
      aud: 'https://writ.example',
      jti: expect.any(String) as unknown,
      iat: now,
      exp: now + 60,
    });

    const proof = dpopProof(key, {
      method: 'POST',
      url: 'https://mcp.example/files?x=1',
      now,
      accessToken: 'token',
      nonce: 'n',
    });
    const verified = await jwtVerify(proof, EmbeddedJWK, { typ: 'dpop+jwt' });
    expect(verified.payload).toMatchObject({
      htm: 'POST',
      htu: 'https://mcp.example/files',
      ath: sha256('token'),
      nonce: 'n',
    });
    expect(Object.keys(verified.protectedHeader.jwk ?? {})).not.toContain('d');
    expect(verifyProof(proof, { method: 'POST', uri: 'https://mcp.example/files', now, accessToken: 'token' }).ok).toBe(
      true,
    );
  });
});

describe('importClientKey', () => {
  it.each([
    [
      'a curve that we do not use',
      jwkOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey),
      'unsupported_key',
    ],
    ['an algorithm that is not of this key', jwkOf(ec.privateKey, { alg: 'RS256' }), 'unsupported_key'],
    ['an algorithm that nobody has', jwkOf(ec.privateKey, { alg: 'HS256' }), 'malformed_key'],
    ['a short RSA key', jwkOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey), 'weak_key'],
    ['no key at all', PrivateJwk.parse({ kty: 'EC', d: 'x' }), 'malformed_key'],
  ])('refuses %s', (_, jwk, error) => {
    expect(importClientKey(jwk)).toEqual({ ok: false, error });
  });
});
