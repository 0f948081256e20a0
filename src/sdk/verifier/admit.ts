import { type Clock, err, ok, type Result, type Seconds } from '../../base/index.js';
import { approvalNeeded } from './approval.js';
import { type Answer, type ChallengeOptions, refuse, rpcError, toolRefusal } from './answer.js';
import type { Inbound } from './credential.js';
import type { Decide, Denial } from './decision.js';
import type { AuthInfo, Delegation, ToolGrant } from './delegation.js';
import { type Reason, VerifierError } from './errors.js';
import { grantFor, scopesOf, type ToolScopes } from './grant.js';
import type { Introspect } from './introspection.js';
import type { McpClients } from './mcp-clients.js';
import { type Message, readMessage, type ToolCall } from './message.js';
import { type OnceStore, takeOnce } from './once.js';
import type { Outcomes } from './outcomes.js';
import type { OwnTools } from './own-tools.js';
import { type StepUp, stepUpFor, type ToolSignIns } from './sign-in.js';
import type { Standing } from './standing.js';

/** A request that may go on to the MCP server, which is to be given `message.body` and nothing that was parsed elsewhere. */
export type Admitted = Readonly<{ authInfo: AuthInfo; message: Message | undefined }>;

/** The body as UTF-8 text, or `undefined` when it has more than `limit` bytes or is no UTF-8. */
export type ReadBody = (limit: number) => Promise<string | undefined>;

/** A request that was refused, and why exactly: for the log of this server, never for the client. */
export type Refused = Readonly<{
  reason: Reason | 'arguments_changed' | 'tool_changed' | 'denied';
  tool: string | undefined;
}>;

export type GuardRules = Readonly<{
  scopes: ToolScopes;
  signIn: ToolSignIns;
  maxBodyBytes: number;
  onRefused: (refused: Refused) => void;
}>;

export type GuardDeps = Readonly<{
  /** Rejects with a {@link VerifierError} when the token or its proof is refused. */
  authenticate(request: Inbound): Promise<AuthInfo>;
  standing: Standing;
  introspect: Introspect;
  decide: Decide;
  tools: OwnTools;
  clients: McpClients;
  outcomes: Outcomes;
  once: OnceStore;
  uses: 'local' | 'writ';
  resource: string;
  resourceMetadata: string;
  dpopRequired: boolean;
  clock: Clock;
  startedAt: Seconds;
  skew: Seconds;
}>;

/** Token, message, grant, use: in this order, so that a refused call spends nothing. */
export async function admit(
  request: Inbound,
  readBody: ReadBody,
  rules: GuardRules,
  deps: GuardDeps,
): Promise<Result<Admitted, Answer>> {
  const terms = { scheme: schemeOf(request, deps), resourceMetadata: deps.resourceMetadata };
  let tool: string | undefined;
  try {
    const authInfo = await deps.authenticate(request);
    if (request.method !== 'POST') return ok({ authInfo, message: undefined });
    const text = await readBody(rules.maxBodyBytes);
    if (text === undefined) return err(rpcError(413, -32600, 'Invalid request: the body is too large or not UTF-8'));
    const message = readMessage(text, request);
    if (!message.ok) return message;
    const { call } = message.value;
    deps.clients.hear(message.value.body, authInfo.extra.writ);
    tool = call?.tool;
    const refusal = call && (await refuseCall(call, authInfo, rules, { ...deps, terms }));
    return refusal ? err(refusal) : ok({ authInfo, message: message.value });
  } catch (error) {
    // A refusal or an outage: without a yes it is a no.
    if (!(error instanceof VerifierError)) throw error;
    rules.onRefused({ reason: error.reason, tool });
    return err(refuse(error, terms));
  }
}

async function refuseCall(
  call: ToolCall,
  authInfo: AuthInfo,
  rules: GuardRules,
  deps: GuardDeps & { terms: ChallengeOptions },
): Promise<Answer | undefined> {
  const { token, extra } = authInfo;
  const { writ: delegation } = extra;
  // The body may have been long in coming.
  await deps.standing.check(delegation, call.tool);
  const grant = grantFor(call, delegation, { resource: deps.resource, scopes: rules.scopes });
  if (grant.ok) {
    if (grant.value && !(await deps.tools.isAsReviewed(grant.value))) {
      rules.onRefused({ reason: 'tool_changed', tool: call.tool });
      return toolChanged(call, delegation);
    }
    const { signIn } = rules;
    const lacks = stepUpFor(call.tool, delegation, { signIn, now: deps.clock.now(), skew: deps.skew });
    if (lacks !== undefined) return signInAgain(call, lacks, rules, deps);
    const no = await deps.decide(call, authInfo, grant.value);
    if (no?.stepUp !== undefined) return signInAgain(call, no.stepUp, rules, deps);
    if (no !== undefined) {
      rules.onRefused({ reason: 'denied', tool: call.tool });
      const { reasons, page } = no;
      if (page === undefined) return denied(call, no, delegation);
      const elicitation = deps.clients.elicitationOf(call, delegation);
      return approvalNeeded(call, { reasons, page }, { elicitation, delegation });
    }
    if (grant.value) await consume(grant.value, { token, delegation }, deps);
    return undefined;
  }
  rules.onRefused({ reason: grant.error, tool: call.tool });
  if (grant.error === 'arguments_changed') return argumentsChanged(call, delegation);
  return refuse(new VerifierError(grant.error), { ...deps.terms, scopes: scopesOf(call.tool, rules.scopes) });
}

/** RFC 9470 section 3: no result of the tool but a challenge, which a client that signs people in understands. */
function signInAgain(
  { tool }: ToolCall,
  stepUp: StepUp,
  rules: GuardRules,
  { terms }: Readonly<{ terms: ChallengeOptions }>,
): Answer {
  const error = new VerifierError('sign_in_not_enough');
  rules.onRefused({ reason: error.reason, tool });
  return refuse(error, { ...terms, stepUp });
}

/** One use is spent here or at Writ; always at Writ for an exact call unless Writ says that the tool is of a lower tier. */
async function consume(
  grant: ToolGrant,
  { token, delegation }: { token: string; delegation: Delegation },
  deps: GuardDeps,
): Promise<void> {
  if (deps.uses === 'writ' || (grant.argumentsSha256 !== undefined && !delegation.localUses)) {
    const answer = await deps.introspect(token, { consume: grant.tool });
    // The answer must be about this token: a cache on the way could give that of another.
    if (!answer.active || answer.claims.jti !== delegation.tokenId) throw new VerifierError('inactive');
    return;
  }
  // What was used before a restart is forgotten, so a token from before it counts as used.
  if (delegation.issuedAt < deps.startedAt) throw new VerifierError('issued_before_start');
  const name = `use ${delegation.tokenId} ${grant.tool}`;
  if (!(await takeOnce(deps.once, name, grant.maxUses, delegation.expiresAt + deps.skew)))
    throw new VerifierError('used_up');
}

function argumentsChanged(call: ToolCall, { decision, transaction }: Delegation): Answer {
  const text = `Refused: these are not the arguments that "${call.tool}" was approved with.`;
  return toolRefusal(call, text, { error: 'arguments_changed', tool: call.tool, decision, transaction });
}

/** The decision point's own reasons: they are for the agent, which may do something about them. */
function denied(call: ToolCall, { reasons, remedy }: Denial, { decision, transaction }: Delegation): Answer {
  const text = `Refused: "${call.tool}" may not be called now. ${reasons.join(' ')}`.trim();
  return toolRefusal(call, text, {
    error: 'denied',
    tool: call.tool,
    decision,
    transaction,
    reasons: [...reasons],
    ...(remedy === undefined ? {} : { remedy }),
  });
}

function toolChanged(call: ToolCall, { decision, transaction }: Delegation): Answer {
  const text = `Refused: "${call.tool}" is not what was reviewed any more. List the tools again.`;
  return toolRefusal(call, text, { error: 'tool_changed', tool: call.tool, decision, transaction });
}

function schemeOf(request: Inbound, { dpopRequired }: GuardDeps): 'Bearer' | 'DPoP' {
  return dpopRequired || request.header('authorization').some((header) => /^dpop /i.test(header)) ? 'DPoP' : 'Bearer';
}
