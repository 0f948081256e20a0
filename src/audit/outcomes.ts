import { asClient, type AsClientDeps, type Caller, challenged, withBearerAssertion } from '../client/index.js';
import { type Answer, copyJson, digest, type FormRequest, type JsonObject, sha256 } from '../protocol/index.js';
import { jsonRoute, type Route } from '../http/index.js';
import {
  flawIn,
  isTold,
  outcomeRecord,
  readOutcomes,
  type ReportedOutcome,
  type Reporter,
  type StoredPermit,
} from './outcome.js';
import type { KeptOutcome, NewOutcome, OutcomeLog } from './ports.js';

export type OutcomesDeps = AsClientDeps & Readonly<{ outcomes: OutcomeLog }>;

const PATH = '/audit/v1/outcomes';

const HEADERS = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;

/** Where MCP servers report. */
export function outcomesRoute(deps: OutcomesDeps, at: Parameters<typeof jsonRoute>[2]): Route {
  const mount = new URL(deps.settings.issuer).pathname.replace(/\/$/, '');
  return jsonRoute(`${mount}${PATH}`, (http, body) => outcomesEndpoint(http, body, deps), at);
}

/**
 * `POST /audit/v1/outcomes`: an MCP server says what became of calls that it let through. One answer for each; the same
 * report again gets the same answer. It says nothing about other outcomes, and nothing about other servers' tokens.
 */
async function outcomesEndpoint(http: FormRequest, body: JsonObject, deps: OutcomesDeps): Promise<Answer> {
  const answer = await asClient(withBearerAssertion(http), PATH, deps, async (caller, registry, now) => {
    const reporter = reporterOf(caller);
    const read = readOutcomes(body);
    const reported = reporter !== undefined && read.ok ? read.value : [];
    const outcomes = reporter === undefined ? [] : await weigh(reported, { reporter, now, http, deps });
    const { requestId } = http;
    const batch = { requestId, registryVersion: registry.version, spends: caller.spends, outcomes };
    const kept = await http.trace('commit', () => deps.outcomes.keep(batch));
    if (kept.registryVersion !== registry.version) return 'stale';
    if (kept.replayed) return 'replayed';
    if (reporter === undefined) return refused('unauthorized_client', 'only an MCP server reports outcomes');
    if (!read.ok) return malformed(`${read.error.path} ${read.error.hint}`);
    return {
      status: 200,
      headers: HEADERS,
      body: { outcomes: reported.map((one) => answerTo(one, reporter, kept.kept)) },
    };
  });
  return answer.status === 401 ? challenged(answer) : answer;
}

const reporterOf = ({ clientId, party }: Caller): Reporter | undefined =>
  party.kind !== 'server'
    ? undefined
    : {
        clientId,
        resource: party.server.resource,
        transactionTokens: party.server.transaction_tokens,
        tools: new Set(party.server.tools.map(({ name }) => name)),
      };

type Weighing = Readonly<{ reporter: Reporter; now: number; http: FormRequest; deps: OutcomesDeps }>;

/** Each call once: what a batch says of one call twice is answered by what it says first. */
async function weigh(
  reported: readonly ReportedOutcome[],
  { reporter, now, http, deps }: Weighing,
): Promise<readonly NewOutcome[]> {
  const hashes = [...new Set(reported.map(({ jti }) => sha256(jti)))];
  const permits = new Map<string, StoredPermit>(
    (await deps.outcomes.permits(hashes)).map((permit) => [permit.tokenHash, permit]),
  );
  const weighed = new Map<string, NewOutcome>();
  for (const one of reported) {
    const key = keyOf(one, reporter);
    if (weighed.has(key)) continue;
    const tokenHash = sha256(one.jti);
    const permit = permits.get(tokenHash);
    const flaw = flawIn(one, permit, reporter);
    const about = { reporter, permit, flaw, requestId: http.requestId, traceId: http.traceId, now };
    weighed.set(key, {
      key,
      content: contentOf(one),
      server: reporter.resource,
      tokenHash,
      tool: isTold(one, about) ? one.tool : sha256(one.tool),
      outcome: one.outcome,
      flaw,
      txn: flaw === undefined ? one.txn : undefined,
      session: flaw === undefined ? permit?.session : undefined,
      head: outcomeRecord(one, about),
    });
  }
  return [...weighed.values()];
}

const keyOf = ({ call }: ReportedOutcome, { resource }: Reporter): string => sha256(`${resource}\n${call}`);

function contentOf(reported: ReportedOutcome): string {
  const hashed = digest(copyJson(reported));
  return hashed.ok ? hashed.value : '';
}

/** One word for every report that fits no permit, like introspection: which it was stands in the log. */
function answerTo(one: ReportedOutcome, reporter: Reporter, kept: ReadonlyMap<string, KeptOutcome>): JsonObject {
  const { call } = one;
  const first = kept.get(keyOf(one, reporter));
  if (first === undefined) return { call, result: 'not_permitted' };
  if (first.content !== contentOf(one)) return { call, result: 'conflict' };
  return first.flaw === undefined
    ? { call, result: 'recorded', leaf: first.leafHash }
    : { call, result: 'not_permitted' };
}

const malformed = (error_description: string): Answer => ({
  status: 400,
  headers: HEADERS,
  body: { error: 'invalid_request', error_description },
});

const refused = (error: string, error_description: string): Answer => ({
  status: 400,
  headers: HEADERS,
  body: { error, error_description },
});
