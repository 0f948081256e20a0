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
    told: 'To choose how you are told, sign in again first. Nothing has changed yet.',
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
  consents: {
    title: 'What I have allowed',
    nothing: 'There is nothing that an agent could come back with.',
    all: 'Everything that I have allowed',
    given: 'Allowed',
    scopes: 'With',
    tools: 'Only',
    others: 'and so many more:',
    while: { away: 'It may also go on while you are away.', here: 'Only until its first token is over.' },
    revoke: 'Take back',
  },
  toAll: 'All that waits, and all that can act for you',
  all: 'Stop everything at once, and sign out everywhere',
  problems: {
    not_from_here: 'That did not come from this page as it is now, so nothing has changed. Please choose here.',
    changed: 'That has changed meanwhile, so nothing was done. This is how it stands now.',
    bad_address: 'A webhook is an https address on the public internet, of at most 2,048 characters.',
    bad_subscription: 'This browser did not say where it takes messages. Nothing has changed; try again.',
    too_many_channels: 'You are told in eight places already. Take one away first.',
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

/** Why a page of /approvals is shown again. */
export type ApprovalsProblem = keyof typeof APPROVALS.problems;

/** All text of how people are told of what waits. */
export const TOLD = {
  title: 'How I am told',
  nowhere: 'Nothing tells you of what waits, so look here.',
  kinds: { push: 'A browser, by', webhook: 'A webhook, at' },
  failing: 'does not take messages at the moment',
  stop: 'Stop telling me here',
  push: 'Tell me on this device',
  denied: 'This browser is not allowed to show messages. Allow it in its settings, then try again.',
  missing: 'This browser cannot show messages. You can add this page to your home screen, or use another browser.',
  webhook: 'Tell a program of mine (webhook)',
  address: 'Its https address',
  add: 'Add it',
  secret: {
    title: 'Your webhook is ready',
    advice: 'Each message is signed by this secret (Standard Webhooks). It is shown this once, so keep it now.',
    back: 'Back',
  },
  app: { name: 'Writ approvals', short: 'Approvals' },
} as const;
