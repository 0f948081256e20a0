import { err, ok, type Result } from '../base/index.js';
import { type Actor, clientOf, MAX_CHAIN } from '../protocol/index.js';
import type { Delegation, DelegationRefusal, Presenter, Subject, Wanted } from './types.js';

export type DelegationLimits = Readonly<{ issuer: string; maxActors: number }>;

/**
 * RFC 8693 section 1.1: may this presenter continue this delegation towards what is wanted? Scope, tools and life are
 * not looked at here; the policy narrows those. Pure: everything that it needs is in its arguments.
 */
export function delegate(
  { subject, presenter, wanted }: Readonly<{ subject: Subject; presenter: Presenter; wanted: Wanted }>,
  limits: DelegationLimits,
): Result<Delegation, DelegationRefusal> {
  const owner = checkOwner(subject, presenter, limits);
  if (!owner.ok) return owner;
  const bound = bind(subject, presenter);
  if (!bound.ok) return bound;
  const actors = chain(subject, presenter, wanted, limits);
  if (!actors.ok) return actors;
  const loop = calledBefore(subject, wanted);
  if (loop !== undefined) return err({ reason: 'call_loop', tool: loop });
  const context = inheritContext(subject, wanted);
  if (!context.ok) return context;
  const callChain = extendCallChain(subject, presenter, wanted);
  const hops = MAX_CHAIN * 2;
  if (callChain.length > hops) return err({ reason: 'chain_too_long', depth: callChain.length, limit: hops });
  return ok({
    person: subject.person,
    presenter,
    actors: actors.value,
    callChain,
    subject,
    wanted,
    context: context.value,
    jkt: bound.value,
    notAfter: Math.min(subject.expiresAt, presenter.expiresAt ?? subject.expiresAt),
  });
}

/** DESIGN 2, who may exchange what. RFC 8693 section 4.4: may_act is necessary, never sufficient. */
function checkOwner(
  subject: Subject,
  { clientId }: Presenter,
  { issuer }: DelegationLimits,
): Result<null, DelegationRefusal> {
  const { mayAct } = subject;
  if (mayAct !== undefined && (mayAct.sub !== clientId || mayAct.iss !== issuer)) {
    return err({ reason: 'may_act_names_another' });
  }
  return subject.exchangeableBy === clientId ? ok(null) : err({ reason: 'not_exchangeable_by_caller' });
}

/** RFC 9449 with STANDARDS DP-05: a binding is kept or raised, never lowered. An MCP server cannot hold its caller's key. */
function bind(subject: Subject, presenter: Presenter): Result<string | undefined, DelegationRefusal> {
  if (subject.jkt === undefined && !subject.mustBind) return ok(presenter.jkt);
  if (presenter.jkt === undefined) return err({ reason: 'proof_required' });
  const heldByAnother = presenter.kind === 'server' && subject.kind === 'transaction';
  if (subject.jkt !== undefined && !heldByAnother && presenter.jkt !== subject.jkt)
    return err({ reason: 'proof_of_another_key' });
  return ok(presenter.jkt);
}

/**
 * Presenter continuation keeps the chain; a new presenter becomes the outermost actor and nests the rest unchanged
 * (Actor Profile). A replacement inside the trust domain keeps `act` as it is (C-03): the workload goes to the call chain.
 */
function chain(
  subject: Subject,
  presenter: Presenter,
  wanted: Wanted,
  { maxActors }: DelegationLimits,
): Result<readonly Actor[], DelegationRefusal> {
  const [current] = subject.actors;
  const limit = Math.min(maxActors, MAX_CHAIN);
  if (subject.actors.length > limit) return err({ reason: 'chain_too_long', depth: subject.actors.length, limit });
  if (wanted.target.kind === 'domain' && subject.kind === 'transaction') return ok(subject.actors);
  if (current !== undefined && isSame(current, presenter.actor)) return ok(subject.actors);
  // An instance is its client: coming back under another instance name is the same loop.
  if (subject.actors.slice(1).some((actor) => isSameClient(actor, presenter.actor))) {
    return err({ reason: 'actor_loop', actor: presenter.actor.sub });
  }
  const actors = [presenter.actor, ...subject.actors];
  return actors.length > limit ? err({ reason: 'chain_too_long', depth: actors.length, limit }) : ok(actors);
}

const isSame = (a: Actor, b: Actor): boolean => a.sub === b.sub && a.iss === b.iss;
const isSameClient = (a: Actor, b: Actor): boolean => a.iss === b.iss && clientOf(a.sub) === clientOf(b.sub);

/**
 * CH-03: a tool that the transaction has called is not called again further down the same chain; this also keeps a use
 * from being multiplied by tokens that are derived from it. Answers the tool, or '*' where the chain does not name it.
 */
function calledBefore({ kind, callChain }: Subject, { target, tools }: Wanted): string | undefined {
  if (kind !== 'transaction' || target.kind !== 'server') return undefined;
  const calls = callChain.slice(1).filter(({ wl }) => wl === target.resource);
  const again = calls.find(
    ({ tool }) => tool === undefined || tools === undefined || tools.some(({ name }) => name === tool),
  );
  return again && (again.tool ?? '*');
}

/** What a transaction is for does not change on its way (transaction token draft: tctx is immutable). */
function inheritContext(subject: Subject, wanted: Wanted): Result<Delegation['context'], DelegationRefusal> {
  const { task, purpose } = subject.context;
  if (task !== undefined && wanted.task !== undefined && task !== wanted.task)
    return err({ reason: 'context_changed', member: 'task' });
  if (purpose !== undefined && wanted.purpose !== undefined && purpose !== wanted.purpose) {
    return err({ reason: 'context_changed', member: 'purpose' });
  }
  return ok({ task: task ?? wanted.task, purpose: purpose ?? wanted.purpose });
}

/** CH-02: who has handled the call, oldest first; the last entry names the tool that is called next, if it is one. */
function extendCallChain(subject: Subject, presenter: Presenter, { target, tools }: Wanted): Delegation['callChain'] {
  const last = subject.callChain.at(-1)?.wl;
  const here = last === presenter.workload ? [] : [{ wl: presenter.workload }];
  const only = tools?.length === 1 ? tools[0] : undefined;
  const next =
    target.kind === 'server'
      ? [only === undefined ? { wl: target.resource } : { wl: target.resource, tool: only.name }]
      : [];
  return [...subject.callChain, ...here, ...next];
}
