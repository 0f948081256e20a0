import { calculateJwkThumbprint, SignJWT } from 'jose';
import { describe, expect, it } from '@jest/globals';
import { isAssertionType, replayKey, verifyAssertion } from '../../src/client/assertion.js';
import { importKey, parseJws, sha256 } from '../../src/protocol/index.js';
import { ISS, NOW } from '../support/delegations.js';
import { makeKey } from '../support/writ.js';

const mine = makeKey('k1');
const other = makeKey('k1');
const keyOf = ({ jwk }: typeof mine) => {
  const key = importKey(jwk);
  if (!key.ok) throw new Error(key.error);
  return key.value;
};
type Broken = Readonly<{ claims?: Record<string, unknown>; header?: Record<string, unknown>; by?: typeof mine }>;

async function judged({ claims, header, by = mine }: Broken = {}) {
  const text = await new SignJWT({
    iss: 'agt_a',
    sub: 'agt_a',
    aud: ISS,
    jti: 'j1',
    iat: NOW,
    exp: NOW + 60,
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1', ...header })
    .sign(by.privateKey);
  const jws = parseJws(text);
  if (!jws.ok) throw new Error(jws.error);
  return verifyAssertion(jws.value, { clientId: 'agt_a', issuer: ISS, now: NOW, skew: 30, keys: [keyOf(mine)] });
}

describe('RFC 7523 section 3 with RFC 10070', () => {
  it.each<[string, Broken]>([
    ['nothing special', {}],
    ['its own type', { header: { typ: 'client-authentication+jwt' } }],
    ['the type in another case with its prefix', { header: { typ: 'application/Client-Authentication+JWT' } }],
    ['the type JWT', { header: { typ: 'JWT' } }],
    ['no key id', { header: { kid: undefined } }],
    ['the audience in a list of one', { claims: { aud: [ISS] } }],
    ['five minutes to live', { claims: { exp: NOW + 300 } }],
    ['an end within the skew', { claims: { iat: NOW - 60, exp: NOW - 29 } }],
    ['a start within the skew', { claims: { iat: NOW + 30, exp: NOW + 60, nbf: NOW + 30 } }],
    ['claims that nobody knows', { claims: { extra: true } }],
  ])('an assertion with %s is accepted', async (_, broken) => {
    expect(await judged(broken)).toMatchObject({ ok: true, value: { keyId: 'k1' } });
  });

  it.each<[string, Broken, string]>([
    ['an access token', { header: { typ: 'at+jwt' } }, 'assertion_wrong_type'],
    ['a transaction token', { header: { typ: 'txntoken+jwt' } }, 'assertion_wrong_type'],
    ['a DPoP proof', { header: { typ: 'dpop+jwt' } }, 'assertion_wrong_type'],
    ['a logout token', { header: { typ: 'logout+jwt' } }, 'assertion_wrong_type'],
    ['signed by another key', { by: other }, 'assertion_wrong_signature'],
    ['of a key id that is not registered', { header: { kid: 'k2' } }, 'assertion_wrong_signature'],
    ['of another issuer', { claims: { iss: 'agt_b' } }, 'assertion_wrong_subject'],
    ['of another subject', { claims: { sub: 'agt_b' } }, 'assertion_wrong_subject'],
    ['for the token endpoint', { claims: { aud: `${ISS}/token` } }, 'assertion_wrong_audience'],
    ['for the issuer with a slash', { claims: { aud: `${ISS}/` } }, 'assertion_wrong_audience'],
    ['for an empty audience', { claims: { aud: '' } }, 'assertion_wrong_audience'],
    ['for two audiences', { claims: { aud: [ISS, 'https://other.example'] } }, 'assertion_malformed'],
    ['for no audience', { claims: { aud: undefined } }, 'assertion_malformed'],
    ['for an empty list', { claims: { aud: [] } }, 'assertion_malformed'],
    ['without jti', { claims: { jti: undefined } }, 'assertion_malformed'],
    ['with an empty jti', { claims: { jti: '' } }, 'assertion_malformed'],
    ['with a jti of a kilobyte', { claims: { jti: 'x'.repeat(1_024) } }, 'assertion_malformed'],
    ['without exp', { claims: { exp: undefined } }, 'assertion_malformed'],
    ['without iat', { claims: { iat: undefined } }, 'assertion_malformed'],
    ['with part of a second', { claims: { exp: NOW + 1.5 } }, 'assertion_malformed'],
    ['that ended', { claims: { iat: NOW - 60, exp: NOW - 30 } }, 'assertion_expired'],
    ['of the future', { claims: { iat: NOW + 31, exp: NOW + 60 } }, 'assertion_expired'],
    ['not valid yet', { claims: { nbf: NOW + 31 } }, 'assertion_expired'],
    ['that lives longer than five minutes', { claims: { exp: NOW + 301 } }, 'assertion_too_long_lived'],
    ['that lives ten years', { claims: { exp: NOW + 315_360_000 } }, 'assertion_too_long_lived'],
    ['made long ago to be used now', { claims: { iat: NOW - 400, exp: NOW + 60 } }, 'assertion_too_long_lived'],
  ])('an assertion %s is refused', async (_, broken, reason) => {
    expect(await judged(broken)).toEqual({ ok: false, error: reason });
  });

  it('is to be remembered for as long as it could be presented', async () => {
    expect(await judged()).toEqual({
      ok: true,
      value: {
        replayKey: sha256('agt_a\nj1'),
        expiresAt: NOW + 60 + 30,
        keyId: 'k1',
        keyThumbprint: await calculateJwkThumbprint(mine.jwk),
      },
    });
  });

  it('is remembered by client and jti, hashed', () => {
    expect(replayKey('agt_a', 'j1')).not.toBe(replayKey('agt_b', 'j1'));
    expect(replayKey('agt_a', 'j1')).not.toContain('j1');
  });

  it.each(['at+jwt', 'txnat+jwt', 'txntoken+jwt', 'dpop+jwt', 'secevent+jwt', '', 'jwt '])('type %j is none', (typ) => {
    expect(isAssertionType(typ)).toBe(false);
  });
});
