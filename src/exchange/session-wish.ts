import { newId, type Seconds } from '../base/index.js';
import type { Delegation } from '../delegation/index.js';
import type { Transaction } from './handle.js';
import type { NotPermitted, Permitted } from './ports.js';

type Wishing = Readonly<{ personId: string; joined: Transaction | undefined; expiresAt: Seconds }>;

/** A transaction goes on in its own session and in no other. */
export function wishOf(
  { subject, presenter, jkt, context }: Delegation,
  { personId, joined, expiresAt }: Wishing,
): Permitted['session'] {
  if ('session' in subject.run) return { continue: subject.run.session };
  const { key: runKey, signedInSince, above } = subject.run;
  if (joined !== undefined) return { continue: joined.session, of: runKey };
  const open = {
    ...{ runKey, signedInSince, above, personId, expiresAt },
    newId: newId('ses'),
    agentId: presenter.clientId,
    jkt: subject.jkt !== undefined || subject.mustBind ? jkt : undefined,
    purpose: context.purpose,
  };
  return { open };
}

/** A refusal joins the session that there is; it never opens one. */
export function sessionOf(delegation: Delegation | undefined): NotPermitted['session'] {
  const run = delegation?.subject.run;
  if (run === undefined) return undefined;
  return 'session' in run ? { continue: run.session } : { join: run.key };
}
