const NOT_GOOD = 'This passkey is not good here. Use another one, or ask your administrator for a new link.';
const NONE_USED = 'No passkey was used. You can try again.';

/** All text of passkeys: the button, and the page where an invited person makes one. */
export const PASSKEY = {
  noScript: 'A passkey needs JavaScript, which your browser has switched off here.',
  failed: NONE_USED,
  known: 'This device has a passkey for your account already. Choose another device or security key.',
  missing: 'This browser knows no passkeys. Open the page in a newer one.',
  // What is known of nobody and what does not hold read the same: a page tells nobody who has an account.
  problems: {
    unreadable: NONE_USED,
    stale: 'That took too long, or the page was open twice. Please try again.',
    unknown: NOT_GOOD,
    invalid: NOT_GOOD,
    copied: NOT_GOOD,
  },
  enrol: {
    title: 'Make your passkey',
    welcome: (name: string) => `Welcome, ${name}`,
    lead: 'Make a passkey to sign in here',
    as: 'as',
    noPassword: 'There is no password that somebody could guess, steal or ask you for.',
    facts: [
      ['What happens', 'Your device or security key makes a key of its own and keeps it.'],
      ['How you open it', 'By fingerprint, face or PIN. None of them leaves your device.'],
      ['Not you?', 'Close this page and tell whoever sent you the link.'],
    ],
    make: 'Make a passkey',
  },
  enrolled: {
    title: 'Your passkey is ready',
    choose: 'Whenever an agent asks you to sign in here, choose',
    close: 'You can close this page.',
  },
} as const;
