import type { ParameterizedContext } from 'koa';
import { type Page, sendPage as answer, troublePage } from '../human/index.js';
import { WORDS } from '../words/index.js';

export { answer };

const T = WORDS.trouble;

export const NO_PROVIDER = troublePage(T.noProvider);

export const PROVIDER_DOWN = troublePage(T.providerDown);

export const SIGN_IN_FAILED = troublePage(T.signInFailed);

export const TOO_MANY_SIGN_INS = troublePage(T.tooManySignIns);

export const CLIENT_IS_BUSY = troublePage(T.clientIsBusy);

export const NOBODY_SIGNED_IN = troublePage(T.nobodySignedIn);

export function outdated(context: ParameterizedContext): void {
  answer(context, troublePage(T.outdated));
}

/** A request of an agent that cannot be answered to the agent: its redirect address is not known to be its own. */
export const refusedPage = (status: number, code: string): Page =>
  troublePage({
    status,
    code: KNOWN_CODE.test(code) ? code : undefined,
    ...(status >= 500 ? T.brokenHere : T.refused),
  });

const KNOWN_CODE = /^[a-z_]{1,40}$/;
