// The verifier of an MCP server beside plain jose, in one process and interleaved. Prints one JSON line.
import { createLocalJWKSet, importJWK, jwtVerify } from 'jose';
import { createVerifier } from '../../src/sdk/verifier/index.js';
import { median } from './load.js';
import { COMPANY, makeKeys, publicJwk, RESOURCE } from './material.js';
import { signJwt } from './jwt.js';

const { rounds, milliseconds } = JSON.parse(process.argv[2] ?? '') as { rounds: number; milliseconds: number };
const issuer = COMPANY;
const { company } = makeKeys();
const jwk = publicJwk(company);
const now = Math.floor(Date.now() / 1_000);
// Without tools, so that the verifier's door for the MCP SDK takes it without a guard; the size is that of a real token.
const claims = {
  ...{
    iss: issuer,
    aud: RESOURCE,
    sub: 'prs_a',
    client_id: 'agt_a',
    iat: now,
    exp: now + 300,
    jti: 'one',
    txn: 'txn',
    scope: 'repo:read',
  },
  tctx: { call_chain: [{ wl: 'agt_a' }, { wl: RESOURCE }] },
  rctx: {},
  act: { sub: 'agt_a', iss: issuer, sub_profile: 'ai_agent' },
  writ: { decision: 'dec_1', policy: 'registry-ceilings/1', session: 'ses_1', seen: 0, leaf: 'A'.repeat(43) },
};
const tokens = Array.from({ length: 256 }, (_, index) =>
  signJwt(company, { typ: 'txnat+jwt' }, { ...claims, jti: `jti-${index}` }),
);

const jwks = { keys: [jwk] };
const options = { issuer, audience: RESOURCE, typ: 'txnat+jwt' };
const set = createLocalJWKSet({ keys: [{ ...jwk }] });
const held = createVerifier({ issuer, resource: RESOURCE, jwks });

type Work = (token: string) => Promise<unknown>;
const contenders: Readonly<Record<string, Work>> = {
  ours: (token) => held.verifyAccessToken(token),
  jose: (token) => jwtVerify(token, set, options),
  oursFresh: (token) => createVerifier({ issuer, resource: RESOURCE, jwks }).verifyAccessToken(token),
  joseFresh: async (token) => jwtVerify(token, await importJWK({ ...jwk }, 'ES256'), options),
};

const seen = new Map<string, number[]>();
// The first rounds are for the compiler.
for (let round = -3; round < rounds; round++) {
  for (const [name, work] of Object.entries(contenders)) {
    const micros = await time(work);
    if (round >= 0) seen.set(name, [...(seen.get(name) ?? []), micros]);
  }
}
console.log(JSON.stringify(Object.fromEntries([...seen].map(([name, values]) => [name, median(values)]))));

/** Microseconds of CPU for each token, one after the other, whichever of our threads they are spent in. */
async function time(work: Work): Promise<number> {
  const [started, before] = [performance.now(), process.cpuUsage()];
  let done = 0;
  while (performance.now() - started < milliseconds || done < 256) {
    await work(tokens[done++ % tokens.length] ?? '');
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / done;
}
