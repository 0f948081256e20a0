import type { Result, Seconds } from '../base/index.js';
import type { JsonObject, Tier } from '../protocol/index.js';
import type { Frozen } from './binding.js';
import type { Approver } from './approvers.js';
import type { Answer, Approval, ApprovalEvent, ApprovalState, NotPossible } from './transition.js';

/** What a page says of a request beside the exact call. */
export type About = Readonly<{
  task: string | null;
  purpose: string | null;
  /** The sentences of the policies that ask. */
  reasons: readonly string[];
  tier: Tier;
  /** The network that the request came from, as policies see it. */
  network: string | null;
  /** Two digits that the agent's host shows: whoever approves elsewhere says which they are. */
  number: string;
  /** Who gets what is approved: the agent that waits for a token, or the server that asked about a call of its own tool. */
  by: 'agent' | 'server';
  /** SHA-256 of the text of each policy that asks; known also once the request is over. */
  texts: Readonly<Record<string, string>>;
}>;

/** A request to people that is to be kept. */
export type Asking = Readonly<{
  /** `apr_…` */
  id: string;
  frozen: Frozen;
  /** The decision that a person was to be asked. */
  decision: string;
  /** RFC 9449: the key that whoever redeems it has to prove. */
  jkt: string | undefined;
  /** What a redemption needs. It may hold tokens and is kept sealed, until the request is over. */
  request: JsonObject;
  about: About;
}>;

/** A request as it is kept. `client` asked. */
export type Held = Readonly<{
  id: string;
  state: ApprovalState;
  person: string;
  client: string;
  jkt: string | undefined;
  server: string;
  tool: string;
  about: About;
  answers: readonly Answer[];
  askedAt: Seconds;
  expiresAt: Seconds;
  endedAt: Seconds | undefined;
  /** `undefined` once it is over: its arguments are erased then. */
  approval: Approval | undefined;
  request: JsonObject | undefined;
}>;

/** `code`: the deferral code, the same one for whoever asks the same again while it is open. */
export type Asked = Readonly<{ held: Held; code: string }>;

/** How a call differs from the last one that had been approved when it was asked: the names of its members, without the values of the other. */
export type Difference = Readonly<{
  at: Seconds;
  changed: readonly string[];
  added: readonly string[];
  /** Members that the last one had, and this one has not. */
  missing: number;
}>;

/** What a redemption spends, and whoever takes a grant back: one approval, one token. */
export const approvalKey = (id: string): string => `approval:${id}`;
/** For so long after its request a spent key is kept: longer than anything may bring it again. */
export const KEY_KEPT: Seconds = 3_600;
/** DESIGN 8: how long a request waits at most. */
export const WAIT: Seconds = 300;
/** Seconds between two polls, and those that are added for whoever comes too soon. */
export const POLL_INTERVAL: Seconds = 5;

/** Seconds for which a no is the answer to whoever asks the very same again: nobody is worn down by being asked until they say yes. */
export const A_NO: Seconds = 60;

/** Open requests of one agent for one person, and of one person in all: whoever asks for more is refused. */
export const MOST_OF_AGENT = 16;
export const MOST_OF_PERSON = 64;

/**
 * Requests to people. INVARIANT: of all that happens to a request at once, on any number of replicas, one thing wins; each
 * state that it comes to is a record in the log, but that it was used: that says the record of the exchange.
 */
export interface Approvals {
  /**
   * Keeps a request, or finds the same one that is open: the same call, policies, client and key. What a redemption needs is then
   * that of the newer one, where it lasts as long. One that was refused a moment ago ({@link A_NO}) is found too, and asks nobody.
   */
  ask(asking: Asking, now: Seconds): Promise<Result<Asked, 'too_many'>>;
  byId(id: string, now: Seconds): Promise<Held | undefined>;
  /** What this person may answer and has not, the oldest first. */
  waitingFor(by: Pick<Approver, 'person' | 'groups'>, now: Seconds, limit: number): Promise<readonly Held[]>;
  /** `undefined` where no such call was approved yet, or is remembered. */
  difference(held: Held): Promise<Difference | undefined>;
  /** `shown`: SHA-256 of the page that was answered. `undefined`: there is no such request. */
  answer(
    id: string,
    event: Exclude<ApprovalEvent, { event: 'use' }>,
    at: Readonly<{ now: Seconds; shown?: string | undefined }>,
  ): Promise<Result<Held, NotPossible> | undefined>;
  /**
   * Whether the word that was given counts no more: the server or the tool was revoked since it was asked (of what a server
   * asked, also the person or an agent), or whoever granted it was revoked since, disabled, or is of no group that may.
   */
  isVoid(held: Held): Promise<boolean>;
  /** One approval, one token or one call: it is over, whatever became of its redemption. */
  used(id: string, now: Seconds): Promise<void>;
}
