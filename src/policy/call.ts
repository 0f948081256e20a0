import { err, ok, type Result, type Seconds } from '../base/index.js';
import type { Delegation, Person, Presenter } from '../delegation/index.js';
import type { JsonObject } from '../protocol/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import { decide } from './decide.js';
import type { DecisionPoints, Opinion } from './opinion.js';
import { inputDigest } from './input-digest.js';
import type { Judged } from './ports.js';
import { questionOf } from './question.js';
import type { Grant } from './permit.js';
import type { Ask, PolicyRefusal, Rules } from './types.js';

/** One call of one tool as an enforcement point describes it: nobody brings a token here, and none comes of it. */
export type CallQuestion = Readonly<{
  person: Readonly<{ id: string; attributes: Person['attributes'] }>;
  /** Who acts now, then those before. */
  agents: readonly [string, ...string[]];
  server: string;
  tool: string;
  /** The scopes that the person gave; without them that term is not asked. */
  scopes: readonly string[] | undefined;
  arguments: JsonObject | undefined;
  argumentsSha256: string | undefined;
  definitionSha256: string | undefined;
  task: string | undefined;
  purpose: string | undefined;
  acr: string | undefined;
  authTime: Seconds | undefined;
  /** RFC 9449: the thumbprint of the key that the call is bound to. */
  jkt: string | undefined;
}>;

export type CallVerdict = Result<Readonly<{ decision: string; policies: readonly string[] }>, PolicyRefusal | Ask>;

/** A verdict, what the decision points beside our policies said to it, and the digest of what the policy set was asked. */
export type DecidedCall = Readonly<{
  verdict: CallVerdict;
  opinions: readonly Opinion[] | undefined;
  input: string | undefined;
}>;

/**
 * What an exchange for exactly this call would be answered: the ceilings of the registry, then the policy set and every
 * other decision point. The permit is spent on the spot, so that nothing can be minted from an answer.
 */
export async function decideCall(
  question: CallQuestion,
  rules: Rules & Readonly<{ points: DecisionPoints | undefined }>,
  { now, requestId }: Readonly<{ now: Seconds; requestId: string }>,
): Promise<DecidedCall> {
  const [agent] = question.agents;
  const kind = kindOf(agent, rules.registry);
  if (kind === undefined) {
    const verdict = err({ reason: 'target_not_allowed', term: 'agent' } as const);
    return { verdict, opinions: undefined, input: undefined };
  }
  const delegation = delegationOf(question, kind, rules);
  const wanted = rules.points?.idsFor(question.server) ?? [];
  const asked = wanted.length === 0 ? undefined : questionOf(delegation, rules.registry);
  const given = asked === undefined ? [] : await rules.points?.ask(asked, requestId);
  const opinions = wanted.length === 0 ? undefined : { wanted, given: given ?? [] };
  const judged: Judged[] = [];
  const permit = decide(delegation, { ...rules, opinions, onJudged: (one) => judged.push(one) }, now);
  return {
    verdict: permit.ok ? ok(pick(permit.value.spend())) : permit,
    opinions: opinions?.given,
    input: inputDigest(judged, delegation.wanted.tools ?? []),
  };
}

const pick = ({ decision, policies }: Grant): Pick<Grant, 'decision' | 'policies'> => ({ decision, policies });

function kindOf(clientId: string, registry: RegistrySnapshot): Presenter['kind'] | undefined {
  if (registry.agent(clientId) !== undefined) return 'agent';
  return registry.serverByClientId(clientId) === undefined ? undefined : 'server';
}

function delegationOf(question: CallQuestion, kind: Presenter['kind'], { registry, issuer }: Rules): Delegation {
  const { agents, server, tool, jkt, task, purpose, acr, authTime } = question;
  const actors = agents.map((sub) => ({ sub, iss: issuer }));
  const [clientId] = agents;
  const person = { ...question.person, issuer: undefined, subject: undefined };
  const context = { task, purpose };
  const known = registry.serverByResource(server)?.tools.find(({ name }) => name === tool);
  return {
    person,
    presenter: {
      clientId,
      kind,
      actor: { sub: clientId, iss: issuer },
      workload: kind === 'agent' ? clientId : (registry.serverByClientId(clientId)?.resource ?? clientId),
      jkt,
      expiresAt: undefined,
    },
    actors,
    callChain: [],
    subject: {
      kind: 'foreign',
      person,
      exchangeableBy: clientId,
      rootAgent: agents.at(-1) ?? clientId,
      scopes: question.scopes ?? known?.scopes ?? [],
      actors,
      callChain: [],
      details: undefined,
      context,
      transaction: undefined,
      run: { key: '' },
      expiresAt: Infinity,
      issuedSince: 0,
      acr,
      amr: undefined,
      authTime,
      jkt,
      mustBind: false,
      mayAct: undefined,
      lineage: [],
      recordedAs: undefined,
    },
    wanted: {
      target: { kind: 'server', resource: server },
      scopes: undefined,
      tools: [
        {
          name: tool,
          arguments: question.arguments,
          argumentsSha256: question.argumentsSha256,
          definitionSha256: question.definitionSha256,
          maxUses: undefined,
        },
      ],
      ...context,
    },
    context,
    jkt,
    notAfter: Infinity,
  };
}
