import { err, ok, type Result } from '../base/index.js';
import { delegate, type Delegation, type Presenter } from '../delegation/index.js';
import {
  decide,
  type DecisionPoints,
  type Judged,
  type Opinions,
  type Permit,
  policyVersion,
  questionOf,
} from '../policy/index.js';
import { type FormRequest, TokenType } from '../protocol/index.js';
import type { SessionSeen } from '../session/index.js';
import { type Issued, type Recorded, sign } from '../token/index.js';
import { verifyActor } from './actor.js';
import type { ExchangeDeps } from './deps.js';
import { join } from './handle.js';
import { readSubject } from './person.js';
import type { Stale } from './ports.js';
import { verifyRequestProof } from './proof.js';
import type { Known } from './record.js';
import type { Refusal } from './refusal.js';
import { type ExchangeRequest, parseRequest } from './request.js';
import { checkRequestedType } from './requested-type.js';
import { sessionFacts } from './session-facts.js';
import { askPeople, type Deferred } from './deferral.js';
import { differsFrom, liftedBy } from './redeeming.js';
import { record } from './settle.js';
import { type Decided, learn, type Step, type Story } from './story.js';

/** RFC 8693 section 2: decide, record, sign. Nothing is signed that is not durably recorded, and the commit may still refuse. */
export async function exchange(
  http: FormRequest,
  { caller, registry, redeeming }: Pick<Step, 'caller' | 'registry' | 'redeeming'>,
  deps: ExchangeDeps,
): Promise<Result<Exchanged, Refusal | Stale | Deferred>> {
  const now = deps.clock.now();
  const judged: Judged[] = [];
  const story: Story = {
    spends: [...caller.spends],
    judged,
    known: {
      ...{ http, now, registryVersion: registry.version, policy: policyVersion(registry.policies), caller, judged },
      approval: redeeming?.held.id,
    },
  };
  const decided = await decideExchange(http, { caller, registry, now, story, redeeming }, deps);
  if (!decided.ok) return askPeople(decided.error, http, { caller, registry, now, story, redeeming }, deps);
  const kept = await http.trace('commit', () => record(decided.value, { ...story, registry, redeeming }, deps));
  if (!kept.ok) return kept;
  const issued = http.trace('sign', () => sign(kept.value, deps.keys)); // takes a Recorded, which only storage can make
  return ok({ ...issued, handle: handleOf(kept.value, decided.value, { ...story.known, handles: deps.handles }) });
}

/** `handle`: of the transaction, for the next exchange; for whoever asked for the token type that knows it. */
export type Exchanged = Issued & Readonly<{ handle: string | undefined }>;

async function decideExchange(http: FormRequest, step: Step, deps: ExchangeDeps): Promise<Result<Decided, Refusal>> {
  const asked = await readRequest(http, step, deps);
  if (!asked.ok) return asked;
  const acting = await readDelegation(http, { ...step, ...asked.value }, deps);
  if (!acting.ok) return acting;
  const fits = checkRequestedType(asked.value.request, step.registry);
  if (!fits.ok) return fits;
  const differs = step.redeeming && differsFrom(step.redeeming, acting.value.delegation, step);
  if (differs !== undefined) return err(differs);
  const permit = await judge(http, { ...step, ...acting.value }, deps);
  return permit.ok ? ok({ ...acting.value, permit: permit.value }) : permit;
}

type Asked = Readonly<{ request: ExchangeRequest; presenter: Presenter }>;

/** What is asked, by whom: the form, the proof of possession and the actor's token. */
async function readRequest(
  http: FormRequest,
  { caller, now, story, redeeming }: Step,
  { settings: { tokenEndpoint, trustDomain, issuer, skew }, clientKeys }: ExchangeDeps,
): Promise<Result<Asked, Refusal>> {
  const proof = verifyRequestProof(http, { uri: tokenEndpoint, now, clientId: caller.clientId });
  if (!proof.ok) return proof;
  story.spends.push(...proof.value.spends);
  if (redeeming !== undefined) {
    learn(story, { request: redeeming.request });
    return ok({ request: redeeming.request, presenter: { ...redeeming.presenter, jkt: proof.value.jkt } });
  }
  const request = parseRequest(http.form, trustDomain);
  if (!request.ok) return request;
  learn(story, { request: request.value });
  const rules = { issuer, skew, now, keys: clientKeys, jkt: proof.value.jkt };
  const actor = await verifyActor(request.value.actor?.token, caller, rules);
  if (!actor.ok) return actor;
  story.spends.push(...actor.value.spends);
  learn(story, { presenter: actor.value.presenter });
  return ok({ request: request.value, presenter: actor.value.presenter });
}

type Acting = Omit<Decided, 'permit'> & Readonly<{ session: SessionSeen | undefined }>;

/** For whom, through whom: the subject's token, its chain, and the transaction that goes on. */
async function readDelegation(
  http: FormRequest,
  { request, presenter, ...step }: Step & Asked,
  deps: ExchangeDeps,
): Promise<Result<Acting, Refusal>> {
  const { now, story } = step;
  const met = await http.trace('subject', () => readSubject(request, step, deps));
  if (!met.ok) return met;
  const { subject, session } = met.value;
  learn(story, { personId: subject.person.id });
  const alone = delegate({ subject, presenter, wanted: request.wanted }, deps.settings);
  if (!alone.ok) return alone;
  learn(story, { delegation: alone.value });
  const joined = request.handle === undefined ? ok(undefined) : deps.handles.open(request.handle, now);
  if (!joined.ok) return joined;
  const delegation = joined.value === undefined ? alone : join(alone.value, joined.value);
  if (!delegation.ok) return delegation;
  learn(story, { delegation: delegation.value });
  return ok({ delegation: delegation.value, joined: joined.value, session });
}

/** Every decision point has to say yes. */
async function judge(
  http: FormRequest,
  { delegation, session, redeeming, ...step }: Step & Acting,
  deps: ExchangeDeps,
): Promise<Result<Permit, Refusal>> {
  const { registry, now, story } = step;
  const { decisionPoints: points, settings } = deps;
  const opinions = points && (await http.trace('opinions', () => collect(delegation, step, points)));
  const facts = {
    registry,
    policies: deps.policies(registry),
    discharged: redeeming && liftedBy(redeeming, deps.policies(registry)),
    opinions,
    network: http.network,
    session: session && sessionFacts(session, delegation, now),
    issuer: settings.issuer,
    trustDomain: settings.trustDomain,
    onJudged: (judged: Judged) => void story.judged.push(judged),
  };
  return http.trace('policy', () => decide(delegation, facts, now));
}

/** What the other decision points of this target say. No transaction is open while they are asked. */
async function collect(
  delegation: Delegation,
  { registry, story }: Step,
  points: DecisionPoints,
): Promise<Opinions | undefined> {
  const { target } = delegation.wanted;
  const wanted = target.kind === 'server' ? points.idsFor(target.resource) : [];
  if (wanted.length === 0) return undefined;
  const question = questionOf(delegation, registry);
  const given = question === undefined ? [] : await points.ask(question, story.known.http.requestId);
  learn(story, { opinions: given });
  return { wanted, given };
}

/** Txn-AT draft: a fresh one with each token, which the one before does not end. */
function handleOf(
  { token, commitment }: Recorded,
  { delegation, joined }: Decided,
  { request, now, handles }: Pick<Known, 'request' | 'now'> & Pick<ExchangeDeps, 'handles'>,
): string | undefined {
  if (request?.requestedType !== TokenType.txnAccessToken) return undefined;
  const { presenter, jkt } = delegation;
  const transaction = {
    id: token.transaction,
    session: commitment.session,
    person: token.personId,
    client: presenter.clientId,
    jkt,
    beganAt: joined?.beganAt ?? now,
  };
  return handles.give(transaction, now);
}
