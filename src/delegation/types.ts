import type { Seconds } from '../base/index.js';
import type { Actor, JsonObject, MayAct, McpToolCall, PersonalBudget, TransactionContext } from '../protocol/index.js';

/** A person as the subject token names them; `id` is our stable `sub`, absent while we have never met them. */
export type Person = Readonly<{
  id: string | undefined;
  issuer: string | undefined;
  subject: string | undefined;
  attributes: Readonly<Record<string, string>>;
}>;

/** How a token of a trusted issuer came to be accepted: what its issuer's registration may say otherwise later. */
export type Brought = Readonly<{
  issuer: string;
  tokenType: string;
  /** JOSE `typ`; null for none, or JWT. */
  typ: string | null;
  audience: string;
  /** Its `azp` and `client_id`. */
  parties: readonly string[];
  /** The claim that scopes were looked for in, and whether it named any. */
  scopeClaim: string;
  isScoped: boolean;
  /** RFC 7638 thumbprint of the key that made its signature. */
  key: string;
}>;

/**
 * A verified subject token (RFC 8693 section 2.1), whatever its kind:
 * `person`: the person's access token that an agent got from us; `hand-over`: the same, handed to a sub-agent;
 * `transaction`: a transactional access token or a transaction token; `foreign`: a token of a trusted issuer.
 */
export type Subject = Readonly<{
  kind: 'person' | 'hand-over' | 'transaction' | 'foreign';
  person: Person;
  /** The client or server that alone may exchange it. */
  exchangeableBy: string;
  /** The agent whose run this is: it opened the session, or is about to. */
  rootAgent: string;
  scopes: readonly string[];
  /** Current actor first; empty for a person's token. */
  actors: readonly Actor[];
  callChain: TransactionContext['call_chain'];
  details: readonly McpToolCall[] | undefined;
  context: Readonly<{ task: string | undefined; purpose: string | undefined }>;
  transaction: string | undefined;
  /**
   * The session: one that the token names, or the run (a consent, a sign-in at a trusted issuer, what an agent was handed
   * from the session `above`) that has or will get one. `signedInSince`: a run whose session was ended begins anew for
   * whoever signed in afterwards, which is so from the earliest moment by our clock that it can have been.
   */
  run: Readonly<{ key: string; above?: string; signedInSince?: Seconds | undefined }> | Readonly<{ session: string }>;
  expiresAt: Seconds;
  /** The earliest by our clock that it can have been issued: what was cut off since then ends it. */
  issuedSince: Seconds;
  acr: string | undefined;
  /** RFC 8176, as whoever signed the person in said it. */
  amr: readonly string[] | undefined;
  authTime: Seconds | undefined;
  /** RFC 9449: the key that the subject token is bound to. */
  jkt: string | undefined;
  /** The tokens that descend from a bound one must be bound, even where the key is another's. */
  mustBind: boolean;
  mayAct: MayAct | undefined;
  /** Revocation targets that end this token and all that descends from it. */
  lineage: readonly string[];
  /** SHA-256 of the token's `jti` when Writ minted it by an exchange: its record has its own ancestors. */
  recordedAs: string | undefined;
  /** What the person allowed of calls in all, when they consented. */
  budget?: PersonalBudget | undefined;
  /** Of a foreign one. */
  brought?: Brought;
}>;

/** Who acts now: the authenticated client, or an instance that it vouches for. */
export type Presenter = Readonly<{
  clientId: string;
  kind: 'agent' | 'server';
  actor: Actor;
  /** Workload name in call chains: an agent's client id, an MCP server's resource. */
  workload: string;
  /** RFC 9449 thumbprint of the key proven in this request. */
  jkt: string | undefined;
  /** RFC 8693 section 2.1: the actor token's own end, when there is one. */
  expiresAt: Seconds | undefined;
}>;

/** Where the wanted token is for. */
export type Target =
  | Readonly<{ kind: 'server'; resource: string }>
  | Readonly<{ kind: 'domain'; name: string }>
  | Readonly<{ kind: 'agent'; clientId: string }>;

/** One tool that is asked for; with a digest for exactly these arguments. */
export type WantedTool = Readonly<{
  name: string;
  /** For the policy's eyes, in memory only: what is kept and signed is their digest. */
  arguments: JsonObject | undefined;
  argumentsSha256: string | undefined;
  /** The definition that the agent was shown (RFC 8785 SHA-256), if it says so. */
  definitionSha256: string | undefined;
  maxUses: number | undefined;
}>;

/** What the request asks for, already in our words. */
export type Wanted = Readonly<{
  target: Target;
  scopes: readonly string[] | undefined;
  tools: readonly WantedTool[] | undefined;
  task: string | undefined;
  purpose: string | undefined;
}>;

/** Person, chain and wish in one: everything that a policy may look at. It permits nothing. */
export type Delegation = Readonly<{
  person: Person;
  presenter: Presenter;
  /** The chain that the new token will carry, current actor first. */
  actors: readonly Actor[];
  callChain: TransactionContext['call_chain'];
  subject: Subject;
  wanted: Wanted;
  context: Readonly<{ task: string | undefined; purpose: string | undefined }>;
  jkt: string | undefined;
  notAfter: Seconds;
}>;

export type DelegationRefusal =
  | Readonly<{ reason: 'not_exchangeable_by_caller' }>
  | Readonly<{ reason: 'may_act_names_another' }>
  | Readonly<{ reason: 'chain_too_long'; depth: number; limit: number }>
  | Readonly<{ reason: 'actor_loop'; actor: string }>
  | Readonly<{ reason: 'call_loop'; tool: string }>
  | Readonly<{ reason: 'proof_required' }>
  | Readonly<{ reason: 'proof_of_another_key' }>
  | Readonly<{ reason: 'context_changed'; member: 'task' | 'purpose' }>;
