import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { ownWorld, tool, tools } from '../support/world.js';
import { tokenOf } from '../support/writ.js';

const world = await ownWorld();
const RECEIVED = 'urn:ietf:params:oauth:token-type:txn_access_token';
const TXN_TOKEN = 'urn:ietf:params:oauth:token-type:txn_token';
const signedInAt = Math.floor(Date.now() / 1000) - 200;
const signIn = { acr: 'urn:example:phr', amr: ['swk', 'user', 'mfa'], auth_time: signedInAt };
const told = (token: string): object => {
  const { acr, amr, auth_time } = decodeJwt(token);
  return { acr, amr, auth_time };
};

describe('what a token says of the sign-in (RFC 9068 section 2.2.1, SU-01)', () => {
  it('is what the subject token said, and stays so through every further exchange', async () => {
    const subject_token = await world.personToken('alice', signIn);
    const first = tokenOf(await world.exchange({ subject_token, authorization_details: tools(tool('read_file')) }));
    expect(told(first)).toEqual(signIn);
    const domain = { resource: undefined, audience: 'trust.example', authorization_details: undefined };
    const received = { ...domain, subject_token: first, subject_token_type: RECEIVED };
    const inside = tokenOf(await world.exchange(received, world.rs1));
    expect(told(inside)).toEqual(signIn);
    const again = { ...domain, subject_token: inside, subject_token_type: TXN_TOKEN };
    expect(told(tokenOf(await world.exchange(again, world.rs2)))).toEqual(signIn);
    const handOver = { subject_token, resource: undefined, audience: world.a2.id, authorization_details: undefined };
    const handed = tokenOf(await world.exchange(handOver));
    expect(told(handed)).toEqual(signIn);
    expect(told(tokenOf(await world.exchange({ subject_token: handed }, world.a2)))).toEqual(signIn);
  });

  it('is nothing where the subject token said nothing', async () => {
    const claims = decodeJwt(tokenOf(await world.exchange()));
    expect(['acr', 'amr', 'auth_time'].filter((name) => name in claims)).toEqual([]);
  });
});
