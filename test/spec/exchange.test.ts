import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { RS1, startWorld, tool, tools, type World } from '../support/world.js';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(async () => {
  await world.close();
  expect(world.faults).toEqual([]);
});

describe('RFC 8693 token exchange', () => {
  it('§2.2.1 answers a transactional access token that jose verifies with nothing but the JWKS', async () => {
    const answer = await world.exchange({ request_details: JSON.stringify({ task: 'T-1', purpose: 'tests' }) });
    expect(answer.body).toEqual({
      access_token: expect.any(String),
      issued_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
      token_type: 'Bearer',
      expires_in: 180,
      scope: 'repo:read',
      authorization_details: [tool('read_file', { max_uses: 10 })],
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const { access_token } = answer.body as { access_token: string };
    const { payload } = await jwtVerify(access_token, createRemoteJWKSet(new URL(`${world.issuer}/jwks`)), {
      issuer: world.issuer,
      audience: RS1,
      typ: 'txnat+jwt',
    });
    expect(payload).toEqual({
      iss: world.issuer,
      aud: RS1,
      sub: expect.stringMatching(/^prs_/),
      client_id: 'agt_a1',
      iat: expect.any(Number),
      exp: (payload.iat ?? 0) + 180,
      jti: expect.any(String),
      txn: expect.any(String),
      scope: 'repo:read',
      authorization_details: [tool('read_file', { max_uses: 10 })],
      tctx: { task: 'T-1', purpose: 'tests', call_chain: [{ wl: 'agt_a1' }, { wl: RS1, tool: 'read_file' }] },
      rctx: {},
      act: { sub: 'agt_a1', iss: world.issuer, sub_profile: 'ai_agent' },
      writ: {
        decision: expect.stringMatching(/^dec_/),
        policy: 'registry-ceilings/1',
        session: expect.stringMatching(/^ses_/),
        seen: 0,
        leaf: expect.stringMatching(/^[\w-]{43}$/),
      },
    });
  });

  it('§2.2.2 refuses a wider scope than the ceiling of the named tools', async () => {
    const answer = await world.exchange({
      scope: 'repo:read repo:write',
      authorization_details: tools(tool('read_file')),
    });
    expect(answer.status).toBe(400);
    expect(answer.body).toEqual({
      error: 'invalid_scope',
      error_description: 'scope is wider than what this request may use here',
    });
  });
});
