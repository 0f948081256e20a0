import { err, newId, type Result } from '../base/index.js';
import { prepare, type Recorded } from '../token/index.js';
import { reserve } from './budgets.js';
import type { ExchangeDeps } from './deps.js';
import { keepInputs } from './inputs.js';
import { actingIn, keysOf, marksOf } from './lineage.js';
import { identify, isSomebodyElseNow } from './person.js';
import type { NotPermitted, Stale } from './ports.js';
import { exchangeRecord } from './record.js';
import { evidenceOf, type Refusal, reasonOf } from './refusal.js';
import { sessionOf, wishOf } from './session-wish.js';
import { sightingOf } from './sighting.js';
import { keepForRedemption, spendOf } from './redeeming.js';
import type { Decided, Step, Story } from './story.js';

/** The permit is spent, the person gets a stable id, and the record is made durable before anything is signed. */
export async function record(
  { permit, delegation, joined }: Decided,
  story: Story & Pick<Step, 'registry' | 'redeeming'>,
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
    approval: story.redeeming?.held.id,
  });
  const reserved = reserve(token.grant, {
    ...{ delegation, personId, registry: story.registry, now },
    ...{ issuer: settings.issuer, general: settings.budgets },
  });
  if (!reserved.ok) return refuse(reserved.error, story, deps);
  const reservation = reserved.value;
  const { subject } = delegation;
  await keepForRedemption(story, { token, joined }, deps);
  const kept = await deps.committer.permit({
    decision: 'permit',
    requestId: http.requestId,
    record: exchangeRecord({ ...story.known, delegation, token, personId, met, reservation }),
    spends: [...story.spends, ...spendOf(story.redeeming)],
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
    issuedSince: subject.issuedSince,
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

/** A refusal is recorded like a permit; only then is the client told. */
export async function refuse(
  refusal: Refusal,
  story: Story,
  deps: ExchangeDeps,
): Promise<Result<never, Refusal | Stale>> {
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
  const sighting = kept.ok ? sightingOf(refusal, known) : undefined;
  if (sighting !== undefined) deps.drift.seen(sighting);
  if (kept.ok) keepInputs({ ...story, decision, person: known.personId }, deps);
  return kept.ok ? err(refusal) : kept;
}
