import { approvalKey, KEY_KEPT } from '../approval/index.js';
import { ok, type Result, type Seconds } from '../base/index.js';
import {
  asClient,
  type AsClientDeps,
  type Caller,
  challenged,
  type Spend,
  withBearerAssertion,
} from '../client/index.js';
import type { ActivePolicies, DecisionPoints } from '../policy/index.js';
import { type Answer, copyJson, type FormRequest, type Json, type JsonObject, type Notes } from '../protocol/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import type { BindingTokens } from './binding-token.js';
import { decideOne } from './decide.js';
import type { Granted } from './kept.js';
import { HEADERS } from './headers.js';
import { REQUESTS } from './metadata.js';
import type { Kept } from './kept.js';
import type { Moment } from './moment.js';
import type { AccessRequests, AskedPeople, DecisionLog, RequestKeys } from './ports.js';
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
    requests: AccessRequests;
    requestKeys: RequestKeys;
    bindings: BindingTokens;
  }>;

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
    const moment = momentOf(http, { caller, registry, now }, deps);
    const asked = read();
    const answered = await decideOnce(asked, http, moment, deps);
    if (answered === 'stale' || answered === 'replayed') return answered;
    if (!answered.ok) return malformed(answered.error);
    return answerOf(answered.value, asked.ok && asked.value.semantic !== undefined);
  });
  return answer.status === 401 ? challenged(answer) : answer;
}

/** Who asks, and by what it is decided. */
export function momentOf(
  http: FormRequest,
  { caller, registry, now }: Readonly<{ caller: Caller; registry: RegistrySnapshot; now: Seconds }>,
  { settings: { issuer, trustDomain }, decisionPoints: points, people, policies, requests, bindings }: AuthzenDeps,
): Moment {
  const rules = { registry, policies: policies(registry), points, issuer, trustDomain };
  const endpoint = `${issuer}${REQUESTS}`;
  return { caller, rules, people, now, http, requests, bindings, endpoint, taken: new Set() };
}

/** One approval, one yes: of what others have spent meanwhile nothing is left, and all is decided over again without it. */
async function decideOnce(
  asked: Result<Evaluations, FieldFlaw>,
  http: FormRequest,
  moment: Moment,
  deps: AuthzenDeps,
): Promise<Result<readonly Kept[], FieldFlaw> | 'stale' | 'replayed'> {
  const before = [...moment.taken];
  const decided = asked.ok ? await http.trace('policy', () => decideAll(asked.value, moment)) : asked;
  const kept = decided.ok ? decided.value : [];
  const state = await keepBatch(kept, http, moment, deps);
  if (state.registryVersion !== moment.rules.registry.version) return 'stale';
  const spent = kept.flatMap(({ spends }) => (spends === undefined ? [] : [spends.held.id]));
  const lost = spent.filter((id) => state.lost.includes(approvalKey(id)));
  if (lost.length > 0) return decideOnce(asked, http, { ...moment, taken: new Set([...before, ...lost]) }, deps);
  if (state.replayed) return 'replayed';
  // Of those from before this try others have had the yes, and may have gone down before they wrote it.
  for (const id of [...before, ...spent]) await deps.requests.used(id, moment.now);
  return decided;
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
    if (one.value.spends !== undefined) moment.taken.add(one.value.spends.held.id);
    if (one.value.answer.decision === stopAt) break;
  }
  return ok(decided);
}

/** Spends what the request brought, and what its answers spend, with the records of those. */
export async function keep(
  decided: readonly Kept[],
  http: FormRequest,
  moment: Moment,
  deps: Pick<AuthzenDeps, 'decisions'>,
): Promise<'stale' | 'replayed' | undefined> {
  const state = await keepBatch(decided, http, moment, deps);
  if (state.registryVersion !== moment.rules.registry.version) return 'stale';
  return state.replayed ? 'replayed' : undefined;
}

function keepBatch(
  decided: readonly Kept[],
  http: FormRequest,
  moment: Moment,
  { decisions }: Pick<AuthzenDeps, 'decisions'>,
): ReturnType<DecisionLog['keep']> {
  const { caller, rules } = moment;
  const { requestId } = http;
  const registryVersion = rules.registry.version;
  const leaves = decided.map((one) => decisionRecord(one, moment));
  const { keyThumbprint } = caller;
  const spends = [
    ...caller.spends,
    ...decided.flatMap((one) => (one.spends === undefined ? [] : [spendOf(one.spends)])),
  ];
  const batch = { requestId, registryVersion, spends, keyThumbprint, leaves };
  return http.trace('commit', () => decisions.keep(batch));
}

const spendOf = ({ held: { id, expiresAt } }: Granted): Spend => ({
  what: 'approval',
  key: approvalKey(id),
  expiresAt: expiresAt + KEY_KEPT,
});

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

export const malformed = ({ path, hint }: FieldFlaw): Answer => invalid(`${path} ${hint}`);

export const invalid = (error_description: string): Answer => ({
  status: 400,
  headers: HEADERS,
  body: { error: 'invalid_request', error_description },
});
