const NOT_GOOD = 'This passkey is not good here. Use another one, or ask your administrator for a new link.';

/** All text of /approvals. */
export const APPROVALS = {
  title: 'Approvals',
  signIn: {
    title: 'Sign in to Writ',
    lead: 'Here you see what agents can do in your name, and stop it. Whoever sent you here, sign in yourself.',
    byPasskey: 'Sign in with a passkey',
    at: 'Sign in at',
    nobody: 'This server has no identity provider yet. Its administrator has to configure one.',
  },
  signInProblems: {
    not_from_here: 'That did not come from this page as it is now, so nothing has changed. Please sign in here.',
    confirm: 'To let an agent go on, sign in again first. Nothing has changed yet.',
    approve: 'To approve, sign in again first. Nothing has changed yet.',
    passkey: 'To make a passkey, sign in again first.',
    denied: 'The sign-in was not completed. You can try again.',
    unverified: 'What your identity provider answered could not be verified. Please try again.',
    unavailable: 'Your identity provider cannot be reached right now. Try again in a few minutes.',
    unreadable: 'No passkey was used. You can try again.',
    stale: 'That took too long, or belongs to another browser. Please try again.',
    account: 'This account is not good here. Use another one, or ask your administrator.',
    unknown: NOT_GOOD,
    invalid: NOT_GOOD,
    copied: NOT_GOOD,
  },
  signedInAs: 'You are signed in as',
  signOut: 'Sign out',
  acting: 'What can act for me',
  nothing: 'No agent has anything under way in your name.',
  more: 'Show more',
  first: 'Back to the first',
  fields: { owner: 'Responsible', since: 'Since', used: 'Last used', until: 'Ends by itself', purpose: 'Purpose' },
  unsaid: 'The agent did not say',
  states: {
    active: 'Active',
    by_you: 'Paused by you',
    by_others: 'Paused by an administrator or a rule, who alone can let it go on',
  },
  actions: { pause: 'Pause', resume: 'Resume', end: 'End' },
  all: 'Stop everything at once, and sign out everywhere',
  problems: {
    not_from_here: 'That did not come from this page as it is now, so nothing has changed. Please choose here.',
    changed: 'That has changed meanwhile, so nothing was done. This is how it stands now.',
  },
  unknown: {
    status: 404,
    title: 'There is nothing here',
    advice: 'It has ended, was never there, or is not yours. Open /approvals to see what is.',
  },
  tooMany: {
    status: 429,
    title: 'Too many sign-ins from your network',
    advice: 'More sign-ins were begun from where you are than this server takes. Wait a minute and try again.',
  },
} as const;
