import type { ApprovalState, Held } from '../approval/index.js';
import type { Seconds } from '../base/index.js';
import { asClient, type Caller } from '../client/index.js';
import { type Answer, DEFERRAL_CODE, type FormRequest, type OAuthErrorBody } from '../protocol/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import { sign } from '../token/index.js';
import { thaw } from './deferral.js';
import { answer, isStale, NO_STORE, refused, type TokenExchangeDeps } from './endpoint.js';
import { exchange } from './exchange.js';
import type { Deferrals } from './ports.js';
import { verifyRequestProof } from './proof.js';
import { AGAIN } from './redeeming.js';
import { CODE } from './refusal.js';

/** What a poll spends before anything is told. */
export interface PollSpending {
  ask(
    question: Readonly<{
      requestId: string;
      registryVersion: number;
      spends: Caller['spends'];
      keyThumbprint: string | undefined;
      tokenHash: undefined;
      consume: undefined;
    }>,
  ): Promise<Readonly<{ registryVersion: number; replayed: boolean }>>;
}

export type DeferredDeps = TokenExchangeDeps & Readonly<{ deferrals: Deferrals; polls: PollSpending }>;

/** POST /token for the deferred grant (STANDARDS 5.10): the client that asked, by the key that it asked with. */
export function deferredTokenEndpoint(http: FormRequest, deps: DeferredDeps): Promise<Answer> {
  return asClient(http, '/token', deps, async (caller, registry, now) => {
    const flaw = flawOf(http.form);
    const code = http.form.get('deferral_code')?.[0] ?? '';
    const proof = verifyRequestProof(http, { uri: deps.settings.tokenEndpoint, now, clientId: caller.clientId });
    const isReadable = flaw === undefined && proof.ok && DEFERRAL_CODE.test(code);
    const found = isReadable ? await deps.deferrals.find(code, caller.clientId, now) : undefined;
    // RFC 9449: the key of the first request, or none as then.
    const isTheirs = proof.ok && found?.held.jkt === proof.value.jkt;
    const isGranted = found?.held.state === 'granted';
    if (found !== undefined && isTheirs && isGranted && !found.isVoid)
      return redeem(http, { caller, registry, now, held: found.held }, deps);
    const spends = [...caller.spends, ...(proof.ok ? proof.value.spends : [])];
    const spent = await deps.polls.ask({
      ...{ requestId: http.requestId, registryVersion: registry.version, spends },
      ...{ keyThumbprint: caller.keyThumbprint, tokenHash: undefined, consume: undefined },
    });
    if (spent.registryVersion !== registry.version) return 'stale';
    if (spent.replayed) return 'replayed';
    if (flaw !== undefined) return flaw;
    if (!proof.ok) return refused(proof.error, now);
    if (found === undefined) return refuse(CODE.error, CODE.error_description);
    if (!isTheirs) return refuse('invalid_dpop_proof', 'the DPoP proof is by another key than the first request');
    if (isGranted) {
      await lapse(found.held, now, deps);
      return refuse('access_denied', 'what was approved has been revoked since');
    }
    if (found.held.state === 'used') return again(found.held, now, deps);
    const isSoon = found.held.state === 'asked' && (await deps.deferrals.polled(found.held.id, now));
    return isSoon ? refuse('slow_down', 'poll five seconds later than before') : stateOf(found.held.state);
  });
}

function flawOf(form: FormRequest['form']): Answer | undefined {
  for (const [name, values] of form)
    if (values.length > 1) return refuse('invalid_request', `${name} must be sent once`);
  if (form.has('completion_mode')) return refuse('invalid_request', 'completion_mode goes with the first request only');
  const code = form.get('deferral_code')?.[0] ?? '';
  return code === '' ? refuse('invalid_request', 'deferral_code is missing') : undefined;
}

type Redemption = Readonly<{ caller: Caller; registry: RegistrySnapshot; now: Seconds; held: Held }>;

/** DT-01: decided over again from the beginning, and for exactly what was approved. */
async function redeem(
  http: FormRequest,
  { caller, registry, now, held }: Redemption,
  deps: DeferredDeps,
): Promise<Answer | 'stale'> {
  const { deferrals, settings } = deps;
  const thawed = thaw(held.request, settings.trustDomain);
  if (held.approval === undefined || thawed === undefined) return refuse(CODE.error, CODE.error_description);
  const redeeming = { held, approval: held.approval, ...thawed };
  const issued = await exchange(http, { caller, registry, redeeming }, deps);
  if (issued.ok) {
    await deferrals.used(held.id, now);
    return answer(issued.value);
  }
  const { error } = issued;
  if ('deferred' in error) return refuse(CODE.error, CODE.error_description);
  if (isStale(error)) return 'stale';
  if ('reason' in error && error.reason === 'replayed' && error.what === 'approval') {
    await deferrals.used(held.id, now);
    return again(held, now, deps);
  }
  if ('reason' in error && FINAL.has(error.reason)) await lapse(held, now, deps);
  return refused(error, now);
}

/** What would be refused in the same way by the next poll: the grant is over, and is not tried again and again until it fits. */
const FINAL: ReadonlySet<string> = new Set([
  ...['approved_another_call', 'policy_forbids', 'policy_does_not_permit'],
  ...['revoked', 'person_disabled', 'session_ended'],
]);

const lapse = async ({ id }: Held, now: Seconds, { deferrals }: DeferredDeps): Promise<void> => {
  await deferrals.answer(id, { event: 'lapse' }, { now });
};

/** The recorded token signed again, with the same `jti` and end: of an answer that was lost, nothing is. */
async function again(
  { id, client, jkt }: Held,
  now: Seconds,
  { deferrals, keys, handles }: DeferredDeps,
): Promise<Answer> {
  const found = await deferrals.recorded(id);
  if (found === undefined || now > found.recorded.token.issuedAt + AGAIN || now >= found.recorded.token.expiresAt)
    return refuse(CODE.error, CODE.error_description);
  const { recorded, beganAt } = found;
  const { token, commitment } = recorded;
  const transaction = { id: token.transaction, session: commitment.session, person: token.personId, client, jkt };
  const handle = beganAt === undefined ? undefined : handles.give({ ...transaction, beganAt }, now);
  return answer({ ...sign(recorded, keys), expiresIn: token.expiresAt - now, handle });
}

function stateOf(state: ApprovalState): Answer {
  switch (state) {
    case 'asked':
      return refuse('authorization_pending', 'nobody has answered yet');
    case 'refused':
      return refuse('access_denied', 'the call was not approved');
    case 'expired':
      return refuse('expired_token', 'nobody approved the call, or fetched its token, in time');
    case 'withdrawn':
    case 'granted':
    case 'used':
      return refuse(CODE.error, CODE.error_description);
  }
}

const refuse = (error: OAuthErrorBody['error'], error_description: string): Answer => ({
  status: 400,
  headers: NO_STORE,
  body: { error, error_description },
  notes: { outcome: error === 'authorization_pending' ? 'asked' : 'refused', reason: error },
});
