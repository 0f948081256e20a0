import { newId, ok, randomText, type Result } from '../base/index.js';
import type { Delegation, Subject } from '../delegation/index.js';
import { personCommitment } from '../protocol/index.js';
import type { SessionSeen } from '../session/index.js';
import type { ExchangeDeps } from './deps.js';
import type { People, Permitted, Stale } from './ports.js';
import type { Known } from './record.js';
import type { CommitRefusal, Refusal } from './refusal.js';
import type { ExchangeRequest } from './request.js';
import type { Step } from './story.js';
import { verifySubject } from './subject.js';

type Met = Readonly<{ subject: Subject; session: SessionSeen | undefined }>;

/** Whose token it is, what we know of this person, and the session that the exchange goes on in, where a policy looks at it. */
export async function readSubject(
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

/** The person's stable id; whom we meet for the first time gets one, which counts if the commit permits. */
export function identify({
  person: { id, issuer, subject, attributes },
}: Delegation): Pick<Permitted, 'personId' | 'newcomer'> & Pick<Known, 'met'> {
  if (id !== undefined || issuer === undefined || subject === undefined)
    return { personId: id ?? '', newcomer: undefined, met: undefined };
  const salt = randomText(16);
  const met = personCommitment(salt, { issuer, subject });
  return { personId: newId('prs'), newcomer: { issuer, subject, attributes, salt }, met };
}

/** Whoever was erased and comes again is a new person, though this process still remembers the old id. */
export async function isSomebodyElseNow(
  { person: { id, issuer, subject } }: Delegation,
  { reason }: CommitRefusal | Stale,
  people: Pick<People, 'findAnew'>,
): Promise<boolean> {
  if (reason !== 'revoked' && reason !== 'person_disabled') return false;
  if (id === undefined || issuer === undefined || subject === undefined) return false;
  return (await people.findAnew(issuer, subject)) !== id;
}
