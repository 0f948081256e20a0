/** All text of recovery codes. */
export const RECOVERY = {
  lost: 'You lost your passkey? Use a recovery code',
  section: {
    title: 'If I lose my passkey',
    none: 'You have no recovery codes. Without them only an administrator can let you in again.',
    left: 'Recovery codes that are left:',
    make: 'Make ten recovery codes',
    renew: 'Make ten new ones instead',
  },
  made: {
    title: 'Your recovery codes',
    advice:
      'They are shown this once, so print them or keep them where your passkey is not. All that you had before are void.',
    use: 'Each lets you make one new passkey. It takes away the old ones, signs you out everywhere and ends what agents hold in your name. Nobody ever has a reason to ask you for one.',
    back: 'I have kept them',
  },
  page: {
    title: 'Use a recovery code',
    lead: 'With a code you make a new passkey. It signs you in nowhere by itself.',
    label: 'Recovery code',
    hint: '28 letters and digits. Hyphens, blanks and capitals do not matter.',
    danger:
      'All your old passkeys end at once, and so do all sign-ins and all that agents hold in your name. Then you have 15 minutes to make the new one.',
    go: 'End them, and make a new passkey',
  },
  problems: {
    bad: 'This code is not good here. It may have been used or replaced. Try another one, or ask your administrator for a link.',
    not_from_here: 'That did not come from this page, so nothing has changed. Please enter the code here.',
  },
} as const;

export type RecoveryProblem = keyof typeof RECOVERY.problems;
