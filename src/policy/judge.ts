import { err, newId, ok, type Result, type Seconds } from '../base/index.js';
import type { Delegation } from '../delegation/index.js';
import type { RegisteredAgent, RegisteredServer } from '../registry/index.js';
import { combine, type DecisionInput, type Deny, type SessionFacts, type Verdict } from './set/index.js';
import type { Ask, PolicyDenial, Rules } from './types.js';

/** The tools of one token and who asks for them, as far as the ceilings let it come. */
export type Case = Readonly<{
  delegation: Delegation;
  client: RegisteredAgent | RegisteredServer;
  resource: string;
  tools: readonly string[];
  chainAuthentication: DecisionInput['chainAuthentication'];
  network: string | undefined;
  session: SessionFacts | undefined;
  now: Seconds;
}>;

/**
 * What the policy set says of every tool of a token: of several any refusal refuses all, else any question asks for all.
 * Answers the ids of the policies that permit it. Without a set nothing is permitted.
 */
export function judge(
  one: Case,
  { policies, discharged = [], onJudged }: Pick<Rules, 'policies' | 'discharged' | 'onJudged'>,
): Result<readonly string[], PolicyDenial | Ask> {
  const [first = ''] = one.tools;
  if (policies === undefined) return err(denial('policy_missing', 'policy', first));
  const verdicts = one.tools.map((tool) => {
    const input = inputOf(one, tool, discharged);
    const verdict = policies.decide(input);
    onJudged?.({ set: policies, input, verdict });
    return { tool, verdict };
  });
  const verdict = combine(verdicts.map((each) => each.verdict));
  if (verdict.verdict === 'allow') return ok(verdict.policies);
  const tool = verdicts.find((each) => each.verdict.verdict === verdict.verdict)?.tool ?? first;
  return err(refusalOf(verdict, tool, policies.texts));
}

function refusalOf(
  verdict: Exclude<Verdict, { verdict: 'allow' }>,
  tool: string,
  texts: ReadonlyMap<string, string>,
): PolicyDenial | Ask {
  switch (verdict.verdict) {
    case 'broken': {
      const erring = new Set(verdict.errors.flatMap(({ policy }) => policy ?? []));
      return { ...denial('policy_broken', 'policy', tool), policies: [...erring].sort() };
    }
    case 'deny':
      return denied(verdict, tool);
    case 'ask': {
      const [ask = 'approval'] = verdict.requires;
      const { policies, reasons, demands, acrValues, maxAge } = verdict;
      const approvers = [...new Set(demands.flatMap((demand) => demand.approvers))];
      const isForPeople = verdict.requires.every((requirement) => requirement === 'approval');
      const demanded = isForPeople
        ? demands.map((demand) => ({
            policy: demand.policy,
            text: texts.get(demand.policy) ?? '',
            approvers: demand.approvers,
          }))
        : [];
      const asked = { ask, decision: newId('dec'), tool, policies, messages: reasons, approvers, acrValues, maxAge };
      return { ...asked, demands: demanded };
    }
  }
}

function denied({ reason, term, policies, messages, argument }: Deny, tool: string): PolicyDenial {
  switch (reason) {
    case 'forbidden':
      return { ...denial('policy_forbids', term, tool), policies, messages };
    case 'not_permitted':
      return denial('policy_does_not_permit', term, tool);
    case 'unknown_tool':
      return denial('policy_does_not_permit', 'server', tool);
    case 'unreadable_arguments':
      return { ...denial('policy_cannot_read', 'request', tool), ...(argument && { argument: argument.path }) };
  }
}

const denial = (reason: PolicyDenial['reason'], term: PolicyDenial['term'], tool: string): PolicyDenial => ({
  reason,
  term,
  tool,
  decision: newId('dec'),
  policies: [],
  messages: [],
});

/** RFC 8693 section 4.1: nested actors inform, and are never authority; the person and the current actor are. */
function inputOf(
  { delegation, client, resource, network, session, now, chainAuthentication }: Case,
  name: string,
  discharged: readonly string[],
): DecisionInput {
  const { person, presenter, actors, context, subject, wanted, jkt } = delegation;
  return {
    tool: { server: resource, name },
    person: { id: person.id, attributes: person.attributes },
    agent: { id: presenter.clientId, owner: client.owner, kind: presenter.kind === 'server' ? 'mcp_server' : 'agent' },
    chain: actors.map(({ sub }) => sub),
    chainAuthentication,
    session,
    task: context.task,
    purpose: context.purpose,
    now,
    ip: network,
    acr: subject.acr,
    authTime: subject.authTime,
    senderConstrained: jkt !== undefined,
    arguments: wanted.tools?.find((tool) => tool.name === name)?.arguments,
    discharged,
  };
}
