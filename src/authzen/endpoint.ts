import { ok, type Result } from '../base/index.js';
import { asClient, type AsClientDeps, withBearerAssertion } from '../client/index.js';
import type { ActivePolicies, DecisionPoints } from '../policy/index.js';
import { type Answer, copyJson, type FormRequest, type Json, type JsonObject, type Notes } from '../protocol/index.js';
import { decideOne } from './decide.js';
import type { Kept, Moment } from './moment.js';
import type { AskedPeople, DecisionLog } from './ports.js';
import { decisionRecord } from './record.js';
import { type Evaluations, type FieldFlaw, readEvaluation, readEvaluations } from './request.js';

export type AuthzenDeps = AsClientDeps &
  Readonly<{
    settings: AsClientDeps['settings'] & Readonly<{ trustDomain: string }>;
    people: AskedPeople;
    policies: ActivePolicies;
    /** `undefined` where none is configured. */
    decisionPoints: DecisionPoints | undefined;
    decisions: DecisionLog;
  }>;

const HEADERS = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;

/** AuthZEN 1.0: one question, one decision. A no is a 200; everything else is about the request. */
export const evaluationEndpoint = (http: FormRequest, body: JsonObject, deps: AuthzenDeps): Promise<Answer> =>
  answerQuestions(http, '/access/v1/evaluation', () => readEvaluation(body), deps);

/** AuthZEN 1.0: up to 64 questions at once, each decided by itself. */
export const evaluationsEndpoint = (http: FormRequest, body: JsonObject, deps: AuthzenDeps): Promise<Answer> =>
  answerQuestions(http, '/access/v1/evaluations', () => readEvaluations(body), deps);

/** Who calls, what each answer is, the record of them all, then the answers: what cannot be recorded is not answered (AU-02). */
async function answerQuestions(
  http: FormRequest,
  route: string,
  read: () => Result<Evaluations, FieldFlaw>,
  deps: AuthzenDeps,
): Promise<Answer> {
  const answer = await asClient(withBearerAssertion(http), route, deps, async (caller, registry, now) => {
    const { issuer, trustDomain } = deps.settings;
    const { decisionPoints: points } = deps;
    const rules = { registry, policies: deps.policies(registry), points, issuer, trustDomain };
    const moment: Moment = { caller, rules, people: deps.people, now, http };
    const asked = read();
    const decided = asked.ok ? await http.trace('policy', () => decideAll(asked.value, moment)) : asked;
    const kept = await keep(decided.ok ? decided.value : [], http, moment, deps);
    if (kept !== undefined) return kept;
    if (!decided.ok) return malformed(decided.error);
    return answerOf(decided.value, asked.ok && asked.value.semantic !== undefined);
  });
  return answer.status === 401 ? challenged(answer) : answer;
}

async function decideAll(
  { questions, semantic }: Evaluations,
  moment: Moment,
): Promise<Result<readonly Kept[], FieldFlaw>> {
  const decided: Kept[] = [];
  const stopAt = semantic === 'deny_on_first_deny' ? false : semantic === 'permit_on_first_permit' ? true : undefined;
  for (const [at, question] of questions.entries()) {
    const one = await decideOne(question, semantic === undefined ? '' : `evaluations.${String(at)}.`, moment);
    if (!one.ok) return one;
    decided.push(one.value);
    if (one.value.answer.decision === stopAt) break;
  }
  return ok(decided);
}

async function keep(
  decided: readonly Kept[],
  http: FormRequest,
  moment: Moment,
  { decisions }: AuthzenDeps,
): Promise<'stale' | 'replayed' | undefined> {
  const { caller, rules } = moment;
  const { requestId } = http;
  const registryVersion = rules.registry.version;
  const leaves = decided.map((one) => decisionRecord(one, moment));
  const { spends, keyThumbprint } = caller;
  const batch = { requestId, registryVersion, spends, keyThumbprint, leaves };
  const state = await http.trace('commit', () => decisions.keep(batch));
  if (state.registryVersion !== registryVersion) return 'stale';
  return state.replayed ? 'replayed' : undefined;
}

function answerOf(decided: readonly Kept[], isList: boolean): Answer {
  const answers: readonly Json[] = decided.map(({ answer }) => copyJson(answer));
  const [first = null] = answers;
  return { status: 200, headers: HEADERS, body: isList ? { evaluations: answers } : first, notes: notesOf(decided) };
}

/** For the operator: the worst of the answers. */
function notesOf(decided: readonly Kept[]): Notes {
  const worst =
    decided.find(({ outcome }) => outcome.decision === 'refuse') ??
    decided.find(({ outcome }) => outcome.decision === 'ask');
  if (worst === undefined) return { outcome: 'permitted' };
  const { decision, reason } = worst.outcome;
  return { outcome: decision === 'ask' ? 'asked' : 'refused', reason };
}

const malformed = ({ path, hint }: FieldFlaw): Answer => invalid(`${path} ${hint}`);

const invalid = (error_description: string): Answer => ({
  status: 400,
  headers: HEADERS,
  body: { error: 'invalid_request', error_description },
});

/** RFC 9110 section 11.6.1: a 401 says how to authenticate. */
const challenged = (answer: Answer): Answer => ({
  ...answer,
  headers: { ...answer.headers, 'WWW-Authenticate': 'Bearer realm="writ", Basic realm="writ"' },
});
