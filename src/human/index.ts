export { type ApprovalDeps, approvalRoutes } from './approval.js';
export { approvalsPrefix, type ApprovalsDeps, approvalsRoutes } from './approvals.js';
export { type ConsentRequest, consentRequest, type ConsentTool } from './consent.js';
export type { Consent, ConsentPlace, Consents } from './consents.js';
export { enrolmentRoutes, type EnrolmentDeps } from './enrolment.js';
export { html, Markup, type Page, page, sendPage } from './html.js';
export {
  type IdentityProvider,
  SignInAt,
  type SignedIn,
  type SignInFlaw,
  type SignInSecrets,
  type SignInWish,
} from './identity-provider.js';
export type {
  BreakGlassPasswords,
  Challenges,
  Invited,
  LocalAccount,
  LocalAccounts,
  NewPasskey,
  OwnPasskeys,
  RecoveryCodes,
} from './local-accounts.js';
export { type CompanyLogout, type LogoutFlaw, readLogoutToken } from './logout-token.js';
export { type Narrowing, narrowed, type NarrowingFlaw } from './narrowing.js';
export { toldRoutes } from './told.js';
export { shownInTime } from './in-trouble.js';
export { ownConsentsRoutes } from './own-consents.js';
export { ownDeedsRoutes } from './own-deeds.js';
export { ownPasskeyRoutes } from './own-passkey.js';
export { OwnSessions, type SignInRecords } from './own-session.js';
export { ownCallback } from './own-sign-in.js';
export { chooserPage, consentPage, type ConsentProblem, continuePage, type Trouble, troublePage } from './pages.js';
export { signInPage } from './passkey-pages.js';
export { type PasskeyFlaw, Passkeys, type Verified } from './passkeys.js';
export { PASSWORD_AGAIN, type PasswordFlaw, Passwords } from './password.js';
export type { Person, PersonAttributes, PersonDirectory } from './people.js';
export { recoverRoutes } from './recover.js';
export { type PageSecrets, pageSecrets } from './secrets.js';
export { signedOutPage, type SignOutProblem, signOutPage } from './sign-out-pages.js';
