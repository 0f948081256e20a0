import type { House } from './house.js';
import type { RunningRules } from './introspection/index.js';
import {
  type ActivePolicies,
  mayRunOn,
  type Opinions,
  type Past,
  type Question,
  type RunningCall,
} from './policy/index.js';
import { flattenAct, parseScope, type TransactionalAccessToken } from './protocol/index.js';
import type { RegistrySnapshot } from './registry/index.js';

/**
 * Decides anew over a call that runs, with what was kept of the decision that let it begin. Other decision points are asked
 * too, without the arguments, of which only the digest is left. An outage of the database is thrown.
 */
export function runningRules(
  { inputs, decisionPoints }: Pick<House, 'inputs' | 'decisionPoints'>,
  policiesOf: ActivePolicies,
): RunningRules {
  const opinionsOf = async (running: Running, requestId: string): Promise<Opinions | undefined> => {
    const wanted = decisionPoints?.idsFor(running.call.resource) ?? [];
    const question = questionOf(running);
    if (decisionPoints === undefined || wanted.length === 0) return undefined;
    return { wanted, given: question === undefined ? [] : await decisionPoints.ask(question, requestId) };
  };
  return {
    judge: async ({ claims, tool }, { registry, now, requestId }) => {
      const call = callOf(claims, tool);
      // The receipt names the decision, and what was kept of it is as old as the token.
      const past =
        call.detail === undefined ? [] : await inputs.of([claims.writ.decision], claims.iat - 1, claims.iat + 1);
      const opinions = await opinionsOf({ claims, call, past, registry }, requestId);
      return mayRunOn(call, { registry, policies: policiesOf(registry), past, opinions }, now);
    },
  };
}

type Running = Readonly<{
  claims: TransactionalAccessToken;
  call: RunningCall;
  past: readonly Past[];
  registry: RegistrySnapshot;
}>;

const callOf = (claims: TransactionalAccessToken, tool: string): RunningCall => ({
  clientId: claims.client_id,
  resource: claims.aud,
  tool,
  scopes: parseScope(claims.scope) ?? [],
  detail: claims.authorization_details?.find(({ identifier }) => identifier === tool),
  isBound: claims.cnf !== undefined,
});

/** Nothing to ask about a call of which nothing was kept, or that is of no tool. */
function questionOf({ claims, call, past, registry }: Running): Question | undefined {
  const kept = past.find((one) => one.kept?.tool.name === call.tool)?.kept;
  const tool = registry.serverByResource(call.resource)?.tools.find(({ name }) => name === call.tool);
  if (kept === undefined || tool === undefined) return undefined;
  return {
    resource: call.resource,
    person: { id: claims.sub, attributes: kept.person.attributes },
    agent: call.clientId,
    actors: flattenAct(claims.act),
    transaction: claims.txn,
    task: kept.task,
    purpose: kept.purpose,
    acr: kept.acr,
    authTime: kept.authTime,
    tools: [
      {
        name: call.tool,
        action: tool.action,
        data: tool.data,
        tier: tool.tier,
        argumentsSha256: call.detail?.arguments_sha256,
        arguments: undefined,
      },
    ],
  };
}
