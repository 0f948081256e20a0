import { z } from 'zod';
import { err, ok, type Result, type Seconds } from '../base/index.js';
import {
  type CanonicalFlaw,
  canonicalize,
  ClientId,
  copyJson,
  digest,
  Digest,
  Identifier,
  Instant,
  MAX_CHAIN,
  type JsonObject,
  parseObject,
  ResourceUri,
  sha256,
  ToolName,
} from '../protocol/index.js';

/** What one policy demands: a grant by somebody of one of these groups, or without groups by the person themself. */
export const Demand = z.strictObject({
  policy: Identifier,
  /** SHA-256 of the policy's text: what was granted under one text lifts no other. */
  text: Digest,
  approvers: z.array(Identifier).max(32).readonly(),
});
export type Demand = Readonly<z.infer<typeof Demand>>;

const Arguments = z.custom<JsonObject>((value) => typeof value === 'object' && value !== null && !Array.isArray(value));

/** The frozen request, as far as it says what would happen: one exact call of one tool. */
export const Call = z.strictObject({
  person: Identifier,
  /** The agents, the one that asks first. */
  chain: z
    .array(ClientId)
    .min(1)
    .max(MAX_CHAIN + 1)
    .readonly(),
  session: Identifier.nullable(),
  server: ResourceUri,
  tool: ToolName,
  definition: Digest,
  arguments: Arguments,
  argumentsSha256: Digest,
});
export type Call = Readonly<z.infer<typeof Call>>;

/** As policy/ names a set: of all its files. */
const PolicySetHash = z.string().regex(/^sha256:[A-Za-z0-9_-]{43}$/);

/** What a person approves. ATTACKS AP-02: of one version, and a reader of another one refuses it. */
export const Binding = z.strictObject({
  version: z.literal(1),
  call: Call,
  policySet: PolicySetHash,
  demands: z.array(Demand).min(1).max(64).readonly(),
  expiresAt: Instant,
});
export type Binding = Readonly<z.infer<typeof Binding>>;

/** A binding with its digests: `call` is what a redemption has to be the same as, `sha256` what an approver answers. */
export type Frozen = Readonly<{ binding: Binding; call: string; sha256: string }>;

export type Unfreezable = CanonicalFlaw | 'malformed' | 'arguments_altered' | 'same_policy_twice' | 'too_long';

/** ATTACKS AP-01: what is too long for a person to read is not approvable. In characters of the RFC 8785 form. */
export const MOST_ARGUMENTS = 16_384;

/** Freezes a request, or reads a frozen one: whatever its digests do not cover, nobody approved. */
export function freeze(candidate: unknown): Result<Frozen, Unfreezable> {
  const parsed = Binding.safeParse(candidate);
  if (!parsed.success) return err('malformed');
  const { call, demands } = parsed.data;
  if (new Set(demands.map(({ policy }) => policy)).size < demands.length) return err('same_policy_twice');
  const exact = canonicalize(call.arguments);
  if (!exact.ok) return exact;
  if (exact.value.length > MOST_ARGUMENTS) return err('too_long');
  if (sha256(exact.value) !== call.argumentsSha256) return err('arguments_altered');
  const what = callDigest(call);
  if (!what.ok) return what;
  // DANGER: a copy, so that nobody who holds the arguments can alter what is approved.
  const copy = parseObject(exact.value);
  if (!copy.ok) return err('malformed');
  const binding = { ...parsed.data, call: { ...call, arguments: copy.value } };
  const whole = digest(copyJson({ ...binding, call: what.value }));
  return whole.ok ? ok({ binding, call: what.value, sha256: whole.value }) : whole;
}

/** Identical requests have one. DANGER: the arguments are in it by their digest, which {@link freeze} has compared. */
export const callDigest = (call: Omit<Call, 'arguments'>): Result<string, CanonicalFlaw> =>
  digest(copyJson({ ...call, arguments: undefined }));

/** How long a request may wait: never longer than the token and the session that it was asked with. */
export const waitsUntil = (now: Seconds, wait: Seconds, ends: readonly Seconds[]): Seconds =>
  Math.min(now + wait, ...ends);
