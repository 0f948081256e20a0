import { closeRecord, recordHead } from '../audit/index.js';
import type { Caller } from '../client/index.js';
import { type CallQuestion, toldOf } from '../policy/index.js';
import { copyJson, digest, type JsonObject, sha256, ToolName } from '../protocol/index.js';
import type { AskedCall } from './asked-call.js';
import type { Kept } from './kept.js';
import type { Moment } from './moment.js';
import type { Evaluation } from './request.js';

/** What was asked of a tool: identifiers and digests. A text that only looks like one stands there by its digest. */
export function aboutCall(
  asked: AskedCall & Pick<CallQuestion, 'agents' | 'server'>,
  person: string | undefined,
): JsonObject {
  const { tool, argumentsSha256 } = asked.about;
  return {
    what: 'call',
    // DANGER: whom a decision point asks about and nobody knows may be an address, of which a digest would tell.
    person: person ?? null,
    agents: [...asked.agents],
    server: asked.server,
    tool: ToolName.safeParse(tool).success ? tool : { sha256: sha256(tool) },
    arguments_sha256: argumentsSha256 ?? null,
    txn: asked.txn === undefined ? null : sha256(asked.txn),
  };
}

/** Entities that are not ours may be named after people: the log has their digest. */
export function aboutEntities({ subject, action, resource, context }: Evaluation): JsonObject {
  const hashed = digest(copyJson({ subject, action, resource, context }));
  return { what: 'entities', question_sha256: hashed.ok ? hashed.value : null };
}

/** The whole record of one answer. */
export function decisionRecord(
  { about, id, policies, opinions, input, outcome, spends }: Kept,
  { caller, rules, now, http }: Moment,
): string {
  const head = recordHead('decision', now, {
    request: http.requestId,
    trace: http.traceId ?? null,
    client: clientOf(caller),
    ...about,
    decision: id,
    ...(spends === undefined ? {} : { approval: spends.held.id }),
    policy: rules.registry.policies?.hash ?? 'none',
    policies: [...policies],
    opinions: toldOf(opinions),
    input,
    registry: rules.registry.version,
  });
  return closeRecord(head, { ...outcome, session: null, sequence: null, seen: 0 }).toString('utf8');
}

const clientOf = ({ clientId, party, method, keyId }: Caller): JsonObject => ({
  id: clientId,
  kind: party.kind,
  method,
  key: keyId ?? null,
});
