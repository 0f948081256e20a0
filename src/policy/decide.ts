import { err, newId, ok, type Result, type Seconds } from '../base/index.js';
import type { Delegation } from '../delegation/index.js';
import { type RegisteredAgent, type RegisteredServer, unusableActor, weakestProof } from '../registry/index.js';
import { narrow, scopesOf } from './ceilings.js';
import { type Case, judge } from './judge.js';
import { type Grant, Permit } from './permit.js';
import type { PolicySet } from './set/index.js';
import type { Ask, PolicyRefusal, Rules } from './types.js';
import { dissent } from './unanimity.js';

/** The version of the policies that decided, as records and tokens name it. */
export const policyVersion = (policies: Pick<PolicySet, 'hash'> | undefined): string => policies?.hash ?? 'none';

export type Decision = Result<Permit, PolicyRefusal | Ask>;

/**
 * Allow, deny, or ask a human. The only maker of a Permit. First the registry's ceilings, then for every tool the policy
 * set and every other decision point: each of them must say yes, and nobody is asked for what one of them refuses.
 * Decides on what it is given and nothing else; that registry and policies have not changed meanwhile is for the commit
 * to check.
 */
export function decide(delegation: Delegation, rules: Rules, now: Seconds): Decision {
  const { clientId, kind } = delegation.presenter;
  const client = kind === 'agent' ? rules.registry.agent(clientId) : rules.registry.serverByClientId(clientId);
  if (client === undefined) return err({ reason: 'target_not_allowed', term: 'agent' });
  if (client.dpop_required && delegation.jkt === undefined)
    return err({ reason: 'proof_of_possession_required', term: 'agent' });
  const notAfter = Math.floor(
    Math.min(delegation.notAfter, 'expires_at' in client ? Date.parse(client.expires_at) / 1000 : Infinity),
  );
  if (notAfter <= now) return err({ reason: 'life_is_over', term: 'person' });
  const gone = unusableActor(delegation.actors, rules.registry, { issuer: rules.issuer, now });
  if (gone !== undefined) return err({ reason: 'actor_not_usable', term: 'agent', actor: gone });
  if (isWithdrawn(delegation, rules)) return err({ reason: 'hand_over_withdrawn', term: 'agent' });
  const permitted = permit(delegation, client, rules);
  const chainAuthentication = weakestProof(delegation.actors, rules.registry, rules.issuer);
  const facts = { delegation, client, chainAuthentication, network: rules.network, session: rules.session, now };
  if (!permitted.ok) return err(plainer(permitted.error, facts, rules));
  const { audience: resource, details } = permitted.value;
  const tools = delegation.wanted.target.kind === 'server' ? (details ?? []).map(({ identifier }) => identifier) : [];
  const judged = tools.length === 0 ? ok([]) : judge({ ...facts, resource, tools }, rules);
  if (!judged.ok && 'reason' in judged.error) return judged;
  const refused = tools.length === 0 ? undefined : dissent(rules.opinions, tools);
  if (refused !== undefined) return err(refused);
  if (!judged.ok) return judged;
  const policy = policyVersion(rules.policies);
  return ok(
    new Permit({ decision: newId('dec'), policy, policies: judged.value, delegation, notAfter, ...permitted.value }),
  );
}

/** TL-01: the word on a tool's form of whom policies refuse that tool anyway would have it wait for everybody else. */
function plainer(refusal: PolicyRefusal, one: Omit<Case, 'resource' | 'tools'>, rules: Rules): PolicyRefusal | Ask {
  const { target } = one.delegation.wanted;
  if (refusal.reason !== 'tool_changed' || target.kind !== 'server') return refusal;
  const judged = judge({ ...one, resource: target.resource, tools: [refusal.tool] }, rules);
  const isRefused = !judged.ok && 'reason' in judged.error && POLICY_SAYS_NO.has(judged.error.reason);
  return isRefused ? judged.error : refusal;
}

const POLICY_SAYS_NO: ReadonlySet<PolicyRefusal['reason']> = new Set(['policy_forbids', 'policy_does_not_permit']);

/** A hand-over holds only as long as the registry lets its maker hand over to this agent. */
function isWithdrawn({ subject, presenter }: Delegation, { registry }: Rules): boolean {
  if (subject.kind !== 'hand-over') return false;
  const maker = registry.agent(subject.rootAgent);
  return maker?.hand_over_to.includes(presenter.clientId) !== true;
}

type Shape = Pick<Grant, 'shape' | 'audience' | 'scopes' | 'details' | 'localUses'>;
type Client = RegisteredAgent | RegisteredServer;

function permit(delegation: Delegation, client: Client, rules: Rules): Result<Shape, PolicyRefusal> {
  const { target } = delegation.wanted;
  switch (target.kind) {
    case 'server':
      return forServer(delegation, client, rules, target.resource);
    case 'domain':
      return forDomain(delegation, client, rules);
    case 'agent':
      return forSubAgent(delegation, client, rules, target.clientId);
  }
}

function forServer(
  delegation: Delegation,
  client: Client,
  rules: Rules,
  resource: string,
): Result<Shape, PolicyRefusal> {
  const server = rules.registry.serverByResource(resource);
  if (server?.status !== 'active') return err({ reason: 'unknown_target', term: 'server' });
  if (server.dpop_required && delegation.jkt === undefined)
    return err({ reason: 'proof_of_possession_required', term: 'server' });
  const narrowed = narrow(delegation, { client, server });
  return narrowed.ok ? ok({ shape: server.token_shape, audience: resource, ...narrowed.value }) : narrowed;
}

/** A transaction token carries the scope of the transaction, or less of it; tools stay what they were. */
function forDomain({ wanted, subject }: Delegation, client: Client, rules: Rules): Result<Shape, PolicyRefusal> {
  if (!client.transaction_tokens) return err({ reason: 'domain_not_allowed', term: 'agent' });
  if (wanted.tools !== undefined) return err({ reason: 'tools_not_here', term: 'request' });
  const scopes = withinBoth(wanted.scopes, subject.scopes, scopesOf(client));
  if (!scopes.ok) return scopes;
  const { details } = subject;
  return ok({ shape: 'txntoken+jwt', audience: rules.trustDomain, scopes: scopes.value, details, localUses: false });
}

/** A hand-over is good for the exchange by that one agent only: our issuer is its audience, `may_act` names the agent. */
function forSubAgent(
  delegation: Delegation,
  client: Client,
  rules: Rules,
  clientId: string,
): Result<Shape, PolicyRefusal> {
  const allowed = 'hand_over_to' in client && client.hand_over_to.includes(clientId);
  const agent = rules.registry.agent(clientId);
  if (!allowed || agent?.status !== 'active' || clientId === client.client_id) {
    return err({ reason: 'hand_over_not_allowed', term: 'agent' });
  }
  if (delegation.wanted.tools !== undefined) return err({ reason: 'tools_not_here', term: 'request' });
  const handed = withinBoth(delegation.wanted.scopes, delegation.subject.scopes, scopesOf(client));
  if (!handed.ok) return handed;
  return ok({
    shape: 'hand-over',
    audience: rules.issuer,
    scopes: handed.value,
    details: delegation.subject.details,
    localUses: false,
  });
}

/** Person AND client. What is asked for must be within both; what is not asked for is what both have. */
function withinBoth(
  asked: readonly string[] | undefined,
  held: readonly string[],
  ceiling: ReadonlySet<string>,
): Result<readonly string[], PolicyRefusal> {
  const beyondPerson = (asked ?? []).filter((scope) => !held.includes(scope));
  if (beyondPerson.length > 0) return err({ reason: 'scope_too_wide', term: 'person', scopes: beyondPerson });
  const beyondClient = (asked ?? []).filter((scope) => !ceiling.has(scope));
  if (beyondClient.length > 0) return err({ reason: 'scope_too_wide', term: 'agent', scopes: beyondClient });
  const scopes = asked ?? held.filter((scope) => ceiling.has(scope));
  return scopes.length === 0 ? err({ reason: 'nothing_granted', term: 'agent' }) : ok(scopes);
}
