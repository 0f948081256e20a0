import { APPROVAL, OWN_PASSKEY, WAITING } from './approval.js';
import { APPROVALS, TOLD } from './approvals.js';
import { CONSENT } from './consent.js';
import { NOTICE } from './notice.js';
import { PASSKEY } from './passkey.js';
import { PASSWORD } from './password.js';
import { RECOVERY } from './recovery.js';
import { SIGN_IN, SIGN_OUT } from './sign-in.js';
import { timeInWords, timeLeft } from './time.js';
import { TROUBLE } from './trouble.js';

/**
 * The message catalogue: every word that Writ itself says to people, on its pages and in its messages. What administrators
 * write (names, purposes, the sentences of tools, the reasons of policies) is theirs, and not in here.
 */
export const WORDS = {
  signIn: SIGN_IN,
  signOut: SIGN_OUT,
  passkey: PASSKEY,
  password: PASSWORD,
  recovery: RECOVERY,
  consent: CONSENT,
  approvals: APPROVALS,
  waiting: WAITING,
  told: TOLD,
  approval: APPROVAL,
  ownPasskey: OWN_PASSKEY,
  notice: NOTICE,
  trouble: TROUBLE,
  time: { inWords: timeInWords, left: timeLeft },
} as const;

/** Why a page of /approvals is shown again. */
export type ApprovalsProblem = keyof typeof APPROVALS.problems;
/** Why the page where a recovery code is entered is shown again. */
export type RecoveryProblem = keyof typeof RECOVERY.problems;
