import { z } from 'zod';
import { Approval } from './approval-facts.js';
import { by, count, digest, id, policy } from './fact-parts.js';
import type { RecordKind } from './record.js';

// What the records say, kind by kind. A member that is optional here is absent where there is nothing to say of it.

const Client = z
  .strictObject({ id, kind: z.enum(['agent', 'server']), method: z.string(), key: z.string().nullable() })
  .describe('Who asked, how it authenticated (RFC 6749 section 2.3) and with which key.');

const Actor = z.strictObject({ sub: z.string(), iss: z.string() });

const Target = z.union([
  z.strictObject({ kind: z.literal('server'), resource: z.string() }),
  z.strictObject({ kind: z.literal('agent'), clientId: z.string() }),
  z.strictObject({ kind: z.literal('domain'), name: z.string() }),
  z.strictObject({ kind: z.enum(['server', 'agent', 'domain']), sha256: digest }),
]);

const Opinion = z.strictObject({
  point: z.string(),
  says: z.enum(['yes', 'no']),
  because: z.string(),
  tool: z.string().optional(),
  answer: z.string().nullable().describe('SHA-256 of what it answered.'),
});

const traced = {
  request: id,
  trace: z.string().nullable().describe('W3C trace id.'),
  traceparent: z.string().nullable().optional().describe('W3C Trace Context, as the caller sent it.'),
};
const Met = digest.describe(
  'Who the person is, at the first meeting: SHA-256 over 128 bits of salt and the RFC 8785 form of {issuer, subject}.',
);
const ArgumentsDigest = digest.nullable().describe('SHA-256 of the RFC 8785 form of the arguments.');

const Input = digest.optional().describe('What the policy set was asked, without attributes and network.');

const decimal = z.string().regex(/^\d+(\.\d+)?$/);

const Reserved = z.strictObject({
  unit: z.string(),
  per: z.string(),
  limit: decimal,
  amount: decimal.describe('0 for different tools and servers, which are counted once.'),
  currency: z.string().optional(),
});

const Brought = z
  .strictObject({
    issuer: z.string(),
    token_type: z.string(),
    typ: z.string().nullable(),
    audience: z.string(),
    parties: z.array(z.string()).describe('Its `azp` and `client_id`.'),
    scope_claim: z.string().describe('The claim that its scopes were looked for in.'),
    scoped: z.boolean().describe('Whether it named any.'),
    key: z.string().describe('RFC 7638 thumbprint of the key that signed it.'),
  })
  .describe('How the token of a trusted issuer was accepted.');

const Exchange = z.strictObject({
  ...traced,
  client: Client,
  person: id.nullable(),
  met: Met.optional(),
  subject: Brought.optional(),
  actors: z.array(Actor).nullable().describe('The `act` chain, the current actor first (RFC 8693 section 4.1).'),
  target: Target.nullable(),
  tools: z
    .array(z.strictObject({ name: z.string(), arguments_sha256: ArgumentsDigest, max_uses: count.optional() }))
    .nullable(),
  budgets: z.array(Reserved).optional().describe('What it would reserve of budgets.'),
  scope: z.string().nullable(),
  task: z.string().nullable(),
  purpose: z.string().nullable(),
  authn: z.string().nullable().describe('The `acr` of the person.'),
  decision: id.nullable(),
  input: Input,
  approval: id.nullable().optional(),
  policy,
  policies: z.array(z.string()).optional().describe('The ids of the policies that permitted.'),
  opinions: z.array(Opinion).optional().describe('What other decision points said.'),
  registry: count.describe('The version of the registry.'),
  txn: z.string().nullable(),
  token: z
    .strictObject({
      hash: digest.describe('SHA-256 of its `jti`.'),
      typ: z.string(),
      key: z.string().describe('The `kid` of the key that signs it.'),
      exp: z.number().int(),
      bound: z.string().nullable().describe('RFC 9449 thumbprint.'),
    })
    .nullable(),
  ignored: z.array(z.string()).optional(),
  evidence: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
});

const Grant = z.union([
  z.strictObject({
    what: z.literal('person_token'),
    client: id,
    person: id,
    scope: z.string(),
    grant: z.string().describe('SHA-256 of the id of the consent.'),
    bound: z.string().nullable(),
  }),
  z.strictObject({ client: id, route: z.string() }),
]);

const Authentication = z.union([
  z.strictObject({ client: z.string().nullable(), route: z.string(), minute: count, earlier: count }),
  z.strictObject({ client: z.string().nullable(), route: z.string(), minute: count, earlier_of_rare: count }),
  z.strictObject({ what: z.literal('met'), person: id, met: Met }),
  z.strictObject({ what: z.literal('erased'), person: id, by }),
  z.strictObject({ what: z.enum(['person_disabled', 'person_enabled']), person: id, by }),
  z.strictObject({ what: z.literal('invited'), person: id, by }),
  z.strictObject({
    what: z.literal('enrolled'),
    person: id,
    credential: digest.optional().describe('SHA-256 of the id of the passkey.'),
  }),
  z.strictObject({
    what: z.literal('groups_set'),
    person: id,
    groups: z.array(z.string()).describe('As whose member they may approve for others.'),
    by,
  }),
  z
    .strictObject({ what: z.enum(['password_made', 'password_removed', 'password_used']), person: id })
    .describe('Of the password for emergencies; `used` is a sign-in.'),
  z
    .strictObject({
      what: z.enum(['channel_added', 'channel_removed']),
      person: id,
      channel: id,
      channel_kind: z.enum(['push', 'webhook']),
      by,
    })
    .describe(
      'Of where somebody is told of what waits; `writ` removes what a push service or a webhook says has ended.',
    ),
  z.strictObject({ what: z.literal('recovery_codes_made'), person: id, codes: count }),
  z
    .strictObject({
      what: z.literal('recovery_code_used'),
      person: id,
      credentials: z.array(digest).describe('SHA-256 of the ids of the passkeys that it took away.'),
      left: count,
    })
    .describe('Somebody made ready for a new passkey by a code; a revocation of the person goes with it.'),
  z.strictObject({ what: z.literal('passkeys_removed'), person: id, credentials: z.array(digest), by }),
]);

const Registry = z.strictObject({
  what: z.enum(['agent', 'server', 'issuer', 'remove-agent', 'remove-server', 'remove-issuer']),
  id,
  before: z.json().optional().describe('Left out, like `after`, where both are too long for an entry of the log.'),
  after: z.json().optional(),
  before_sha256: digest.nullable().optional().describe('Of the RFC 8785 form of `before`.'),
  after_sha256: digest.nullable().optional().describe('Of the RFC 8785 form of `after`.'),
  changed: z.array(z.string()).optional().describe('The members that differ.'),
  secret_set: z.boolean(),
  by,
  registry: count,
});

const Session = z.union([
  z.strictObject({
    what: z.enum(['ended', 'resumed']),
    by,
    with: id.optional().describe('The session above it with which it ended or was resumed.'),
  }),
  z.strictObject({
    what: z.literal('paused'),
    by,
    with: id.optional().describe('The session above it with which it was paused.'),
    resumes_at: z.number().int().optional().describe('When the pause ends by itself.'),
  }),
  z
    .strictObject({
      what: z.literal('closed'),
      session: id,
      person: id,
      agents: z.array(z.string()),
      opened_at: z.number().int(),
      ended_at: z.number().int(),
      ended_by: z.string(),
      entries: count.describe('All records of it before this one.'),
      permits: count,
      refusals: count,
      asks: count,
      introspections: count,
      outcomes: count,
      first: digest.nullable().describe('The hash of its first numbered record.'),
      last: digest.nullable().describe('The hash of its last numbered record.'),
      missing: z.array(count).min(1).optional().describe('Numbers that were not found.'),
    })
    .describe('The summary of a session: how many records of it there were before this one, and of which outcome.'),
]);

const Revocation = z.union([
  z.strictObject({ what: z.literal('token'), token: digest, by }),
  z.strictObject({ what: z.literal('transaction'), txn: id, by }),
  z
    .strictObject({
      what: z.literal('scope'),
      kind: z
        .string()
        .describe(
          'token, transaction, session, agent, owner, person, issuer, server, tool or agent_key; sign_in where a person signed out, company_session where they did so at their company, consent (by SHA-256 of its id) where they took one back.',
        ),
      id: id.describe('Of a token the SHA-256 of its `jti`.'),
      number: count.describe('Its place among all revocations.'),
      sessions: count.describe('Sessions that ended with it, each with a record of its own.'),
      consents: count,
      tokens: count.optional().describe('Tokens made from the one that was revoked; in earlier records only.'),
      by,
    })
    .describe(
      'A revocation by an administrator, or by a person who takes back a consent or signs out here or at their company, with all that it took with it.',
    ),
]);

const Introspection = z.union([
  z.strictObject({
    what: z.literal('use'),
    ...traced,
    client: id,
    token: digest,
    tool: z.string(),
    max_uses: count,
  }),
  z
    .strictObject({
      what: z.literal('renewal'),
      ...traced,
      client: id,
      token: digest,
      tool: z.string(),
      until: z.number().int().describe('Seconds since 1970: at most, and never beyond the end of its session.'),
      decision: id.describe('The one that let the call begin.'),
      policy,
      registry: count.describe('The version of the registry that decided anew.'),
    })
    .describe('A call that runs asked to run on, whether its token has expired by then or not.'),
]);

const Key = z.union([
  z.strictObject({ what: z.literal('created'), kid: id, state: z.literal('active'), by }),
  z.strictObject({
    what: z.literal('published'),
    kid: id,
    state: z.literal('next'),
    activates_after: z.number(),
    by,
  }),
  z.strictObject({ what: z.enum(['activated', 'retired', 'removed']), kid: id, by }),
  z.strictObject({ what: z.literal('withdrawn'), kid: id, was: z.enum(['next', 'active', 'retired']), by }),
  z.strictObject({ what: z.literal('resealed'), kids: z.array(id), by }),
  z
    .strictObject({ what: z.literal('log_key'), vkey: z.string(), previous: z.string().nullable() })
    .describe('A change of the key that signs checkpoints.'),
  z
    .strictObject({
      what: z.literal('log_recovered'),
      halted: z.string(),
      had: count,
      size: count,
      root: z.string(),
      by,
    })
    .describe('An operator let a halted log go on from the entries that were there.'),
]);

const Policy = z.union([
  z.strictObject({ what: z.literal('staged'), policy, files: z.array(z.string()), by }),
  z.strictObject({ what: z.literal('activated'), policy, before: policy.nullable(), by, registry: count }),
  z
    .strictObject({ what: z.literal('reevaluated'), policy, registry: count, ended: count, undecided: count })
    .describe(
      'The live tokens of before were decided over again, by the set that became active or since the registry was narrowed; `undecided` of the ended ones could not be.',
    ),
  z.strictObject({ what: z.literal('inputs_erased'), person: id, inputs: count, by }),
]);

const asked = {
  ...traced,
  client: Client,
  decision: id,
  policy,
  policies: z.array(z.string()),
  opinions: z.array(Opinion).optional(),
  registry: count,
};
const Decision = z.union([
  z.strictObject({
    ...asked,
    what: z.literal('call'),
    person: id.nullable(),
    person_sha256: digest.optional(),
    agents: z.array(z.string()),
    server: z.string(),
    tool: z.union([z.string(), z.strictObject({ sha256: digest })]),
    arguments_sha256: ArgumentsDigest,
    input: Input,
    txn: digest.nullable(),
    approval: id.optional().describe('What a person approved, and this yes spends.'),
  }),
  z.strictObject({ ...asked, what: z.literal('entities'), question_sha256: digest.nullable() }),
]);

const orDigest = z.union([z.string(), z.strictObject({ sha256: digest })]);
const Outcome = z
  .strictObject({
    what: z.literal('call'),
    request: id,
    trace: z.string().nullable(),
    client: id,
    server: z.string(),
    token: digest,
    txn: orDigest,
    permit: digest.nullable().describe('The leaf hash of the permit that covers it.'),
    tool: orDigest,
    call_sha256: digest,
    outcome: z.enum(['executed', 'failed', 'unknown']),
    result_sha256: digest.nullable(),
    duration_ms: count.nullable(),
    error: z.string().nullable().describe('The class of the error.'),
    reported_at: z.number().int(),
  })
  .describe('What an MCP server says became of a call. What no permit vouches for stands there as a digest.');

const Access = z.strictObject({
  who: z.enum(['auditor', 'administrator']),
  what: z.string().describe('The operation.'),
  filter: z.record(z.string(), z.string()),
  request: id,
});

const Retention = z
  .strictObject({
    what: z.literal('pruned'),
    from: count,
    below: count,
    older_than: z.number().int().describe('Seconds since 1970: all that is removed was written before.'),
    days: count,
    by,
  })
  .describe('What is removed from an hour later on: the content of all entries below, but for keys and these records.');

/** The facts of a record of version 1, by its kind. */
export const FACTS = {
  exchange: Exchange,
  grant: Grant,
  authentication: Authentication,
  registry: Registry,
  session: Session,
  revocation: Revocation,
  introspection: Introspection,
  key: Key,
  policy: Policy,
  decision: Decision,
  approval: Approval,
  outcome: Outcome,
  access: Access,
  retention: Retention,
} as const satisfies Readonly<Record<RecordKind, z.ZodType>>;
