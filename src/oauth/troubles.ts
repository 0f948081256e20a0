import type { ParameterizedContext } from 'koa';
import { type Page, sendPage as answer, troublePage } from '../human/index.js';

export { answer };

export const NO_PROVIDER = troublePage({
  status: 503,
  title: 'Nobody can sign in here yet',
  advice: 'This server has no identity provider. Its administrator has to configure one.',
});

export const PROVIDER_DOWN = troublePage({
  status: 502,
  title: 'The sign-in does not answer',
  advice: 'Your identity provider cannot be reached right now. Go back to the agent and try again in a few minutes.',
});

export const SIGN_IN_FAILED = troublePage({
  status: 400,
  title: 'The sign-in failed',
  advice: 'What your identity provider answered could not be verified. Go back to the agent and start again.',
});

export const TOO_MANY_SIGN_INS = troublePage({
  status: 429,
  title: 'Too many sign-ins from your network',
  advice: 'More sign-ins were begun from where you are than this server takes. Wait a minute and try again.',
});

export const CLIENT_IS_BUSY = troublePage({
  status: 503,
  title: 'Too many people are signing in to this agent',
  advice: 'More sign-ins to this agent are under way than this server keeps. Try again in a few minutes.',
});

/** No trouble: there is nothing to end. */
export const NOBODY_SIGNED_IN = troublePage({
  status: 200,
  title: 'You are not signed in here',
  advice: 'Nobody is signed in in this browser, so there is nothing to sign out of.',
});

/** Expired, used before, or opened in another browser: the page does not say which. */
export function outdated(context: ParameterizedContext): void {
  answer(
    context,
    troublePage({
      status: 400,
      title: 'This page is not valid any more',
      advice: 'It has expired, was used before, or belongs to another browser. Go back to the agent and start again.',
    }),
  );
}

/** A request of an agent that cannot be answered to the agent: its redirect address is not known to be its own. */
export const refusedPage = (status: number, code: string): Page =>
  troublePage({
    status,
    code: KNOWN_CODE.test(code) ? code : undefined,
    title: status >= 500 ? 'Something went wrong here' : 'This request cannot be used',
    advice:
      status >= 500
        ? 'Try again in a few minutes.'
        : 'The agent that sent you here made a request that this server does not accept. Tell whoever runs it.',
  });

const KNOWN_CODE = /^[a-z_]{1,40}$/;
