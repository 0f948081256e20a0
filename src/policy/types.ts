import type { Opinions, PointRefusal } from './opinion.js';
import type { Judged } from './ports.js';
import type { PolicySet, SessionFacts } from './set/index.js';
import type { RegisteredAgent, RegisteredServer, RegistrySnapshot } from '../registry/index.js';

/** Whose word was missing. Permission is person AND agent AND server AND request. */
export type Term = 'person' | 'agent' | 'server' | 'request';

/** Why a decision was no: which term failed, and the evidence. */
export type PolicyRefusal =
  | Readonly<{ reason: 'unknown_target'; term: 'server' }>
  | Readonly<{ reason: 'actor_not_usable'; term: 'agent'; actor: string }>
  | Readonly<{ reason: 'hand_over_withdrawn'; term: 'agent' }>
  | Readonly<{ reason: 'target_not_allowed'; term: 'agent' }>
  | Readonly<{ reason: 'hand_over_not_allowed'; term: 'agent' }>
  | Readonly<{ reason: 'domain_not_allowed'; term: 'agent' }>
  | Readonly<{ reason: 'proof_of_possession_required'; term: 'agent' | 'server' }>
  | Readonly<{ reason: 'scope_too_wide'; term: Term; scopes: readonly string[] }>
  | Readonly<{ reason: 'scope_misses_tool'; term: 'request'; tool: string }>
  | Readonly<{ reason: 'nothing_granted'; term: Term }>
  | Readonly<{ reason: 'tool_not_granted'; term: 'agent' | 'server' | 'person'; tool: string }>
  | Readonly<{ reason: 'tool_not_reviewed' | 'tool_needs_review'; term: 'tool'; tool: string }>
  | Readonly<{ reason: 'tool_changed'; term: 'tool'; tool: string; seen: string }>
  | Readonly<{ reason: 'one_call_per_token'; term: 'server'; tool: string }>
  | Readonly<{ reason: 'arguments_required'; term: 'server'; tool: string }>
  | Readonly<{ reason: 'arguments_changed'; term: 'person'; tool: string }>
  | Readonly<{ reason: 'too_many_uses'; term: Term; tool: string }>
  | Readonly<{ reason: 'too_many_tools'; term: 'request' }>
  | Readonly<{ reason: 'tools_not_here'; term: 'request' }>
  | Readonly<{ reason: 'life_is_over'; term: Term }>
  | PolicyDenial
  | PointRefusal;

/** A policy set said no, or could not be asked. `policies`: the ids of those that decided; `messages`: their own reasons. */
export type PolicyDenial = Readonly<{
  reason: 'policy_forbids' | 'policy_does_not_permit' | 'policy_cannot_read' | 'policy_broken' | 'policy_missing';
  term: Term | 'policy';
  tool: string;
  decision: string;
  policies: readonly string[];
  messages: readonly string[];
  /** Where in the arguments a value stands that no policy can read. Its path, never its value. */
  argument?: string;
}>;

/** What has to happen before the answer can be yes; `ask` is what comes first. */
export type Ask = Readonly<{
  ask: 'approval' | 'reauthentication' | 'exact_call';
  decision: string;
  tool: string;
  policies: readonly string[];
  messages: readonly string[];
  approvers: readonly string[];
  /** What people could grant; empty where something else has to happen first. */
  demands: readonly Readonly<{ policy: string; text: string; approvers: readonly string[] }>[];
  /** RFC 9470 section 3. */
  acrValues: readonly string[];
  maxAge: number | undefined;
}>;

/** The rules of one decision: the registry's ceilings, over them the active policy set, and what other decision points say. */
export type Rules = Readonly<{
  registry: RegistrySnapshot;
  policies: PolicySet | undefined;
  /** Where the request comes from, as policies see it. */
  network?: string | undefined;
  /** Of the agent session, where one is and some policy looks at it. */
  session?: SessionFacts | undefined;
  /** `undefined`: no other decision point is configured for the target. */
  opinions?: Opinions | undefined;
  /** The policies that a person's grant lifts. */
  discharged?: readonly string[] | undefined;
  /** Told what the set was asked and said of each tool. */
  onJudged?: (judged: Judged) => void;
  issuer: string;
  trustDomain: string;
}>;

/** The registered objects that one decision is about. */
export type Parties = Readonly<{ client: RegisteredAgent | RegisteredServer; server: RegisteredServer }>;
