import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { type Held, textsOf } from '../approval/index.js';
import { newId, randomText } from '../base/index.js';
import { asClient, challenged, withBearerAssertion } from '../client/index.js';
import { type Answer, digest, type FormRequest, type JsonObject, sha256 } from '../protocol/index.js';
import { without } from './binding-token.js';
import { decideOne } from './decide.js';
import { type AuthzenDeps, invalid, keep, malformed, momentOf } from './endpoint.js';
import type { Moment } from './moment.js';
import type { RequestKey } from './ports.js';
import { problem, tooManyWait } from './problems.js';
import { type Evaluation, flawOf, readEvaluation } from './request.js';
import type { Requested } from './kept.js';
import { taskAnswer } from './task.js';

/** ARAP: a server asks people for what was denied. */
export const accessRequestEndpoint = (http: FormRequest, body: JsonObject, deps: AuthzenDeps): Promise<Answer> =>
  asServer(http, deps, (moment) => submit(http, body, moment, deps));

/** ARAP: how far it has come. */
export const taskEndpoint = (http: FormRequest, id: string, deps: AuthzenDeps): Promise<Answer> =>
  asServer(http, deps, async (moment) => {
    const held = await taskOf(id, moment);
    return held === undefined ? unknownTask() : taskAnswer(200, held, moment);
  });

/** ARAP, cancellation: a server ends what it asked, before it is used. */
export const cancelEndpoint = (http: FormRequest, id: string, deps: AuthzenDeps): Promise<Answer> =>
  asServer(http, deps, async (moment) => {
    const held = await taskOf(id, moment);
    if (held === undefined) return unknownTask();
    const ended = await deps.requests.answer(id, { event: 'withdraw', by: held.server }, { now: moment.now });
    return ended?.ok === true
      ? taskAnswer(200, ended.value, moment)
      : problem('invalid_task_state', 'the request has ended already; read its status');
  });

const ROUTE = '/access/v1/requests';

/** Nothing is told, and nobody is asked, before what the caller proved itself with is spent. */
async function asServer(
  http: FormRequest,
  deps: AuthzenDeps,
  work: (moment: Moment) => Promise<Answer>,
): Promise<Answer> {
  const answer = await asClient(withBearerAssertion(http), ROUTE, deps, async (caller, registry, now) => {
    const moment = momentOf(http, { caller, registry, now }, deps);
    return (await keep([], http, moment, deps)) ?? work(moment);
  });
  return answer.status === 401 ? challenged(answer) : answer;
}

/** A server sees what was asked about its own tools over this endpoint, and nothing that an agent waits for itself. */
async function taskOf(id: string, { requests, now, caller: { party } }: Moment): Promise<Held | undefined> {
  const held = /^[\w-]{1,128}$/.test(id) ? await requests.byId(id, now) : undefined;
  const isTheirs = party.kind === 'server' && held?.about.by === 'server' && held.server === party.server.resource;
  return isTheirs ? held : undefined;
}

const unknownTask = (): Answer => problem('unknown_task', 'there is no such request of this server');

const Submission = z.object({
  denial: z.object({
    expires_at: z.string().max(64),
    binding_token: z.string().max(8_192),
    evaluation_id: z.string().max(128).optional(),
  }),
});

async function submit(http: FormRequest, body: JsonObject, moment: Moment, deps: AuthzenDeps): Promise<Answer> {
  const keys = http.header('idempotency-key');
  if (keys.length > 1 || !keys.every((key) => /^[\x20-\x7e]{1,255}$/.test(key)))
    return invalid('Idempotency-Key must be sent once, with 1 to 255 printable characters');
  for (const name of UNSERVED)
    if (name in body)
      return problem('not_requestable', `${name} is not served: the denied call can be approved, exactly and once`);
  const read = readEvaluation(body);
  if (!read.ok) return malformed(read.error);
  const [question] = read.value.questions;
  const submission = Submission.safeParse(body);
  if (!submission.success || question === undefined) return unbound(submission.error, body);
  const decided = await decideOne(withoutApproval(question), '', moment);
  if (!decided.ok) return malformed(decided.error);
  const { requested } = decided.value;
  if (requested === undefined)
    return problem('not_requestable', 'no person can lift what is decided now; evaluate the call again');
  const { denial } = submission.data;
  const given = {
    question,
    client: moment.caller.clientId,
    agents: requested.call.chain,
    expiresAt: denial.expires_at,
  };
  const binding = moment.bindings.read(denial.binding_token, given, moment.now);
  if (!binding.ok) return problem(binding.error, FLAWS[binding.error]);
  const hashed = digest(body);
  if (!hashed.ok) return invalid('the body must have an RFC 8785 form');
  const [header] = keys;
  const { jti, evaluation } = binding.value;
  const attempts = [`denial ${jti}`, ...(header === undefined ? [] : [`key ${header}`])].map((name) => ({
    key: sha256(`access request ${moment.caller.clientId} ${name}`),
    request: hashed.value,
    holder: randomText(16),
  }));
  return askOnce({ attempts, evaluation, requested }, moment, deps);
}

const FLAWS = {
  invalid_denial_binding: 'this denial is not of this question, or not of this caller; send what was denied as it was',
  expired_denial: 'the denial has expired; evaluate the call again',
} as const;

/** ARAP: a bundle, another extent and a callback are for services that have them. */
const UNSERVED = ['items', 'requested_access', 'callback'] as const;

function unbound(error: z.ZodError | undefined, body: JsonObject): Answer {
  const { path, hint } = error === undefined ? { path: 'denial', hint: 'is missing' } : flawOf(error, body, '');
  return problem('invalid_denial_binding', `${path} ${hint}`);
}

/** What is approved is asked for anew, and not on the strength of something that was approved before. */
const withoutApproval = ({ context, ...question }: Evaluation): Evaluation => ({
  ...question,
  context: without(context, 'approval'),
});

type Submitted = Readonly<{ attempts: readonly RequestKey[]; evaluation: string; requested: Requested }>;

/** One denial and one idempotency key ask people once, for as long as the keys are kept. */
async function askOnce(
  { attempts, evaluation, requested }: Submitted,
  moment: Moment,
  { requests, requestKeys }: AuthzenDeps,
): Promise<Answer> {
  const { now, rules } = moment;
  for (const attempt of attempts) {
    const found = await requestKeys.begin(attempt);
    if (found.state === 'reused')
      return problem('duplicate_request', 'this Idempotency-Key or denial was sent with another body; take a new one');
    const held = found.state === 'answered' ? await taskOf(Buffer.from(found.answer).toString(), moment) : undefined;
    if (held !== undefined) return taskAnswer('made', held, moment);
  }
  const { ask, frozen, call, jkt, task = null, purpose = null, network = null } = requested;
  const tool = rules.registry.serverByResource(call.server)?.tools.find(({ name }) => name === call.tool);
  const number = String(randomInt(10, 100));
  const about = {
    task,
    purpose,
    network,
    reasons: ask.messages,
    tier: tool?.tier ?? 'critical',
    number,
    by: 'server',
    texts: textsOf(ask.demands),
  } as const;
  // The evaluation is what links a denial, its request and what comes of it in the log.
  const asked = await requests.ask({ id: newId('apr'), frozen, decision: evaluation, jkt, request: {}, about }, now);
  if (!asked.ok) return tooManyWait();
  const { held } = asked.value;
  for (const attempt of attempts) await requestKeys.keep(attempt, Buffer.from(held.id));
  return taskAnswer('made', held, moment);
}
