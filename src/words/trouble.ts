/** All text of pages that say what went wrong, each with its status. */
export const TROUBLE = {
  code: 'Error code:',
  away: {
    status: 503,
    title: 'This page cannot be shown right now',
    advice: 'Something that this server depends on is down. Try again in a minute.',
  },
  broken: {
    status: 500,
    title: 'Something went wrong',
    advice: 'It was not your fault, and it is noted. Try again; if it stays so, tell your administrator.',
  },
  // Unknown, used and over look the same.
  noInvitation: {
    status: 404,
    title: 'This link is not valid any more',
    advice: 'It has expired or was used before. Ask your administrator for a new one.',
  },
  tooManyLinks: {
    status: 429,
    title: 'Too many requests from your network',
    advice: 'Wait a minute and try again.',
  },
  nothingHere: {
    status: 404,
    title: 'There is nothing here',
    advice: 'It has ended, was never there, or is not yours. Open /approvals to see what is.',
  },
  tooManySignIns: {
    status: 429,
    title: 'Too many sign-ins from your network',
    advice: 'More sign-ins were begun from where you are than this server takes. Wait a minute and try again.',
  },
  noProvider: {
    status: 503,
    title: 'Nobody can sign in here yet',
    advice: 'This server has no identity provider. Its administrator has to configure one.',
  },
  providerDown: {
    status: 502,
    title: 'The sign-in does not answer',
    advice: 'Your identity provider cannot be reached right now. Go back to the agent and try again in a few minutes.',
  },
  signInFailed: {
    status: 400,
    title: 'The sign-in failed',
    advice: 'What your identity provider answered could not be verified. Go back to the agent and start again.',
  },
  clientIsBusy: {
    status: 503,
    title: 'Too many people are signing in to this agent',
    advice: 'More sign-ins to this agent are under way than this server keeps. Try again in a few minutes.',
  },
  // No trouble: there is nothing to end.
  nobodySignedIn: {
    status: 200,
    title: 'You are not signed in here',
    advice: 'Nobody is signed in in this browser, so there is nothing to sign out of.',
  },
  // Expired, used before, or opened in another browser: the page does not say which.
  outdated: {
    status: 400,
    title: 'This page is not valid any more',
    advice: 'It has expired, was used before, or belongs to another browser. Go back to the agent and start again.',
  },
  brokenHere: { title: 'Something went wrong here', advice: 'Try again in a few minutes.' },
  refused: {
    title: 'This request cannot be used',
    advice: 'The agent that sent you here made a request that this server does not accept. Tell whoever runs it.',
  },
} as const;
