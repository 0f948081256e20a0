export { type ConsentRequest, consentRequest, type ConsentTool } from './consent.js';
export { html, Markup, type Page, page } from './html.js';
export {
  type IdentityProvider,
  SignInAt,
  type SignedIn,
  type SignInFlaw,
  type SignInSecrets,
  type SignInWish,
} from './identity-provider.js';
export { type Narrowing, narrowed, type NarrowingFlaw } from './narrowing.js';
export { chooserPage, consentPage, type ConsentProblem, continuePage, type Trouble, troublePage } from './pages.js';
export type { Person, PersonAttributes, PersonDirectory } from './people.js';
export { type PageSecrets, pageSecrets } from './secrets.js';
export { signedOutPage, type SignOutProblem, signOutPage } from './sign-out-pages.js';
