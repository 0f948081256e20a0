import { setTimeout as pause } from 'node:timers/promises';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { createVerifier, VerifierError } from 'writ/verifier';
import { RESOURCE } from './cast.js';
import { textOf } from './line.js';
import { type Bounds, openRig, type Rig } from './rig.js';

export type RotateResult = Readonly<{
  rotations: number;
  tokens: number;
  verifications: number;
  /** Exchanges that were not answered with a token, and good tokens that a verifier refused. */
  failures: number;
  /** Key ids that signed something. */
  keys: number;
  seconds: number;
}>;

/** Seconds: how long verifiers may cache; a second of polling between the processes comes on top, and a margin. */
const CACHE = 1;
const ACTIVATE_AFTER = 2.5;
const LANES = 4;

/** Minutes become seconds so that a hundred rotations fit: what decides, each next to the other, stays as it is. */
const SHORT = {
  WRIT_KEY_CACHE_SECONDS: String(CACHE),
  WRIT_USER_ACCESS_TOKEN_SECONDS: '5',
  WRIT_TRANSACTIONAL_ACCESS_TOKEN_SECONDS: '5',
  WRIT_TRANSACTION_TOKEN_SECONDS: '5',
  WRIT_CLOCK_SKEW_SECONDS: '5',
};

type Verify = (token: string) => Promise<unknown>;

/** Two processes, one database: keys rotate under light load, and verifiers of both kinds cache what either publishes. */
export async function rotate({ rounds, seconds, say }: Bounds): Promise<RotateResult> {
  const rig = await openRig({ database: 'postgres', servers: 2, env: SHORT });
  try {
    await pause(1_500); // until the second process has read the registry that the first was given
    const began = performance.now();
    const elapsed = (): number => (performance.now() - began) / 1_000;
    const count = { rotations: 0, tokens: 0, verifications: 0, failures: 0 };
    const kids = new Set<string>();
    const verifiers = verifiersOf(rig);
    let isOver = false;
    const fail = (what: unknown): void => {
      count.failures++;
      say(`failure: ${what instanceof Error ? `${what.message} ${reasonOf(what)}` : String(what)}`);
    };
    const lane = async (_: unknown, n: number): Promise<void> => {
      while (!isOver) {
        await pause(25);
        try {
          const token = await exchange(rig, n);
          kids.add(decodeProtectedHeader(token).kid ?? '');
          count.tokens++;
          for (const verify of verifiers) await verify(token).then(() => count.verifications++, fail);
        } catch (thrown) {
          fail(thrown);
        }
      }
    };
    const lanes = Array.from({ length: LANES }, lane);
    while (count.rotations < rounds && elapsed() < seconds) {
      await rotateOnce(rig, count.rotations++);
      if (count.rotations % 10 === 0)
        say(`${count.rotations} rotations, ${count.tokens} tokens, ${count.failures} failures`);
    }
    await pause(500);
    isOver = true;
    await Promise.all(lanes);
    return { ...count, keys: kids.size, seconds: Math.round(elapsed()) };
  } finally {
    await rig.closing.close();
  }
}

async function exchange({ servers, cast }: Rig, n: number): Promise<string> {
  const server = servers[n % servers.length] ?? servers[0];
  const form = { ...cast.exchange(`person-${n}`), ...cast.authentication('agt_planner') };
  return textOf(await server.line.post('/token', form), 'access_token');
}

async function rotateOnce({ servers, adminToken }: Rig, n: number): Promise<void> {
  const server = servers[n % servers.length] ?? servers[0];
  const order = { reason: 'drill', activate_after_seconds: ACTIVATE_AFTER };
  const kid = textOf(await server.line.json('POST', '/admin/v1/keys/rotate', adminToken, order), 'kid');
  for (;;) {
    await pause(100);
    const { body } = await server.line.json('GET', '/admin/v1/keys', adminToken);
    const keys: unknown = body['items'];
    if (Array.isArray(keys) && keys.some((key: unknown) => isActive(key, kid))) return;
  }
}

const isActive = (key: unknown, kid: string): boolean =>
  typeof key === 'object' &&
  key !== null &&
  'kid' in key &&
  key.kid === kid &&
  'state' in key &&
  key.state === 'active';

/** Ours and jose's own, each with the keys of one process and of the other. */
function verifiersOf({ servers, cast: { issuer } }: Rig): readonly Verify[] {
  const clock = { now: () => Date.now() / 1_000 };
  return servers.flatMap(({ address }) => {
    const jwks = `${address}/jwks`;
    const ours = createVerifier({ issuer, resource: RESOURCE, jwks, clock });
    const keys = createRemoteJWKSet(new URL(jwks), { cacheMaxAge: CACHE * 1_000, cooldownDuration: CACHE * 1_000 });
    return [
      (token: string) => ours.verifyAccessToken(token).catch(guardOnly),
      (token: string) => jwtVerify(token, keys, { issuer, audience: RESOURCE, typ: 'txnat+jwt' }),
    ];
  });
}

/** A token for a tool is verified, and then wants the guard, which needs a whole request. */
function guardOnly(thrown: unknown): void {
  if (!(thrown instanceof VerifierError && thrown.reason === 'guard_required')) throw thrown;
}

const reasonOf = (error: Error): string => (error instanceof VerifierError ? error.reason : '');
