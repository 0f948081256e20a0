import { err, ok, type Result, type Seconds } from '../base/index.js';
import type { McpToolCall } from '../protocol/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import { narrow, type Wish } from './ceilings.js';
import type { Opinions } from './opinion.js';
import { type Outcome, outcomeOf, type Past, type PolicySet } from './set/index.js';
import type { PolicyRefusal } from './types.js';
import { dissent } from './unanimity.js';

/** A call that began with a token and would run on longer than that. */
export type RunningCall = Readonly<{
  clientId: string;
  resource: string;
  tool: string;
  scopes: readonly string[];
  /** What the token says of the tool; without it the token is good for what its scopes are enough for. */
  detail: McpToolCall | undefined;
  isBound: boolean;
}>;

/** `undecidable`: what the policies would look at was not kept, or the tool is not what it was. */
export type RunningRefusal = PolicyRefusal['reason'] | Exclude<Outcome, 'allow' | 'deny' | 'broken'> | 'undecidable';

/** What it is decided with; `past` is what was kept of the decision that let the call begin. */
type Rules = Readonly<{
  registry: RegistrySnapshot;
  policies: PolicySet | undefined;
  past: readonly Past[];
  opinions: Opinions | undefined;
}>;

/**
 * Whether the exchange would still let this call begin, by the registry, the policy set and the time of now: until when at
 * most, or why not. Of the person and the arguments it knows what was kept; what was not is no.
 */
export function mayRunOn(call: RunningCall, rules: Rules, now: Seconds): Result<Seconds, RunningRefusal> {
  const { registry } = rules;
  const client = registry.agent(call.clientId) ?? registry.serverByClientId(call.clientId);
  const server = registry.serverByResource(call.resource);
  if (client === undefined) return err('target_not_allowed');
  if (server?.status !== 'active') return err('unknown_target');
  if ((client.dpop_required || server.dpop_required) && !call.isBound) return err('proof_of_possession_required');
  const notAfter = 'expires_at' in client ? Math.floor(Date.parse(client.expires_at) / 1000) : Infinity;
  if (notAfter <= now) return err('life_is_over');
  const narrowed = narrow(wishOf(call), { client, server });
  if (!narrowed.ok) return err(narrowed.error.reason);
  // Only tools are asked of policies, as at the exchange.
  const refused = call.detail && (policiesSayNo(call, rules, now) ?? dissent(rules.opinions, [call.tool])?.reason);
  return refused === undefined ? ok(notAfter) : err(refused);
}

function wishOf({ tool, scopes, detail }: RunningCall): Wish {
  const wanted = detail && {
    name: tool,
    arguments: undefined,
    argumentsSha256: detail.arguments_sha256,
    definitionSha256: detail.definition_sha256,
    maxUses: detail.max_uses,
  };
  return {
    wanted: wanted ? { tools: [wanted], scopes: undefined } : { tools: undefined, scopes: asked(scopes) },
    subject: { kind: 'person', scopes, details: undefined },
  };
}

const asked = (scopes: readonly string[]): readonly string[] | undefined => (scopes.length === 0 ? undefined : scopes);

function policiesSayNo(
  { resource, tool }: RunningCall,
  { policies, past }: Rules,
  now: Seconds,
): RunningRefusal | undefined {
  if (policies === undefined) return 'policy_missing';
  const kept = past.find((one) => one.kept?.tool.server === resource && one.kept.tool.name === tool)?.kept;
  if (kept === undefined) return 'undecidable';
  const session = kept.session && { ...kept.session, age: kept.session.age + Math.max(0, now - kept.now) };
  const verdict = policies.redecide({ ...kept, session, now });
  if ('undecidable' in verdict) return 'undecidable';
  const outcome = outcomeOf(verdict);
  if (outcome === 'deny') return 'policy_forbids';
  if (outcome === 'broken') return 'policy_broken';
  return outcome === 'allow' ? undefined : outcome;
}
