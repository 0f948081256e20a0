import { approvalKey, type Call, callDigest, discharged, KEY_KEPT, transition } from '../approval/index.js';
import type { Seconds } from '../base/index.js';
import type { Spend } from '../client/index.js';
import type { Delegation } from '../delegation/index.js';
import type { PolicySet } from '../policy/index.js';
import { clientOf, sha256, TokenType } from '../protocol/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import { type PreparedToken, signable } from '../token/index.js';
import type { ExchangeDeps } from './deps.js';
import type { Transaction } from './handle.js';
import type { ApprovalFlaw } from './refusal.js';
import type { Redeeming, Step, Story } from './story.js';

/** For so long whoever polls for a redeemed code gets the same token again. */
export const AGAIN: Seconds = 60;

/** The one exact call that an exchange is for; `undefined` where it is for several, or not for exact ones. */
export function callOf(
  { person, presenter, actors, subject, wanted }: Delegation,
  registry: RegistrySnapshot,
): Call | undefined {
  const [tool, ...others] = wanted.tools ?? [];
  if (wanted.target.kind !== 'server' || others.length > 0 || person.id === undefined) return undefined;
  if (tool?.arguments === undefined || tool.argumentsSha256 === undefined) return undefined;
  const { resource } = wanted.target;
  const registered = registry.serverByResource(resource)?.tools.find(({ name }) => name === tool.name);
  const { run } = subject;
  return {
    person: person.id,
    chain: [presenter.clientId, ...actors.slice(1).map(({ sub }) => nameOf(sub))],
    session: 'session' in run ? run.session : run.key,
    server: resource,
    tool: tool.name,
    definition: registered?.reviewed ?? sha256('no definition'),
    arguments: tool.arguments,
    argumentsSha256: tool.argumentsSha256,
  };
}

/** An MCP server is in a chain by its resource. */
const nameOf = (sub: string): string => (/^[\w.~-]{1,128}$/.test(clientOf(sub)) ? clientOf(sub) : sha256(sub));

/** ATTACKS AP-02, AP-11: byte for byte what was approved, or nothing. */
export function differsFrom(
  { approval }: Redeeming,
  delegation: Delegation,
  { registry, now }: Pick<Step, 'registry' | 'now'>,
): ApprovalFlaw | undefined {
  const call = callOf(delegation, registry);
  const digest = call && callDigest(call);
  const used = digest?.ok === true ? transition(approval, { event: 'use', call: digest.value }, now) : undefined;
  if (used?.ok === true) return undefined;
  return { reason: 'approved_another_call', cause: used?.error.reason ?? 'no_exact_call' };
}

/** The policies that the grant lifts: of the set of now, as long as their texts are the same. */
export const liftedBy = ({ approval }: Redeeming, policies: PolicySet | undefined): readonly string[] =>
  policies === undefined ? [] : discharged(approval, policies.texts);

/** One approval, one token: the commit spends it as it spends an assertion. It outlives everything that may bring it again. */
export const spendOf = (redeeming: Redeeming | undefined): readonly Spend[] =>
  redeeming === undefined
    ? []
    : [{ what: 'approval', key: approvalKey(redeeming.held.id), expiresAt: redeeming.held.expiresAt + KEY_KEPT }];

/** DANGER: before the commit, or a crash after it would leave a spent approval and nobody who knows its token. */
export async function keepForRedemption(
  { known, redeeming }: Pick<Story, 'known'> & Pick<Step, 'redeeming'>,
  { token, joined }: Readonly<{ token: PreparedToken; joined: Transaction | undefined }>,
  { deferrals }: Pick<ExchangeDeps, 'deferrals'>,
): Promise<void> {
  if (redeeming === undefined || deferrals === undefined) return;
  // Txn-AT draft: only whoever asks for the token type that knows handles gets one.
  const hasHandle = redeeming.request.requestedType === TokenType.txnAccessToken;
  const beganAt = hasHandle ? (joined?.beganAt ?? known.now) : undefined;
  await deferrals.prepare(redeeming.held.id, known.http.requestId, { token: signable(token), beganAt }, known.now);
}
