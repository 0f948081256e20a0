import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Database, openDatabase } from '../../src/storage/index.js';
import { Browser } from '../support/browser.js';
import { databaseKinds, freshDatabase, type TestDatabase } from '../support/databases.js';
import {
  assertionForm,
  claimsOf,
  codeForm,
  newKey,
  obtainCode,
  post,
  REDIRECT_URI,
  refreshForm,
  startWrit,
  TestAgent,
  type Writ,
} from '../support/engine.js';
import { dpopProof } from '../support/jws.js';
import { INVALID_GRANT } from '../support/own-engine.js';

const ROUNDS = 60;
const agent = new TestAgent('agt_planner');
const kind = databaseKinds.includes('server') ? 'server' : 'embedded';
let db: TestDatabase;
let second: Database;
let writ: Writ & { address: string };
let replica: Writ & { address: string };
beforeAll(async () => {
  db = await freshDatabase(kind);
  second = kind === 'server' ? await openDatabase(db.options) : db.database;
  writ = await startWrit(db.database, { agents: [agent.registered] });
  replica = await startWrit(second, { agents: [agent.registered], replicaOf: writ });
});
afterAll(async () => {
  await replica.stop();
  await writ.stop();
  if (second !== db.database) await second.close();
  await db.drop();
});

type Answer = Awaited<ReturnType<typeof post>>;
type Tokens = Readonly<{ access_token: string; refresh_token: string }>;

/** The same thing at both replicas at once; the forms differ in their client assertion only. */
const race = (
  path: string,
  form: () => Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Answer[]> =>
  Promise.all([writ.address, replica.address].map((address) => post(`${address}${path}`, form(), headers)));

const browser = new Browser();
const begin = (): ReturnType<typeof obtainCode> =>
  obtainCode(writ, agent, { browser, parameters: { scope: 'offline_access files:read', prompt: 'consent' } });

function oneWinner(answers: readonly Answer[], refusal: Readonly<{ status: number; body: object }>): Answer {
  const [won, lost] = [...answers].sort((a, b) => a.status - b.status);
  if (won === undefined) throw new Error('no answer');
  expect([won.status, lost]).toEqual([won.status < 300 ? won.status : 'a success', refusal]);
  return won;
}

async function familyIsDead({ access_token: accessToken, refresh_token: refreshToken }: Tokens): Promise<void> {
  expect(await post(`${writ.issuer}/token`, refreshForm(agent, writ.issuer, refreshToken))).toEqual(INVALID_GRANT);
  const { grant } = claimsOf(accessToken)['writ'] as { grant: string };
  expect(await db.database.prisma.revocation.count({ where: { target: `grant:${grant}` } })).toBe(1);
}

describe(`two replicas on one database (${kind}), ${String(ROUNDS)} rounds each`, () => {
  it('AZ-09: of two uses of a code at once one wins, and what it won is revoked', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const code = await begin();
      const answers = await race('/token', () => codeForm(agent, writ.issuer, code));
      await familyIsDead(oneWinner(answers, INVALID_GRANT).body as Tokens);
    }
  }, 120_000);

  it('RT-01: of two uses of a refresh token at once one wins, and the family is revoked', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const first = await post(`${writ.issuer}/token`, codeForm(agent, writ.issuer, await begin()));
      const { refresh_token: token } = first.body as Tokens;
      const answers = await race('/token', () => refreshForm(agent, writ.issuer, token));
      await familyIsDead(oneWinner(answers, INVALID_GRANT).body as Tokens);
    }
  }, 120_000);

  const pushed = (): Record<string, string> => ({
    response_type: 'code',
    client_id: agent.id,
    redirect_uri: REDIRECT_URI,
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
    ...assertionForm(agent, writ.issuer),
  });

  it('CA-02: of two uses of a client assertion at once one wins', async () => {
    const refusal = {
      status: 401,
      body: { error: 'invalid_client', error_description: 'client authentication failed' },
    };
    for (let round = 0; round < ROUNDS; round++) {
      const form = pushed();
      oneWinner(await race('/request', () => form), refusal);
    }
  }, 60_000);

  it('RFC 9449 §11.1: of two uses of a DPoP proof at once one wins', async () => {
    const refusal = {
      status: 400,
      body: { error: 'invalid_dpop_proof', error_description: 'the DPoP proof was used before' },
    };
    const key = newKey();
    for (let round = 0; round < ROUNDS; round++) {
      const dpop = dpopProof(key, `${writ.issuer}/request`);
      oneWinner(await race('/request', pushed, { dpop }), refusal);
    }
  }, 60_000);
});
