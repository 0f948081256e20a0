import { err, ok, type Result } from '../base/index.js';
import type { Caller } from '../client/index.js';
import { type CallQuestion, decideCall } from '../policy/index.js';
import { type AskedCall, isAboutTool, readCall } from './asked-call.js';
import { type Decided, decidedCall, decidedEntities, refused } from './decided.js';
import { callOf, grantOf } from './granted.js';
import type { Kept } from './kept.js';
import type { Moment } from './moment.js';
import type { AskedPerson } from './ports.js';
import type { Evaluation, FieldFlaw } from './request.js';
import { aboutCall, aboutEntities } from './record.js';
import { completed } from './requestable.js';

/** One question: about a call of a tool of ours, or about the entities of a policy set that brings its own. */
export async function decideOne(
  question: Evaluation,
  prefix: string,
  moment: Moment,
): Promise<Result<Kept, FieldFlaw>> {
  if (!isAboutTool(question)) return ok({ ...decideEntities(question, moment), about: aboutEntities(question) });
  const call = readCall(question, prefix);
  if (!call.ok) return call;
  const parties = partiesOf(call.value, moment.caller, prefix);
  if (!parties.ok) return parties;
  const { value: asked } = parties;
  const person = await moment.people.byId(asked.personId);
  const known = isKnown(person, moment) ? person : undefined;
  const decided = await decideKnown(question, { ...asked, person: known }, moment);
  return ok({ ...decided, about: aboutCall(asked, known?.id) });
}

/** Entities of applications: nobody's registration is asked, only the policies that came with their schema. */
function decideEntities({ subject, action, resource, context }: Evaluation, { rules, now }: Moment): Decided {
  const question = { subject, action: action.name, resource, context };
  return decidedEntities(rules.policies?.decideEntities(question), resource.id, now);
}

type Parties = AskedCall & Pick<CallQuestion, 'agents' | 'server'>;

/** What the question leaves open is the caller's own: a server is the server, an agent is the agent. */
function partiesOf(asked: AskedCall, { clientId, party }: Caller, prefix: string): Result<Parties, FieldFlaw> {
  const own = party.kind === 'server' ? party.server.resource : undefined;
  const server = asked.server ?? own;
  if (server === undefined) return err({ path: `${prefix}resource.properties.server`, hint: 'is missing' });
  const [current = party.kind === 'agent' ? clientId : undefined, ...earlier] = asked.agents;
  if (current === undefined) return err({ path: `${prefix}subject.properties.act`, hint: 'is missing' });
  return ok({ ...asked, server, agents: [current, ...earlier] });
}

async function decideKnown(
  evaluation: Evaluation,
  asked: Parties & Readonly<{ person: AskedPerson | undefined }>,
  moment: Moment,
): Promise<Omit<Kept, 'about'>> {
  const { caller, rules, now, http } = moment;
  const { about, agents, server, person } = asked;
  const { action, subject } = evaluation;
  const { tool, jkt } = about;
  const isOwnServer = caller.party.kind === 'server' && caller.party.server.resource === server;
  if (!isOwnServer && agents[0] !== caller.clientId)
    return refused({ reason: 'not_yours_to_ask', term: 'request' }, tool, now);
  if (action.name !== 'tools/call' || !['identity', 'person'].includes(subject.type))
    return refused({ reason: 'unknown_action', term: 'request' }, tool, now);
  if (person === undefined) return refused({ reason: 'unknown_person', term: 'person' }, tool, now);
  const question = { ...about, agents, server, person: { id: person.id, attributes: textsOf(person.attributes) } };
  const network = agents[0] === caller.clientId ? http.network : asked.ip;
  const { requestId } = http;
  const call = isOwnServer ? callOf(asked, person.id, rules.registry) : undefined;
  const grant =
    asked.approval === undefined ? undefined : await grantOf(asked.approval, { call, jkt, txn: asked.txn }, moment);
  const lifted = grant?.ok === true ? grant.value.lifted : [];
  const verdict = await decideCall(question, { ...rules, network, discharged: lifted }, { now, requestId });
  return completed(decidedCall(verdict, tool, now), { question: evaluation, call, asked, grant }, moment);
}

/** A person of an issuer that is trusted no more may not be acted for, as in every commit of an exchange. */
const isKnown = (person: AskedPerson | undefined, { rules }: Moment): boolean =>
  person?.status === 'active' && rules.registry.issuer(person.issuer)?.status !== 'disabled';

const textsOf = (attributes: AskedPerson['attributes']): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(attributes).flatMap(([name, text]) => (text === undefined ? [] : [[name, text]])));
