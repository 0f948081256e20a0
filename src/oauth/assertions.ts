import type { Clock, Seconds } from '../base/index.js';
import { type AgentKeys, claimOf, type ClientLimits, replayKey, verifyAssertion } from '../client/index.js';
import { networkSeen } from '../http/index.js';
import { parseJws } from '../protocol/index.js';
import type { RegistryReader } from '../registry/index.js';
import { clientKeys, type EngineContext, errors, TooManyRequests } from './library.js';
import type { EngineStore } from './ports.js';

export type AssertionDeps = Readonly<{
  issuer: string;
  store: EngineStore;
  clock: Clock;
  skewSeconds: Seconds;
  limits: ClientLimits;
  registry: Pick<RegistryReader, 'current'>;
  agentKeys: Pick<AgentKeys, 'endOf'>;
}>;

/**
 * The one-time rules of the engine. The library accepts other token types, several audiences and any lifetime
 * (STYLE E11); here an assertion is judged by the same function as on our own routes, and spent in the same table.
 */
export function oneTimeRules(deps: AssertionDeps): OneTimeRules {
  const { issuer, store, clock, skewSeconds, limits } = deps;
  const admit: OneTimeRules['admit'] = async (context, clientId) => {
    const wait = await limits.take(clientId);
    if (wait === undefined) return;
    context?.set('retry-after', String(wait));
    throw new TooManyRequests();
  };
  const spentHere = new WeakMap<object, string>();
  return {
    admit,
    admitClaim: async (context, clientId) => {
      await admit(context, claimOf(clientId, context === undefined ? '' : networkSeen(context.req)));
    },
    judgeAssertion: async (context) => {
      const { client, params } = context.oidc;
      const jws = parseJws(String(params?.['client_assertion']));
      if (client === undefined || !jws.ok) throw new errors.InvalidClientAuth('the assertion is malformed');
      const facts = {
        clientId: client.clientId,
        issuer,
        now: clock.now(),
        skew: skewSeconds,
        keys: clientKeys(client),
      };
      const judged = verifyAssertion(jws.value, facts);
      if (!judged.ok) throw new errors.InvalidClientAuth(judged.error);
      const { replayKey: key, expiresAt, keyThumbprint } = judged.value;
      const agent = deps.registry.current().agent(client.clientId);
      const end = agent === undefined ? undefined : await deps.agentKeys.endOf(agent, keyThumbprint, facts.now);
      if (end !== undefined) throw new errors.InvalidClientAuth(end);
      await admit(context, client.clientId);
      if (!(await store.spend(key, expiresAt, keyThumbprint)))
        throw new errors.InvalidClientAuth('the assertion was used before, or its key is revoked');
      spentHere.set(context, key);
    },
    isFirstUse: async (context, use) => {
      const key = replayKey(use.clientId, use.jti);
      // The library asks a second time for the assertion that was just judged; everything else that it asks for is a proof.
      if (context !== undefined && spentHere.get(context) === key) return spentHere.delete(context);
      if (await store.spend(key, use.expiresAt)) return true;
      throw new errors.InvalidDpopProof('the DPoP proof was used before');
    },
  };
}

export type OneTimeRules = Readonly<{
  /** Throws for a client, authenticated, that asks more often than it may; spends nothing then. */
  admit(context: EngineContext | undefined, clientId: string): Promise<void>;
  /** The same before a secret is checked, of whoever claims to be this client. */
  admitClaim(context: EngineContext | undefined, clientId: string): Promise<void>;
  judgeAssertion(context: EngineContext): Promise<void>;
  isFirstUse(
    context: EngineContext | undefined,
    use: Readonly<{ clientId: string; jti: string; expiresAt: Seconds }>,
  ): Promise<boolean>;
}>;
