import { err, ok, type Result, type Seconds } from '../base/index.js';
import { type Approver, isFresh, mayAnswer } from './approvers.js';
import type { Frozen } from './binding.js';

export const STATES = ['asked', 'granted', 'refused', 'expired', 'withdrawn', 'used'] as const;
export type ApprovalState = (typeof STATES)[number];

/** A demand that was granted, and by whom. */
export type Answer = Readonly<{ policy: string; person: string; at: Seconds }>;

/** One request to people, and how far it has come. */
export type Approval = Readonly<{ frozen: Frozen; state: ApprovalState; answers: readonly Answer[] }>;

export type ApprovalEvent =
  /** `sha256`: of the binding that the person was shown. */
  | Readonly<{ event: 'grant' | 'refuse'; by: Approver; sha256: string }>
  /** By the agent that asked, the server whose tool it is, or the person whom it is about. */
  | Readonly<{ event: 'withdraw'; by: string }>
  /** What was granted counts no more, or is forbidden by now: Writ ends it. */
  | Readonly<{ event: 'lapse' }>
  /** `call`: the digest of what would be done now. */
  | Readonly<{ event: 'use'; call: string }>;

/** Why nothing happened; `state` is what it is and remains. */
export type NotPossible = Readonly<{
  reason: 'over' | 'not_granted' | 'another_request' | 'not_an_approver' | 'already_granted' | 'verify_again';
  state: ApprovalState;
}>;

/** A request to people, before anybody answered. */
export const asked = (frozen: Frozen): Approval => ({ frozen, state: 'asked', answers: [] });

/** What it is by now. A time-out means no, and also what was granted and not fetched is over. */
export function standing(approval: Approval, now: Seconds): Approval {
  const isOpen = approval.state === 'asked' || approval.state === 'granted';
  return isOpen && now >= approval.frozen.binding.expiresAt ? { ...approval, state: 'expired' } : approval;
}

/**
 * What an event makes of a request. INVARIANT: refused, expired, withdrawn and used are for ever, so that of two writers
 * the first one wins. It keeps nothing: whoever stores what it answers has to compare the state that it was given.
 */
export function transition(approval: Approval, event: ApprovalEvent, now: Seconds): Result<Approval, NotPossible> {
  const current = standing(approval, now);
  const { state } = current;
  if (state !== 'asked' && state !== 'granted') return err({ reason: 'over', state });
  switch (event.event) {
    case 'grant':
      return grant(current, event, now);
    case 'refuse':
      return refuse(current, event);
    case 'withdraw':
      return withdraw(current, event.by);
    case 'lapse':
      return state === 'granted' ? ok({ ...current, state: 'withdrawn' }) : err({ reason: 'not_granted', state });
    case 'use':
      return use(current, event.call);
  }
}

type Said = Readonly<{ by: Approver; sha256: string }>;

/** Several demands: all have to be granted, each by somebody whom it names. */
function grant(approval: Approval, said: Said, now: Seconds): Result<Approval, NotPossible> {
  const heard = hear(approval, said);
  if (!heard.ok) return heard;
  const { demands } = approval.frozen.binding;
  const open = heard.value.filter((policy) => !approval.answers.some((answer) => answer.policy === policy));
  if (open.length === 0) return err({ reason: 'already_granted', state: approval.state });
  if (!isFresh(said.by, now)) return err({ reason: 'verify_again', state: approval.state });
  const answers = [...approval.answers, ...open.map((policy) => ({ policy, person: said.by.person, at: now }))];
  return ok({ ...approval, answers, state: answers.length === demands.length ? 'granted' : 'asked' });
}

/** One no is enough, and it needs no fresh sign-in: it takes nothing from anybody but the asking agent. */
function refuse(approval: Approval, said: Said): Result<Approval, NotPossible> {
  const heard = hear(approval, said);
  if (!heard.ok) return heard;
  return approval.state === 'asked'
    ? ok({ ...approval, state: 'refused' })
    : err({ reason: 'already_granted', state: approval.state });
}

/** The policies whose demands this person may answer, if what they answer is what they were shown (ATTACKS AP-01, AP-09). */
function hear({ frozen, state }: Approval, { by, sha256 }: Said): Result<readonly string[], NotPossible> {
  if (sha256 !== frozen.sha256) return err({ reason: 'another_request', state });
  const { call, demands } = frozen.binding;
  const theirs = demands.filter((demand) => mayAnswer(by, demand, call.person)).map(({ policy }) => policy);
  return theirs.length > 0 ? ok(theirs) : err({ reason: 'not_an_approver', state });
}

function withdraw(approval: Approval, by: string): Result<Approval, NotPossible> {
  const { person, chain, server } = approval.frozen.binding.call;
  const isTheirs = [person, chain[0], server].includes(by);
  return isTheirs ? ok({ ...approval, state: 'withdrawn' }) : err({ reason: 'another_request', state: approval.state });
}

/** One approval, one token, for exactly the call that was approved (ATTACKS AP-02, AP-11). */
function use(approval: Approval, call: string): Result<Approval, NotPossible> {
  const { state, frozen } = approval;
  if (state !== 'granted') return err({ reason: 'not_granted', state });
  return call === frozen.call ? ok({ ...approval, state: 'used' }) : err({ reason: 'another_request', state });
}
