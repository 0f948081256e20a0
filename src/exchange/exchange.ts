import { type Clock, err, newId, ok, randomText, type Result, type Seconds } from '../base/index.js';
import type { Caller, KeySource, Spend } from '../client/index.js';
import { delegate, type Delegation, type Subject } from '../delegation/index.js';
import {
  type ActivePolicies,
  decide,
  type DecisionInputs,
  type DecisionPoints,
  type Judged,
  type Opinions,
  type Permit,
  policyVersion,
  questionOf,
} from '../policy/index.js';
import { type Budget, type FormRequest, personCommitment, TokenType } from '../protocol/index.js';
import type { RegistryReader, RegistrySnapshot } from '../registry/index.js';
import type { SessionSeen } from '../session/index.js';
import { type Issued, type KeyRing, type Lifetimes, prepare, type Recorded, sign } from '../token/index.js';
import { verifyActor } from './actor.js';
import { reserve } from './budgets.js';
import { join, type Transaction, type TransactionHandles } from './handle.js';
import { keepInputs } from './inputs.js';
import { actingIn, keysOf, marksOf } from './lineage.js';
import type { Committer, Drift, NotPermitted, People, Permitted, Stale } from './ports.js';
import { verifyRequestProof } from './proof.js';
import { exchangeRecord, type Known } from './record.js';
import { type CommitRefusal, evidenceOf, type Refusal, reasonOf } from './refusal.js';
import type { Remembered } from './remembered.js';
import { type ExchangeRequest, parseRequest } from './request.js';
import { sessionFacts } from './session-facts.js';
import { verifySubject } from './subject.js';

export type ExchangeSettings = Readonly<{
  issuer: string;
  tokenEndpoint: string;
  trustDomain: string;
  maxActors: number;
  skew: Seconds;
  lifetimes: Lifetimes;
  sessionLife: Seconds;
  /** Budgets that hold for every agent. */
  budgets: readonly Budget[];
}>;

export type ExchangeDeps = Readonly<{
  settings: ExchangeSettings;
  clock: Clock;
  registry: RegistryReader;
  keys: KeyRing;
  clientKeys: KeySource;
  remembered: Remembered;
  people: People;
  policies: ActivePolicies;
  /** `undefined` where none is configured. */
  decisionPoints: DecisionPoints | undefined;
  inputs: DecisionInputs;
  committer: Committer;
  drift: Drift;
  handles: TransactionHandles;
}>;

/** RFC 8693 section 2: decide, record, sign. Nothing is signed that is not durably recorded, and the commit may still refuse. */
export async function exchange(
  http: FormRequest,
  caller: Caller,
  registry: RegistrySnapshot,
  deps: ExchangeDeps,
): Promise<Result<Exchanged, Refusal | Stale>> {
  const now = deps.clock.now();
  const judged: Judged[] = [];
  const story: Story = {
    spends: [...caller.spends],
    judged,
    known: { http, now, registryVersion: registry.version, policy: policyVersion(registry.policies), caller, judged },
  };
  const decided = await decideExchange(http, { caller, registry, now, story }, deps);
  if (!decided.ok) return refuse(decided.error, story, deps);
  const kept = await http.trace('commit', () => record(decided.value, { ...story, registry }, deps));
  if (!kept.ok) return kept;
  const issued = http.trace('sign', () => sign(kept.value, deps.keys)); // takes a Recorded, which only storage can make
  return ok({ ...issued, handle: handleOf(kept.value, decided.value, { ...story.known, handles: deps.handles }) });
}

/** `handle`: of the transaction, for the next exchange; for whoever asked for the token type that knows it. */
export type Exchanged = Issued & Readonly<{ handle: string | undefined }>;

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

/** What happened so far, for the record of however it ends: all of it grows as the exchange goes on. */
type Story = Readonly<{ spends: Spend[]; judged: Judged[]; known: Known }>;
type Step = Readonly<{ caller: Caller; registry: RegistrySnapshot; now: Seconds; story: Story }>;
type Decided = Readonly<{ permit: Permit; delegation: Delegation; joined: Transaction | undefined }>;

async function decideExchange(http: FormRequest, step: Step, deps: ExchangeDeps): Promise<Result<Decided, Refusal>> {
  const { caller, registry, now, story } = step;
  const { settings } = deps;
  const proof = verifyRequestProof(http, { uri: settings.tokenEndpoint, now, clientId: caller.clientId });
  if (!proof.ok) return proof;
  story.spends.push(...proof.value.spends);
  const request = parseRequest(http.form, settings.trustDomain);
  if (!request.ok) return request;
  Object.assign(story.known, { request: request.value });
  const actor = await verifyActor(request.value.actor?.token, caller, {
    issuer: settings.issuer,
    skew: settings.skew,
    now,
    keys: deps.clientKeys,
    jkt: proof.value.jkt,
  });
  if (!actor.ok) return actor;
  story.spends.push(...actor.value.spends);
  const met = await http.trace('subject', () => readSubject(request.value, step, deps));
  if (!met.ok) return met;
  const { subject, session } = met.value;
  const alone = delegate({ subject, presenter: actor.value.presenter, wanted: request.value.wanted }, settings);
  Object.assign(story.known, { personId: subject.person.id });
  if (!alone.ok) return alone;
  Object.assign(story.known, { delegation: alone.value });
  const { handle } = request.value;
  const joined = handle === undefined ? ok(undefined) : deps.handles.open(handle, now);
  if (!joined.ok) return joined;
  const delegation = joined.value === undefined ? alone : join(alone.value, joined.value);
  if (!delegation.ok) return delegation;
  Object.assign(story.known, { delegation: delegation.value });
  const fits = checkRequestedType(request.value, registry);
  if (!fits.ok) return fits;
  const { decisionPoints } = deps;
  const opinions =
    decisionPoints && (await http.trace('opinions', () => collect(delegation.value, step, decisionPoints)));
  const { issuer, trustDomain } = settings;
  const permit = http.trace('policy', () =>
    decide(
      delegation.value,
      {
        registry,
        policies: deps.policies(registry),
        opinions,
        network: http.network,
        session: session && sessionFacts(session, delegation.value, now),
        issuer,
        trustDomain,
        onJudged: (judged) => story.judged.push(judged),
      },
      now,
    ),
  );
  return permit.ok ? ok({ permit: permit.value, delegation: delegation.value, joined: joined.value }) : permit;
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
  Object.assign(story.known, { opinions: given });
  return { wanted, given };
}

async function readSubject(
  { subjectToken, subjectTokenType }: ExchangeRequest,
  { caller, registry, now }: Step,
  deps: ExchangeDeps,
): Promise<Result<Met, Refusal>> {
  const { issuer, trustDomain, skew } = deps.settings;
  const subject = await verifySubject({ token: subjectToken, type: subjectTokenType }, caller, {
    issuer,
    trustDomain,
    skew,
    now,
    registry,
    keys: deps.keys.verification,
    clientKeys: deps.clientKeys,
    remembered: deps.remembered,
  });
  if (!subject.ok) return subject;
  const { person, run } = subject.value;
  const { attributes, session } = await deps.people.known(
    person.id,
    deps.policies(registry)?.looksAtSession === true ? run : undefined,
  );
  // What this exchange comes with weakens the session.
  if (session?.opened?.acr !== undefined && session.opened.acr !== subject.value.acr) deps.people.forget(run);
  if (person.issuer === undefined || person.subject === undefined)
    return ok({ subject: { ...subject.value, person: { ...person, attributes } }, session });
  const id = await deps.people.find(person.issuer, person.subject);
  return ok({ subject: { ...subject.value, person: { ...person, id } }, session });
}

type Met = Readonly<{ subject: Subject; session: SessionSeen | undefined }>;

/** Txn-AT draft section 4 and RFC 8693 section 2.1: the type that was asked for must be what this target gets. */
function checkRequestedType(
  { requestedType, wanted }: ExchangeRequest,
  registry: RegistrySnapshot,
): Result<null, Refusal> {
  if (requestedType === undefined) return ok(null);
  const fits = typeFor(wanted.target, registry);
  return fits === undefined || fits === requestedType ? ok(null) : err({ reason: 'requested_type_does_not_fit', fits });
}

function typeFor(target: ExchangeRequest['wanted']['target'], registry: RegistrySnapshot): TokenType | undefined {
  switch (target.kind) {
    case 'domain':
      return TokenType.txnToken;
    case 'agent':
      return TokenType.accessToken;
    case 'server': {
      const shape = registry.serverByResource(target.resource)?.token_shape;
      return shape === undefined ? undefined : shape === 'at+jwt' ? TokenType.accessToken : TokenType.txnAccessToken;
    }
  }
}

/** The permit is spent, the person gets a stable id, and the record is made durable before anything is signed. */
async function record(
  { permit, delegation, joined }: Decided,
  story: Story & Pick<Step, 'registry'>,
  deps: ExchangeDeps,
): Promise<Result<Recorded, Refusal | Stale>> {
  const { settings } = deps;
  const { now, registryVersion, http } = story.known;
  const { personId, newcomer, met } = identify(delegation);
  const token = prepare(permit, {
    issuer: settings.issuer,
    personId,
    kid: deps.keys.active().kid,
    now,
    lifetimes: settings.lifetimes,
  });
  const reserved = reserve(token.grant, {
    ...{ delegation, personId, registry: story.registry, now },
    ...{ issuer: settings.issuer, general: settings.budgets },
  });
  if (!reserved.ok) return refuse(reserved.error, story, deps);
  const reservation = reserved.value;
  const { subject } = delegation;
  const kept = await deps.committer.permit({
    decision: 'permit',
    requestId: http.requestId,
    record: exchangeRecord({ ...story.known, delegation, token, personId, met, reservation }),
    spends: story.spends,
    registryVersion,
    now,
    acr: subject.acr,
    isOver: http.isOver,
    session: wishOf(delegation, { personId, joined, expiresAt: now + settings.sessionLife }),
    token,
    personId,
    newcomer,
    lineage: [...subject.lineage, ...actingIn(delegation, personId, settings.issuer), ...keysOf(story.known.caller)],
    marks: marksOf(token),
    issuedAt: subject.issuedAt,
    parent: subject.recordedAs,
    ...(reservation === undefined ? {} : { reservation }),
  });
  if (!kept.ok) deps.people.forget(subject.run);
  // A key that was withdrawn a moment ago is the one thing that only the keys, not the registry, can make good.
  if (!kept.ok && kept.error.reason === 'stale') await deps.keys.refresh();
  if (!kept.ok && (await isSomebodyElseNow(delegation, kept.error, deps.people))) return err({ reason: 'stale' });
  if (kept.ok) keepInputs({ ...story, decision: token.receipt.decision, person: personId }, deps);
  return kept;
}

type Wishing = Readonly<{ personId: string; joined: Transaction | undefined; expiresAt: Seconds }>;

/** A transaction goes on in its own session and in no other. */
function wishOf(
  { subject, presenter, jkt, context }: Delegation,
  { personId, joined, expiresAt }: Wishing,
): Permitted['session'] {
  if ('session' in subject.run) return { continue: subject.run.session };
  const { key: runKey, signedInAt, above } = subject.run;
  if (joined !== undefined) return { continue: joined.session, of: runKey };
  const open = {
    ...{ runKey, signedInAt, above, personId, expiresAt },
    newId: newId('ses'),
    agentId: presenter.clientId,
    jkt: subject.jkt !== undefined || subject.mustBind ? jkt : undefined,
    purpose: context.purpose,
  };
  return { open };
}

/** Whoever was erased and comes again is a new person, though this process still remembers the old id. */
async function isSomebodyElseNow(
  { person: { id, issuer, subject } }: Delegation,
  { reason }: CommitRefusal | Stale,
  people: People,
): Promise<boolean> {
  if (reason !== 'revoked' && reason !== 'person_disabled') return false;
  if (id === undefined || issuer === undefined || subject === undefined) return false;
  return (await people.findAnew(issuer, subject)) !== id;
}

/** The person's stable id; whom we meet for the first time gets one, which counts if the commit permits. */
function identify({
  person: { id, issuer, subject, attributes },
}: Delegation): Pick<Permitted, 'personId' | 'newcomer'> & Pick<Known, 'met'> {
  if (id !== undefined || issuer === undefined || subject === undefined)
    return { personId: id ?? '', newcomer: undefined, met: undefined };
  const salt = randomText(16);
  const met = personCommitment(salt, { issuer, subject });
  return { personId: newId('prs'), newcomer: { issuer, subject, attributes, salt }, met };
}

/** A refusal is recorded like a permit; only then is the client told. */
async function refuse(refusal: Refusal, story: Story, deps: ExchangeDeps): Promise<Result<never, Refusal | Stale>> {
  const { known, spends } = story;
  const decision = 'decision' in refusal ? refusal.decision : newId('dec');
  const outcome: NotPermitted = {
    decision: 'ask' in refusal ? 'ask' : 'refuse',
    reason: reasonOf(refusal),
    requestId: known.http.requestId,
    record: exchangeRecord({ ...known, decision, evidence: evidenceOf(refusal) }),
    spends,
    registryVersion: known.registryVersion,
    now: known.now,
    acr: known.delegation?.subject.acr,
    isOver: known.http.isOver,
    transaction: known.delegation?.subject.transaction,
    session: sessionOf(known.delegation),
  };
  const kept = await known.http.trace('commit', () => deps.committer.refuse(outcome));
  if (kept.ok) reportDrift(refusal, known, deps.drift);
  if (kept.ok) keepInputs({ ...story, decision, person: known.personId }, deps);
  return kept.ok ? err(refusal) : kept;
}

/** TL-01: what an agent itself was shown counts; a pin that its subject token has from earlier says nothing new. */
function reportDrift(refusal: Refusal, { caller, request }: Known, drift: Drift): void {
  if (!('reason' in refusal) || refusal.reason !== 'tool_changed' || caller.party.kind !== 'agent') return;
  if (request?.wanted.target.kind !== 'server') return;
  const shown = request.wanted.tools?.find(({ name }) => name === refusal.tool)?.definitionSha256;
  if (shown !== refusal.seen) return;
  drift.seen({ resource: request.wanted.target.resource, tool: refusal.tool, sha256: shown, by: caller.clientId });
}

/** A refusal joins the session that there is; it never opens one. */
function sessionOf(delegation: Delegation | undefined): NotPermitted['session'] {
  const run = delegation?.subject.run;
  if (run === undefined) return undefined;
  return 'session' in run ? { continue: run.session } : { join: run.key };
}
