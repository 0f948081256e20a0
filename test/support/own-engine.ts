import { afterAll } from '@jest/globals';
import * as oauth from 'oauth4webapi';
import { freshDatabase, type TestDatabase } from './databases.js';
import { INSECURE, obtainCode, REDIRECT_URI, startWrit, type TestAgent, type Writ } from './engine.js';

/** An engine that knows these agents, on an embedded database of its own. Both end with the file that asked for them. */
export async function ownEngine(...agents: readonly TestAgent[]): Promise<Readonly<{ db: TestDatabase; writ: Writ }>> {
  const db = await freshDatabase('embedded');
  const writ = await startWrit(db.database, { agents: agents.map(({ registered }) => registered) });
  afterAll(async () => {
    await writ.stop();
    await db.drop();
  });
  return { db, writ };
}

/** What the token endpoint says of a code or refresh token that is no good, whatever is wrong with it. */
export const INVALID_GRANT = {
  status: 400,
  body: { error: 'invalid_grant', error_description: 'grant request is invalid' },
} as const;

/** The code flow from the sign-in to the tokens, judged by an independent client. */
export async function redeemIndependently(
  writ: Writ,
  agent: TestAgent,
  { as, DPoP }: Readonly<{ as?: oauth.AuthorizationServer; DPoP?: oauth.DPoPHandle }> = {},
): Promise<oauth.TokenEndpointResponse> {
  const server = as ?? (await writ.metadata());
  const { redirected, verifier } = await obtainCode(writ, agent);
  const response = await oauth.authorizationCodeGrantRequest(
    server,
    agent.client,
    await agent.authentication(),
    oauth.validateAuthResponse(server, agent.client, redirected, 'the state'),
    REDIRECT_URI,
    verifier,
    { ...INSECURE, ...(DPoP === undefined ? {} : { DPoP }) },
  );
  return oauth.processAuthorizationCodeResponse(server, agent.client, response);
}
