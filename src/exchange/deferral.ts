import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { freeze, textsOf, WAIT, waitsUntil } from '../approval/index.js';
import { err, newId, type Result, type Seconds } from '../base/index.js';
import type { Presenter } from '../delegation/index.js';
import type { Ask } from '../policy/index.js';
import { Actor, copyJson, type FormRequest, type JsonObject } from '../protocol/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import type { ExchangeDeps } from './deps.js';
import type { Stale } from './ports.js';
import { callOf } from './redeeming.js';
import type { ApprovalFlaw, CommitRefusal, Refusal } from './refusal.js';
import { type ExchangeRequest, parseRequest } from './request.js';
import { refuse } from './settle.js';
import type { Step } from './story.js';

/** A person is asked, and the client may poll. */
export type Deferred = Readonly<{
  deferred: Readonly<{ approval: string; code: string; expiresAt: Seconds; number: string }>;
}>;

/** Records the refusal. Where people could lift it and the client would wait for them (STANDARDS 5.10), they are asked. */
export async function askPeople(
  refusal: Refusal,
  http: FormRequest,
  step: Step,
  deps: ExchangeDeps,
): Promise<Result<never, Refusal | Stale | Deferred>> {
  const { story, redeeming } = step;
  const refused = await refuse(refusal, story, deps);
  const isAsk = 'ask' in refusal && refusal.ask === 'approval' && refusal.demands.length > 0;
  if (refused.ok || refused.error !== refusal || !isAsk) return refused;
  if (redeeming !== undefined) return err({ reason: 'approved_another_call', cause: 'asked_anew' });
  if (deps.deferrals === undefined || !mayWait(http)) return refused;
  return defer(refusal, http, step, deps);
}

/** A client that did not opt in would not know what to do with a code. */
const mayWait = ({ form }: FormRequest): boolean =>
  form.get('completion_mode')?.[0]?.split(' ').includes('deferred') === true;

async function defer(
  ask: Ask,
  http: FormRequest,
  { registry, now, story }: Step,
  deps: ExchangeDeps,
): Promise<Result<never, ApprovalFlaw | CommitRefusal | Deferred>> {
  const { deferrals } = deps;
  const { delegation, presenter } = story.known;
  const call = delegation && callOf(delegation, registry);
  const impossible = (cause: string) => err({ reason: 'approval_not_asked' as const, cause });
  if (call === undefined || delegation === undefined || presenter === undefined)
    return impossible('not_one_exact_call');
  if (deferrals === undefined) return impossible('not_here');
  const standing = await deferrals.standing(delegation.subject.run);
  // Nobody is asked for what no token would come of.
  if (standing?.over !== undefined) return err({ reason: standing.over });
  const ends = [delegation.notAfter, standing?.ends ?? Infinity];
  const expiresAt = Math.floor(waitsUntil(now, WAIT, ends));
  const policySet = story.known.policy;
  const frozen = freeze({ version: 1, call, policySet, demands: ask.demands, expiresAt });
  if (!frozen.ok) return impossible(frozen.error);
  const about = {
    task: delegation.context.task ?? null,
    purpose: delegation.context.purpose ?? null,
    reasons: ask.messages,
    tier: tierOf(registry, call.server, call.tool),
    network: http.network,
    number: String(randomInt(10, 100)),
    by: 'agent',
    texts: textsOf(ask.demands),
  } as const;
  const kept = await deferrals.ask(
    {
      id: newId('apr'),
      frozen: frozen.value,
      decision: ask.decision,
      jkt: delegation.jkt,
      request: frozenRequest(http.form, presenter),
      about,
    },
    now,
  );
  if (!kept.ok) return err({ reason: 'too_many_approvals' });
  const { held, code } = kept.value;
  if (held.state === 'refused') return err({ reason: 'approval_refused' });
  return err({ deferred: { approval: held.id, code, expiresAt: held.expiresAt, number: held.about.number } });
}

const tierOf = (registry: RegistrySnapshot, server: string, tool: string) =>
  registry.serverByResource(server)?.tools.find(({ name }) => name === tool)?.tier ?? 'critical';

type Form = ReadonlyMap<string, readonly string[]>;

/** DT-01: what the exchange is decided on. Nothing by which the client proved who it is, nor what it can use once only. */
const FROZEN = [
  'subject_token',
  'subject_token_type',
  'requested_token_type',
  'resource',
  'audience',
  'scope',
  'authorization_details',
  'request_details',
  'request_context',
  'txn_handle',
] as const;

const frozenRequest = (form: Form, { expiresAt, ...presenter }: Presenter): JsonObject => ({
  form: FROZEN.flatMap((name) => (form.get(name) ?? []).map((value) => [name, value])),
  presenter: copyJson({ ...presenter, actor: { ...presenter.actor }, jkt: null, expiresAt: expiresAt ?? null }),
});

const Frozen = z.object({
  form: z.array(z.tuple([z.string(), z.string()])),
  presenter: z.object({
    clientId: z.string(),
    kind: z.enum(['agent', 'server']),
    actor: Actor,
    workload: z.string(),
    expiresAt: z.number().nullable(),
  }),
});

/** What {@link askPeople} has frozen. */
export function thaw(
  request: JsonObject | undefined,
  trustDomain: string,
): Readonly<{ request: ExchangeRequest; presenter: Presenter }> | undefined {
  const read = Frozen.safeParse(request);
  if (!read.success) return undefined;
  const form = new Map<string, string[]>();
  for (const [name, value] of read.data.form) form.set(name, [...(form.get(name) ?? []), value]);
  const parsed = parseRequest(form, trustDomain);
  const { expiresAt, ...presenter } = read.data.presenter;
  return parsed.ok
    ? { request: parsed.value, presenter: { ...presenter, jkt: undefined, expiresAt: expiresAt ?? undefined } }
    : undefined;
}
