import { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import {
  Digest,
  Instant,
  isObject,
  type Json,
  type JsonObject,
  ResourceUri,
  sha256,
  ToolName,
} from '../protocol/index.js';
import { type LogRecord, type RecordHead, recordHead } from './record.js';

/** As many outcomes as one request may report. */
export const MAX_OUTCOMES = 100;

/** Letters in a few words: the name of a class of errors, which no secret and no sentence fits. */
const ErrorClass = z.string().regex(/^[A-Za-z]{1,32}([._][A-Za-z]{1,32}){0,3}$/);

/** What became of one call of a tool, as its MCP server says. Nothing of it is free text. */
export const ReportedOutcome = z
  .strictObject({
    jti: z.string().regex(/^[A-Za-z0-9_-]{16,64}$/),
    txn: z.string().regex(/^[A-Za-z0-9_-]{16,64}$/),
    tool: ToolName,
    /** The server's own name of this one call: a report that comes again changes nothing. */
    call: z.string().regex(/^[A-Za-z0-9_-]{16,64}$/),
    outcome: z.enum(['executed', 'failed', 'unknown']),
    result_sha256: Digest.optional(),
    duration_ms: z.number().int().min(0).max(86_400_000).optional(),
    error: ErrorClass.optional(),
    at: Instant,
  })
  .refine(({ outcome, error }) => outcome !== 'executed' || error === undefined, { path: ['error'] });
export type ReportedOutcome = z.infer<typeof ReportedOutcome>;

/** Why a report fits no permit: for the log. The server is told one word for all. */
export const OutcomeFlaw = z.enum(['unknown_token', 'another_server', 'another_transaction', 'another_tool']);
export type OutcomeFlaw = z.infer<typeof OutcomeFlaw>;

/** Where a request is malformed, and what belongs there. */
export type OutcomesFlaw = Readonly<{ path: string; hint: string }>;

/** `{"outcomes": [...]}`, all of it or the first thing that is wrong, by name. */
export function readOutcomes(body: JsonObject): Result<readonly ReportedOutcome[], OutcomesFlaw> {
  const { outcomes, ...others } = body;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) return err({ path: 'the body', hint: 'must have outcomes and nothing else' });
  if (outcomes === undefined) return err({ path: 'outcomes', hint: 'is missing' });
  if (!isList(outcomes) || outcomes.length < 1 || outcomes.length > MAX_OUTCOMES)
    return err({ path: 'outcomes', hint: `must be a list of 1 to ${String(MAX_OUTCOMES)}` });
  const read: ReportedOutcome[] = [];
  for (const [at, raw] of outcomes.entries()) {
    const one = ReportedOutcome.safeParse(raw);
    if (!one.success) return err(flawOf(one.error, raw, `outcomes.${String(at)}`));
    read.push(one.data);
  }
  return ok(read);
}

const isList = (value: Json): value is readonly Json[] => Array.isArray(value);

/** A member that has no name of ours is not repeated: it may be anything. */
function flawOf({ issues: [issue] }: z.ZodError, raw: Json, path: string): OutcomesFlaw {
  if (issue?.code === 'unrecognized_keys') return { path, hint: 'has a member that is not known' };
  const field = String(issue?.path[0] ?? '');
  if (field === '') return { path, hint: 'must be a JSON object' };
  const isMissing = !isObject(raw) || raw[field] === undefined;
  return { path: `${path}.${field}`, hint: isMissing ? 'is missing' : (HINTS[field] ?? 'is malformed') };
}

const ID = 'must be 16 to 64 letters, digits, - and _';
const HINTS: Readonly<Record<string, string>> = {
  jti: ID,
  txn: ID,
  call: ID,
  tool: 'must be a tool name',
  outcome: 'must be executed, failed or unknown',
  result_sha256: 'must be a base64url SHA-256',
  duration_ms: 'must be whole milliseconds, at most a day',
  error: 'must be the class of an error in letters, and none when executed',
  at: 'must be a time in seconds since 1970',
};

/** What a permit of the log says of the token that it is for. */
export type PermitFacts = Readonly<{
  target: Readonly<{ kind: 'server'; resource: string }> | Readonly<{ kind: 'domain' }>;
  /** `null`: no tool is named, the scope alone permits. */
  tools: readonly Readonly<{ name: string; max_uses: number }>[] | null;
  expiresAt: number;
}>;

const Facts = z.object({
  target: z.union([
    z.object({ kind: z.literal('server'), resource: ResourceUri }),
    z.object({ kind: z.literal('domain') }),
  ]),
  tools: z.array(z.object({ name: z.string(), max_uses: z.number() })).nullable(),
  token: z.object({ exp: z.number() }),
});

/** Reads the record of an exchange; `undefined` when it permits nothing at an MCP server. */
export function permitFactsOf({ kind, facts, outcome }: LogRecord): PermitFacts | undefined {
  const read = kind === 'exchange' && outcome.decision === 'permit' ? Facts.safeParse(facts).data : undefined;
  return read && { target: read.target, tools: read.tools, expiresAt: read.token.exp };
}

/** A permit as the log has it. */
export type StoredPermit = Readonly<{ tokenHash: string; txn: string; session: string; leafHash: string }> &
  PermitFacts;

/** The MCP server that reports. */
export type Reporter = Readonly<{
  clientId: string;
  resource: string;
  transactionTokens: boolean;
  tools: ReadonlySet<string>;
}>;

/** What is wrong with a report, or `undefined` when the permit covers it. */
export function flawIn(
  reported: ReportedOutcome,
  permit: StoredPermit | undefined,
  { resource, transactionTokens }: Reporter,
): OutcomeFlaw | undefined {
  if (permit === undefined) return 'unknown_token';
  const { target, tools, txn } = permit;
  const isTheirs = target.kind === 'server' ? target.resource === resource : transactionTokens;
  if (!isTheirs) return 'another_server';
  if (txn !== reported.txn) return 'another_transaction';
  if (tools !== null && !tools.some(({ name }) => name === reported.tool)) return 'another_tool';
  return undefined;
}

/** Whether the tool may be named: a text of the server's own that only looks like a name stands as its digest. */
export const isTold = (
  { tool }: ReportedOutcome,
  { flaw, permit, reporter }: Pick<About, 'reporter' | 'permit' | 'flaw'>,
): boolean => flaw === undefined && (permit?.tools !== null || reporter.tools.has(tool));

type About = Readonly<{
  reporter: Reporter;
  permit: StoredPermit | undefined;
  flaw: OutcomeFlaw | undefined;
  requestId: string;
  traceId: string | undefined;
  now: number;
}>;

/** The record of a report. What no permit vouches for stands there as a digest. */
export function outcomeRecord(reported: ReportedOutcome, about: About): RecordHead {
  const { reporter, permit, flaw, requestId, traceId, now } = about;
  return recordHead('outcome', now, {
    what: 'call',
    request: requestId,
    trace: traceId ?? null,
    client: reporter.clientId,
    server: reporter.resource,
    token: sha256(reported.jti),
    txn: flaw === undefined ? reported.txn : { sha256: sha256(reported.txn) },
    permit: flaw === undefined ? (permit?.leafHash ?? null) : null,
    tool: isTold(reported, about) ? reported.tool : { sha256: sha256(reported.tool) },
    call_sha256: sha256(reported.call),
    outcome: reported.outcome,
    result_sha256: reported.result_sha256 ?? null,
    duration_ms: reported.duration_ms ?? null,
    error: reported.error ?? null,
    reported_at: reported.at,
  });
}
