import type { Clock, Seconds } from '../base/index.js';
import { type FailureLimit } from '../http/index.js';
import { readLogoutToken, type SignInAt } from '../human/index.js';
import { type Answer, type FormRequest, tooManyRequests } from '../protocol/index.js';
import type { SignOuts } from './ports.js';

export type CompanySignOutDeps = Readonly<{
  signIn: Pick<SignInAt, 'provider' | 'keys'>;
  signOuts: Pick<SignOuts, 'byCompany'>;
  clock: Clock;
  skewSeconds: Seconds;
  /** Networks that keep sending what is no good, told to wait before it is looked at. */
  failures: FailureLimit;
}>;

/** OpenID Connect Back-Channel Logout 1.0 section 2.5: an identity provider says that somebody signed out there. */
export async function companySignOut(http: FormRequest, deps: CompanySignOutDeps): Promise<Answer> {
  const { signIn, signOuts, clock, skewSeconds: skew, failures } = deps;
  const wait = await failures.blocked(http.network);
  if (wait !== undefined) return tooManyRequests(wait);
  const [token, ...more] = http.form.get('logout_token') ?? [];
  if (token === undefined || token === '') return refused('logout_token is missing');
  if (more.length > 0) return refused('logout_token must be sent once');
  const { issuer, clientId, id } = signIn.provider;
  const keys = (kid: string | undefined): ReturnType<SignInAt['keys']> => signIn.keys(kid);
  const logout = await readLogoutToken(token, { issuer, clientId, now: clock.now(), skew, keys });
  if (!logout.ok) await failures.failed(http.network);
  // One that comes again is what a provider does that did not hear us: no attempt at anything.
  else if ((await signOuts.byCompany(logout.value, id)) === 'ended') return DONE;
  return refused('the logout token is not acceptable');
}

const HEADERS = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;
/** Section 2.8. */
const DONE: Answer = { status: 200, headers: HEADERS, body: undefined, notes: { outcome: 'done' } };

const refused = (error_description: string): Answer => ({
  status: 400,
  headers: HEADERS,
  body: { error: 'invalid_request', error_description },
  notes: { outcome: 'refused', reason: 'invalid_request' },
});
