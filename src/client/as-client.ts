import { type Clock, Fault, type Seconds } from '../base/index.js';
import { type Answer, type FormRequest, type Notes, sha256, tooManyRequests } from '../protocol/index.js';
import type { RegistryReader, RegistrySnapshot } from '../registry/index.js';
import type { AgentKeys } from './agent-keys.js';
import type { SignedKind } from './assertion.js';
import { authenticateClient } from './authenticate.js';
import type { Caller } from './caller.js';
import type { KeySource } from './keys.js';
import { clientRefused, type FailureLog } from './refused.js';

/** How many requests a client may make; `undefined` is yes, else the seconds to wait. */
export interface ClientLimits {
  take(clientId: string): Promise<Seconds | undefined>;
}

/**
 * The name under which a claim to be a client is counted before its secret is checked, which costs more than everything
 * else. By network too: strangers who guess must not use up what the client itself may do.
 */
export const claimOf = (clientId: string, network: string): string => `claim ${sha256(`${clientId}\n${network}`)}`;

export type AsClientDeps = Readonly<{
  settings: Readonly<{ issuer: string; skew: Seconds }>;
  clock: Clock;
  registry: RegistryReader;
  clientKeys: KeySource;
  agentKeys: AgentKeys;
  /** On a route where clients sign something else than an assertion. */
  instead?: SignedKind;
  failures: FailureLog;
  limits: ClientLimits;
}>;

/** Work for an authenticated client. `stale`: the registry moved under it; `replayed`: its credential was used before. */
export type ClientWork = (
  caller: Caller,
  registry: RegistrySnapshot,
  now: Seconds,
) => Promise<Answer | 'stale' | 'replayed'>;

/** How often a request is done anew because the registry moved under it, before it is told to come back. */
const TRIES = 4;

/** Who calls, how often they may, then the work: the same for every route of ours. */
export async function asClient(
  http: FormRequest,
  route: string,
  deps: AsClientDeps,
  work: ClientWork,
): Promise<Answer> {
  for (let tried = 0; tried < TRIES && !http.isOver(); tried++) {
    const registry = tried === 0 ? deps.registry.current() : await deps.registry.refresh();
    const now = deps.clock.now();
    const caller = await http.trace('client', () =>
      authenticateClient(http, {
        issuer: deps.settings.issuer,
        skew: deps.settings.skew,
        registry,
        keys: deps.clientKeys,
        agentKeys: deps.agentKeys,
        instead: deps.instead,
        now,
        admitClaim: (clientId) => deps.limits.take(claimOf(clientId, http.network)),
      }),
    );
    if (!caller.ok) {
      if (caller.error.wait !== undefined) return { ...tooManyRequests(caller.error.wait), notes: LIMITED };
      deps.failures.note({ client: caller.error.knownClient, cause: caller.error.reason, route });
      return clientRefused(caller.error);
    }
    const { clientId } = caller.value;
    const wait = tried === 0 ? await deps.limits.take(clientId) : undefined;
    if (wait !== undefined) return noted({ ...tooManyRequests(wait), notes: LIMITED }, clientId);
    const done = await work(caller.value, registry, now);
    if (done === 'replayed') {
      deps.failures.note({ client: clientId, cause: 'assertion_replayed', route });
      return clientRefused({ reason: 'assertion_replayed', knownClient: clientId, usedHeader: false });
    }
    if (done !== 'stale') return noted(done, clientId);
  }
  throw new Fault('registry_unsettled', 'the registry kept changing while a request was answered');
}

const LIMITED: Notes = { outcome: 'refused', reason: 'too_many_requests' };

/** For the operator: whose request it was. */
const noted = (answer: Answer, client: string): Answer => ({
  ...answer,
  notes: { outcome: 'done', ...answer.notes, client },
});
