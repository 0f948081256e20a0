import { SignJWT } from 'jose';
import { describe, expect, it } from '@jest/globals';
import { rememberSignatures } from '../../src/exchange/remembered.js';
import { importKey } from '../../src/protocol/index.js';
import { type ClientKey, makeKey } from '../support/writ.js';

const keyOf = ({ jwk }: ClientKey) => {
  const key = importKey(jwk);
  if (!key.ok) throw new Error(key.error);
  return key.value;
};
const signed = (by: ClientKey, sub = 'a') =>
  new SignJWT({ sub }).setProtectedHeader({ alg: 'ES256' }).sign(by.privateKey);
function partsOf(token: string, remembered = rememberSignatures()) {
  const jws = remembered.parse(token);
  if (!jws.ok) throw new Error(jws.error);
  return jws.value;
}

describe('a remembered signature', () => {
  const [mine, other] = [makeKey('k'), makeKey('k')];

  it('is good for the same bytes, the same signature and the same key only', async () => {
    const remembered = rememberSignatures();
    const key = keyOf(mine);
    const jws = partsOf(await signed(mine), remembered);
    expect([remembered.verify(jws, key), remembered.verify(jws, key)]).toEqual([true, true]);
    expect(remembered.verify({ ...jws, signingInput: `${jws.signingInput}A` }, key)).toBe(false);
    expect(remembered.verify({ ...jws, signature: partsOf(await signed(mine, 'b')).signature }, key)).toBe(false);
    expect(remembered.verify(jws, keyOf(other))).toBe(false);
    expect(remembered.verify(jws, { ...key, algs: [] })).toBe(false);
  });

  it('is forgotten with its key: the same key registered anew is asked again, and answers the same', async () => {
    const remembered = rememberSignatures();
    const token = await signed(mine);
    expect(remembered.verify(partsOf(token, remembered), keyOf(mine))).toBe(true);
    expect(remembered.verify(partsOf(token, remembered), keyOf(mine))).toBe(true);
  });

  it('is never a no: a bad one is checked each time, and takes no place of a good one', async () => {
    const remembered = rememberSignatures({ tokens: 1 });
    const [good, bad] = [await signed(mine), await signed(other)];
    const key = keyOf(mine);
    expect([good, bad, bad, good].map((token) => remembered.verify(partsOf(token, remembered), key))).toEqual([
      true,
      false,
      false,
      true,
    ]);
  });

  it('makes room: the oldest goes, and is verified again when it comes back', async () => {
    const remembered = rememberSignatures({ tokens: 2 });
    const key = keyOf(mine);
    const tokens = await Promise.all(['a', 'b', 'c', 'a'].map((sub) => signed(mine, sub)));
    expect(tokens.map((token) => remembered.verify(partsOf(token, remembered), key))).toEqual([true, true, true, true]);
  });

  it('brings the parts of its token with it, for as long as there is room', async () => {
    const remembered = rememberSignatures({ characters: 400 });
    const key = keyOf(mine);
    const [first, second, large] = await Promise.all([
      signed(mine, 'a'),
      signed(mine, 'b'),
      signed(mine, 'x'.repeat(400)),
    ]);
    const parts = partsOf(first, remembered);
    expect(partsOf(first, remembered)).not.toBe(parts);
    expect(remembered.verify(parts, key)).toBe(true);
    expect(partsOf(first, remembered)).toBe(parts);
    expect(remembered.verify(partsOf(second, remembered), key)).toBe(true);
    expect(partsOf(first, remembered)).toBe(parts);
    expect(remembered.verify(partsOf(large, remembered), key)).toBe(true);
    expect(partsOf(first, remembered)).not.toBe(parts);
  });
});
