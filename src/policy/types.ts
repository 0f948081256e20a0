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
  | Readonly<{ reason: 'life_is_over'; term: Term }>;

/** A human has to say yes first. */
export type Ask = Readonly<{ ask: 'approval'; decision: string; reason: string }>;

/** The rules of one decision: today the registry's ceilings. */
export type Rules = Readonly<{ registry: RegistrySnapshot; issuer: string; trustDomain: string }>;

/** The registered objects that one decision is about. */
export type Parties = Readonly<{ client: RegisteredAgent | RegisteredServer; server: RegisteredServer }>;
