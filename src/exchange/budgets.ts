import { ok, type Result } from '../base/index.js';
import type { Delegation } from '../delegation/index.js';
import type { Grant } from '../policy/index.js';
import { type Budget, clientOf } from '../protocol/index.js';
import type { RegisteredAgent, RegisteredServer, RegistrySnapshot } from '../registry/index.js';
import { type BudgetedCall, type BudgetFlaw, debitsOf, type Reservation, type Spender } from '../session/index.js';

type About = Readonly<{
  delegation: Delegation;
  personId: string;
  registry: RegistrySnapshot;
  issuer: string;
  /** Budgets that hold for every agent. */
  general: readonly Budget[];
  now: number;
}>;

/** What a token for calls of tools reserves of every budget that holds for it; `undefined` where none does. */
export function reserve(grant: Grant, about: About): Result<Reservation | undefined, BudgetFlaw> {
  const { delegation, registry } = about;
  const { target } = delegation.wanted;
  const server = target.kind === 'server' ? registry.serverByResource(target.resource) : undefined;
  if (server === undefined || grant.details === undefined) return ok(undefined);
  const calls = grant.details.map((detail) => callOf(detail, server, delegation));
  const spender = spenderOf(about);
  const isLimited = spender.general.length > 0 || spender.personal !== undefined;
  if (!isLimited && ![...calls, ...spender.agents].some(({ budgets }) => budgets.length > 0)) return ok(undefined);
  const debits = debitsOf(calls, spender, about.now);
  if (!debits.ok) return debits;
  if (debits.value.length === 0) return ok(undefined);
  return ok({ debits: debits.value, server: server.resource, toldBy: toldBy(grant, server, about) });
}

function callOf(
  { identifier, arguments_sha256, max_uses }: NonNullable<Grant['details']>[number],
  { resource, tools }: RegisteredServer,
  { wanted }: Delegation,
): BudgetedCall {
  const tool = tools.find(({ name }) => name === identifier);
  return {
    ...{ resource, tool: identifier, action: tool?.action, money: tool?.money, budgets: tool?.budgets ?? [] },
    arguments: wanted.tools?.find(({ name }) => name === identifier)?.arguments,
    argumentsSha256: arguments_sha256,
    uses: max_uses,
  };
}

/** Every agent of the chain spends: one that hands over cannot spend more by it. */
function spenderOf(about: About): Spender {
  const agents = clientsOf(about).flatMap((id) => {
    const agent = about.registry.agent(id);
    return agent === undefined ? [] : [{ id, budgets: agent.budgets ?? [] }];
  });
  const { context, subject } = about.delegation;
  return { person: about.personId, agents, task: context.task, general: about.general, personal: subject.budget };
}

/** Our own clients of the chain; an instance (`<client id>/<name>`) is its client. */
function clientsOf({ delegation: { actors, presenter, subject }, issuer }: About): readonly string[] {
  const ours = actors.filter(({ iss }) => iss === issuer).map(({ sub }) => clientOf(sub));
  return [...new Set([presenter.clientId, ...ours, subject.rootAgent])];
}

/**
 * Whose word counts for what was not used: never that of a server whose owner runs an agent or server of the chain, since
 * they could spend for nothing. Of tools of tier high and critical every use is asked of Writ.
 */
function toldBy(grant: Grant, server: RegisteredServer, about: About): Reservation['toldBy'] {
  const { registry } = about;
  // An owner who is named by issuer and subject may be anybody whom an agent names by id.
  if (server.owner.includes('#')) return undefined;
  const owners = clientsOf(about).flatMap((id) => ownersOf(registry.agent(id) ?? registry.serverByClientId(id)));
  if (owners.some((owner) => owner === undefined || sameName(owner, server.owner))) return undefined;
  if (!grant.localUses) return 'use';
  return server.reports_outcomes === false ? undefined : 'report';
}

const ownersOf = (party: RegisteredAgent | RegisteredServer | undefined): readonly (string | undefined)[] =>
  party !== undefined && 'sponsor' in party ? [party.owner, party.sponsor ?? party.owner] : [party?.owner];

const sameName = (one: string, other: string): boolean => plain(one) === plain(other);
const plain = (name: string): string => name.normalize('NFKC').trim().toLowerCase();
