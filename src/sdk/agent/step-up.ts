import type { Seconds } from '../../base/index.js';
import { unlessAborted } from './abort.js';
import { AgentError } from './errors.js';
import type { Discovery } from './issuer.js';
import { personOf } from './person.js';

/** Why the person has to sign in again, and how (RFC 9470). */
export type StepUp = Readonly<{
  /** The tool of the call that waits for it. */
  tool: string | undefined;
  /** Any one of these classes will do; none: any class. */
  acrValues: readonly string[];
  /** How many seconds ago the sign-in may have been. */
  maxAge: Seconds | undefined;
  /** What the authors of the policies tell the caller. */
  reasons: readonly string[];
  /** Where the issuer signs people in, if it does. */
  authorizationEndpoint: string | undefined;
  /** What to add there to the request of the app's own sign-in, whose scope has to have `openid`. */
  parameters: Readonly<Record<string, string>>;
}>;

/** Has the person sign in again; resolves with their new token. Whoever cannot, rejects, and so does the call. */
export type SignInAgain = (needed: StepUp, signal: AbortSignal) => string | Promise<string>;

type Needed = Pick<StepUp, 'tool' | 'acrValues' | 'maxAge' | 'reasons'>;

/** What a refusal by the issuer asks for, if it is that. */
export function neededBy(error: unknown, tool: string | undefined): Needed | undefined {
  if (!(error instanceof AgentError) || error.code !== 'insufficient_user_authentication') return undefined;
  const { acr_values: acrValues = '', max_age: maxAge, reasons = [] } = error.advice ?? {};
  return { tool, acrValues: words(acrValues), maxAge, reasons };
}

/** What an MCP server's challenge asks for, if it is that (RFC 9470 section 3). */
export function neededFor({ status, headers }: Response, tool: string | undefined): Needed | undefined {
  const challenge = headers.get('www-authenticate') ?? '';
  if (status !== 401 || parameterOf(challenge, 'error') !== 'insufficient_user_authentication') return undefined;
  const maxAge = parameterOf(challenge, 'max_age') ?? '';
  return {
    tool,
    acrValues: words(parameterOf(challenge, 'acr_values') ?? ''),
    maxAge: /^\d{1,8}$/.test(maxAge) ? Number(maxAge) : undefined,
    reasons: [],
  };
}

/** Whose token it is, and how to get a fresh one: one sign-in for all calls that wait for the same. */
export interface SubjectTokens {
  current(): Promise<string>;
  again(needed: Needed, signal: AbortSignal): Promise<string>;
}

/** See {@link SubjectTokens}. A token that was given as text is replaced by the fresh one; a function knows by itself. */
export function createSubjectTokens(
  given: string | (() => string | Promise<string>),
  signInAgain: SignInAgain,
  discovery: Discovery,
): SubjectTokens {
  let held = given;
  const flights = new Map<string, Flight>();
  const current = async (): Promise<string> => (typeof held === 'string' ? held : held());
  const begin = (key: string, work: (over: AbortSignal) => Promise<string>): Flight => {
    const over = new AbortController();
    const done = work(over.signal).finally(() => flights.delete(key));
    const flight = { done, over, waiting: 0 };
    flights.set(key, flight);
    return flight;
  };
  const signIn = async (needed: Needed, signal: AbortSignal): Promise<string> => {
    const { authorization_endpoint: authorizationEndpoint } = await discovery();
    const before = await current();
    const parameters = Object.freeze(parametersOf(needed));
    const fresh = await signInAgain(Object.freeze({ ...needed, authorizationEndpoint, parameters }), signal);
    requireSamePerson(before, fresh);
    if (typeof held === 'string') held = fresh;
    return fresh;
  };
  return {
    current,
    again: (needed, signal) => {
      const { acrValues, maxAge } = needed;
      const key = JSON.stringify([acrValues, maxAge]);
      const flight = flights.get(key) ?? begin(key, (over) => signIn(needed, over));
      return waitFor(flight, signal);
    },
  };
}

type Flight = { readonly done: Promise<string>; readonly over: AbortController; waiting: number };

/** The person is asked for all who wait: only when the last of them has given up is the host told to stop asking. */
async function waitFor(flight: Flight, signal: AbortSignal): Promise<string> {
  flight.waiting++;
  try {
    return await unlessAborted(flight.done, signal);
  } finally {
    flight.waiting--;
    if (flight.waiting === 0) flight.over.abort(signal.reason);
  }
}

const parametersOf = ({ acrValues, maxAge }: Needed): Record<string, string> => ({
  ...(acrValues.length === 0 ? {} : { acr_values: acrValues.join(' ') }),
  ...(maxAge === undefined ? {} : { max_age: String(maxAge) }),
});

/** DANGER: who sits at the browser now may be somebody else, and the call would be made in their name. */
function requireSamePerson(before: string, fresh: string): void {
  const [one, other] = [personOf(before), personOf(fresh)];
  if (one !== undefined && other !== undefined && one !== other)
    throw new AgentError('other_person', 'somebody else signed in than the one whose call it is');
}

/** One parameter of a challenge, as a quoted string without escapes (RFC 9110 section 11.2). */
const parameterOf = (challenge: string, name: string): string | undefined =>
  new RegExp(`[\\s,]${name}="([^"\\\\]*)"`).exec(challenge)?.[1];

const words = (text: string): readonly string[] => Object.freeze(text.split(' ').filter((word) => word !== ''));
