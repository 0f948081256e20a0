import { afterAll, expect } from '@jest/globals';
import * as oauth from 'oauth4webapi';
import { leafFlaws } from '../../src/audit/index.js';
import { type Authenticator, passkeyOptions } from './authenticator.js';
import { haveTheAccountable, OWNER, SPONSOR } from './accountable.js';
import type { Browser } from './browser.js';
import {
  type ClientKey,
  bearerAssertion,
  freePort,
  makeKey,
  startTestWrit,
  type TestWrit,
  type Tokens,
  tokensOf,
} from './writ.js';

export const RETURN = 'http://127.0.0.1:7999/callback';
const AGENT = 'agt_planner';

/** Writ with local accounts, at a host name as passkeys need one, and one agent that people sign in to. */
export type LocalWorld = TestWrit &
  Readonly<{
    agentKey: ClientKey;
    rows(sql: string): Promise<readonly unknown[]>;
    signInAndExchange(browser: Browser, passkey: Authenticator): Promise<Tokens>;
  }>;

export async function startLocalWorld(options: Parameters<typeof startTestWrit>[0] = {}): Promise<LocalWorld> {
  const issuer = `http://localhost:${await freePort()}`;
  const writ = await startTestWrit({
    ...options,
    env: { WRIT_ISSUER: issuer, WRIT_LOCAL_ACCOUNTS: 'true', WRIT_PASSKEY_ACR: 'phr', ...options.env },
  });
  const agentKey = makeKey(`${AGENT}-key`);
  await haveTheAccountable(writ.writ.database);
  const agent = {
    ...{ client_id: AGENT, name: 'Planner', owner: OWNER, sponsor: SPONSOR, purpose: 'Plans the week' },
    authentication: { method: 'private_key_jwt', jwks: { keys: [agentKey.jwk] } },
    redirect_uris: [RETURN],
    allow: [],
  };
  const made = await writ.admin('POST', '/apply', { agents: [agent], servers: [], issuers: [] });
  if (made.status !== 200) throw new Error(made.text);
  const rows: LocalWorld['rows'] = async (sql) => {
    await writ.writ.flush();
    return writ.writ.database.prisma.$queryRawUnsafe<unknown[]>(sql);
  };
  const world: LocalWorld = {
    ...{ ...writ, agentKey, rows },
    signInAndExchange: (browser, passkey) => signInAndExchange(world, browser, passkey),
  };
  afterAll(async () => {
    await writ.writ.flush();
    const leaves = await writ.writ.database.prisma.logLeaf.findMany({ select: { leaf: true } });
    const flaws = leaves.flatMap(({ leaf }) => leafFlaws(leaf));
    await writ.close();
    expect([writ.faults, flaws]).toEqual([[], []]);
  });
  return world;
}

/** The link by which the agent sends a person here, with its verifier. */
export async function authorizationOf(
  { issuer }: Pick<LocalWorld, 'issuer'>,
  parameters: Readonly<Record<string, string>> = {},
): Promise<Readonly<{ link: string; verifier: string; redirectUri: string }>> {
  const verifier = oauth.generateRandomCodeVerifier();
  const query = new URLSearchParams({
    client_id: AGENT,
    redirect_uri: RETURN,
    response_type: 'code',
    scope: 'openid',
    state: 'the state',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...parameters,
  });
  return { link: `${issuer}/auth?${query.toString()}`, verifier, redirectUri: RETURN };
}

async function signInAndExchange(world: LocalWorld, browser: Browser, passkey: Authenticator): Promise<Tokens> {
  const { link, verifier } = await authorizationOf(world);
  const page = await browser.get(link);
  const consent = await browser.submit(page, { answer: passkey.get(world.issuer, passkeyOptions(page.body)) });
  const end = await browser.submit(consent, { decision: 'allow' }, RETURN);
  const reply = await world.post('/token', {
    grant_type: 'authorization_code',
    code: new URL(end.url).searchParams.get('code') ?? '',
    code_verifier: verifier,
    redirect_uri: RETURN,
    ...(await bearerAssertion(world.issuer, { id: AGENT, key: world.agentKey })),
  });
  return tokensOf(reply);
}
