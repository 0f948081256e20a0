import { SignJWT } from 'jose';
import { describe, expect, it } from '@jest/globals';
import { rememberSignatures } from '../../src/exchange/remembered.js';
import { importKey, parseJws } from '../../src/protocol/index.js';
import { type ClientKey, makeKey } from '../support/writ.js';

const keyOf = ({ jwk }: ClientKey) => {
  const key = importKey(jwk);
  if (!key.ok) throw new Error(key.error);
  return key.value;
};
async function signed(by: ClientKey, sub = 'a') {
  const jws = parseJws(await new SignJWT({ sub }).setProtectedHeader({ alg: 'ES256' }).sign(by.privateKey));
  if (!jws.ok) throw new Error(jws.error);
  return jws.value;
}

describe('a remembered signature', () => {
  const [mine, other] = [makeKey('k'), makeKey('k')];

  it('is good for the same bytes, the same signature and the same key only', async () => {
    const remembered = rememberSignatures();
    const key = keyOf(mine);
    const jws = await signed(mine);
    expect([remembered.verify(jws, key), remembered.verify(jws, key)]).toEqual([true, true]);
    expect(remembered.verify({ ...jws, signingInput: `${jws.signingInput}A` }, key)).toBe(false);
    expect(remembered.verify({ ...jws, signature: (await signed(mine, 'b')).signature }, key)).toBe(false);
    expect(remembered.verify(jws, keyOf(other))).toBe(false);
    expect(remembered.verify(jws, { ...key, algs: [] })).toBe(false);
  });

  it('is forgotten with its key: the same key registered anew is asked again, and answers the same', async () => {
    const remembered = rememberSignatures();
    const jws = await signed(mine);
    expect(remembered.verify(jws, keyOf(mine))).toBe(true);
    expect(remembered.verify(jws, keyOf(mine))).toBe(true);
  });

  it('is never a no: a bad one is checked each time, and takes no place of a good one', async () => {
    const remembered = rememberSignatures(1);
    const [good, bad] = [await signed(mine), await signed(other)];
    const key = keyOf(mine);
    expect([good, bad, bad, good].map((jws) => remembered.verify(jws, key))).toEqual([true, false, false, true]);
  });

  it('makes room: the oldest goes, and is verified again when it comes back', async () => {
    const remembered = rememberSignatures(2);
    const key = keyOf(mine);
    const tokens = await Promise.all(['a', 'b', 'c', 'a'].map((sub) => signed(mine, sub)));
    expect(tokens.map((jws) => remembered.verify(jws, key))).toEqual([true, true, true, true]);
  });
});
