import { z } from 'zod';
import { McpToolCalls } from './authorization-details.js';
import { Typ } from './names.js';
import { ToolName } from './words.js';

/** Hard cap of actors in one token (STANDARDS: default 5, cap 8); a deeper token is refused before it is read further. */
export const MAX_CHAIN = 8;

/** An identifier from outside: bounded, without control characters (a NUL breaks a query), without half a surrogate pair. */
export const Identifier = z
  .string()
  .max(512)
  .regex(/^[^\u0000-\u001f\u007f]+$/)
  .refine((text) => text.isWellFormed(), { error: 'has half a surrogate pair' });
/** NumericDate in whole seconds, up to the end of the year 9999. */
export const Instant = z.number().int().nonnegative().max(253_402_300_799);
export const Digest = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

/** One actor (RFC 8693 section 4.1; Actor Profile: identity is the pair of `iss` and `sub`). */
export const Actor = z.object({
  sub: Identifier,
  iss: Identifier,
  sub_profile: z.enum(['ai_agent', 'service']).optional(),
});
export type Actor = z.infer<typeof Actor>;

/** `act` as it is nested in a token; {@link flattenAct} turns it into a list. */
export type Act = Actor & { act?: Act | undefined };
export const Act: z.ZodType<Act> = Actor.extend({
  get act() {
    return Act.optional();
  },
});

/** RFC 8693 section 4.4: who may become the actor; identifying members only. */
export const MayAct = z.strictObject({ sub: Identifier, iss: Identifier });
export type MayAct = z.infer<typeof MayAct>;

/** RFC 7800; `jkt` is the RFC 7638 SHA-256 thumbprint of the DPoP key (RFC 9449 section 6.1). */
export const Confirmation = z.strictObject({ jkt: Digest });
export type Confirmation = z.infer<typeof Confirmation>;

/** Where a call has passed, oldest first; written by Writ only. */
export const CallChain = z.array(z.strictObject({ wl: Identifier, tool: ToolName.optional() })).max(MAX_CHAIN * 2);

/** So many calls in all the person allowed when they consented, by whatever agents act by that consent `until` it is over. */
export const PersonalBudget = z.strictObject({
  consent: Identifier,
  calls: z.number().int().min(1).max(1_000_000),
  until: Instant,
});
export type PersonalBudget = z.infer<typeof PersonalBudget>;

/** Our one private claim: the receipt. */
export const Receipt = z.strictObject({
  decision: z.string().max(64),
  policy: z.string().max(128),
  session: z.string().max(64),
  seen: z.number().int().nonnegative(),
  leaf: Digest,
  approval: z.string().max(64).optional(),
  /** A hand-over of a bound delegation: what comes of it must be bound too. */
  bind: z.literal(true).optional(),
  /** No tool in it is of tier high or critical: its server may count the uses itself, of exact calls too. */
  uses: z.literal('local').optional(),
  budget: PersonalBudget.optional(),
});
export type Receipt = z.infer<typeof Receipt>;

/** `tctx`: what the transaction is for (transaction token draft section 3.2). */
export const TransactionContext = z.strictObject({
  task: z.string().min(1).max(128).optional(),
  purpose: z.string().min(1).max(256).optional(),
  call_chain: CallChain,
});
export type TransactionContext = z.infer<typeof TransactionContext>;

/** `amr` (RFC 8176), as whoever signed the person in said it. */
const Methods = z.array(z.string().max(64)).max(16);

/** `rctx`: how the request was made. */
export const RequestContext = z.strictObject({ authn: z.string().max(256).optional() });

const common = {
  iss: Identifier,
  sub: Identifier,
  iat: Instant,
  exp: Instant,
  jti: Identifier,
  txn: Identifier,
  scope: z.string().max(4_096),
  authorization_details: McpToolCalls.optional(),
  tctx: TransactionContext,
  rctx: RequestContext,
  acr: z.string().max(256).optional(),
  amr: Methods.optional(),
  auth_time: Instant.optional(),
  cnf: Confirmation.optional(),
  act: Act,
  writ: Receipt,
};

/** The payload of a transactional access token, `txnat+jwt` or, for older servers, `at+jwt` with `txn` (Txn-AT draft). */
export const TransactionalAccessToken = z.strictObject({ ...common, aud: Identifier, client_id: Identifier });
export type TransactionalAccessToken = z.infer<typeof TransactionalAccessToken>;

/** The payload of a transaction token, `txntoken+jwt`: for the trust domain, never an access token. */
export const TransactionToken = z.strictObject({ ...common, aud: Identifier, req_wl: Identifier });
export type TransactionToken = z.infer<typeof TransactionToken>;

/**
 * The payload of a person's access token, `at+jwt` (RFC 9068) whose only audience is Writ itself: good for the exchange
 * and for nothing else. `writ.grant` names the consent it came from. A hand-over to a sub-agent has `may_act` and the
 * members of the transaction that it continues.
 */
export const PersonsAccessToken = z.looseObject({
  iss: Identifier,
  aud: Identifier,
  sub: Identifier,
  client_id: Identifier,
  iat: Instant,
  exp: Instant,
  jti: Identifier,
  scope: z.string().max(4_096),
  acr: z.string().max(256).optional(),
  amr: Methods.optional(),
  auth_time: Instant.optional(),
  cnf: Confirmation.optional(),
  act: Act.optional(),
  may_act: MayAct.optional(),
  txn: Identifier.optional(),
  tctx: TransactionContext.optional(),
  authorization_details: McpToolCalls.optional(),
  writ: z.union([z.strictObject({ grant: Identifier, budget: PersonalBudget.optional() }), Receipt]),
});
export type PersonsAccessToken = z.infer<typeof PersonsAccessToken>;

/** The client that an actor is, or is an instance of (`<client id>/<name>`). */
export const clientOf = (actor: string): string => actor.split('/')[0] ?? actor;

/** The actors of a token, the current one first (RFC 8693 section 4.1: only that one counts for access). */
export function flattenAct(act: Act | undefined): readonly Actor[] {
  const actors: Actor[] = [];
  for (let at = act; at !== undefined; at = at.act) {
    actors.push({ sub: at.sub, iss: at.iss, ...(at.sub_profile === undefined ? {} : { sub_profile: at.sub_profile }) });
  }
  return actors;
}

/** The reverse of {@link flattenAct}: the first actor outermost. */
export function nestAct([current, ...earlier]: readonly Actor[]): Act | undefined {
  if (current === undefined) return undefined;
  const act = nestAct(earlier);
  return act === undefined ? { ...current } : { ...current, act };
}

/**
 * Whether a token of ours is a transactional access token: by its own type, or for older servers an `at+jwt` with `txn`
 * that is no hand-over. The one place that tells the two kinds of `at+jwt` apart.
 */
export const isTransactional = (typ: string | undefined, payload: Readonly<Record<string, unknown>>): boolean =>
  typ === Typ.transactionalAccessToken || (typ === Typ.accessToken && 'txn' in payload && !('may_act' in payload));
