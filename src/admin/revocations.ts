import { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import { plainProblem, type Problem } from '../http/index.js';
import { feedTarget, Text } from '../protocol/index.js';
import { type NumberedRevocation, REVOCABLE, type RevocationsAdmin } from '../session/index.js';
import type { KeysAdmin } from '../token/index.js';
import { ADMINISTRATOR } from './change.js';
import { type Answer, NoBody, type Operation, operation } from './operation.js';
import { Id, instant, pageOf, Paging } from './shapes.js';

const KINDS = [...REVOCABLE, 'signing_key'] as const;

/** A revocation as the API shows it. */
export const RevocationView = z.strictObject({
  number: z
    .number()
    .int()
    .describe('Its place among all revocations: a token that has seen a later one is not ended by it.'),
  target: z.string().describe('What is refused, as the feed names it before it hashes it: kind, colon, id.'),
  reason: z.string(),
  by: z.string(),
  at: z.iso.datetime(),
});
type RevocationView = z.infer<typeof RevocationView>;

const EXAMPLE: RevocationView = {
  number: 4711,
  target: 'agent:agt_planner',
  reason: 'INC-4711',
  by: 'admin-token',
  at: '2026-11-22T09:30:00.000Z',
};

const Done = RevocationView.extend({
  sessions: z.number().int().describe('Sessions that ended with it, those below them included.'),
  consents: z.number().int().describe('Consents that ended with it, with their codes and refresh tokens.'),
  tokens: z.number().int().describe('Tokens that were made from this one and ended with it, beside it.'),
});

const id = (about: string): z.ZodOptional<typeof Id> => Id.describe(about).optional();

const Order = z
  .strictObject({
    token: id('The `jti` of a token, or the SHA-256 of it that the log has. What was made from it ends too.'),
    transaction: id('A transaction: the `txn` of its tokens.'),
    session: id('A session, with those below it.'),
    agent: id('An agent, by client id. It stays registered, and what it gets from now on is good.'),
    owner: id('All agents of this owner: prs_… or <issuer>#<subject>.'),
    person: id('A person, by id: signs them out. They may sign in again.'),
    issuer: id('All people of an issuer.'),
    server: id('An MCP server, by resource: every token for it, and every token that it got.'),
    tool: id('A tool: the resource of its MCP server, `#` and its name.'),
    agent_key: id('A public key of an agent: client id, `#` and RFC 7638 thumbprint. It gets nothing any more.'),
    signing_key: id('A signing key, by `kid`: withdrawn for good.'),
    reason: Text.min(1).max(256).describe('Why, for the log.'),
  })
  .superRefine((order, context) => {
    const sent = KINDS.filter((kind) => order[kind] !== undefined);
    if (sent.length === 1) return;
    const message = `name exactly one of ${KINDS.join(', ')}`;
    for (const path of sent.length === 0 ? [[]] : sent.map((kind) => [kind]))
      context.addIssue({ code: 'custom', path, message });
  });

type Deps = Readonly<{ revocations: RevocationsAdmin; keys: KeysAdmin }>;

/** Revoke by scope, and list what was revoked. */
export const revocationOperations = (deps: Deps): readonly Operation[] => [
  operation({
    id: 'listRevocations',
    method: 'GET',
    path: '/admin/v1/revocations',
    about: 'Lists what was revoked, the newest first.',
    query: Paging.extend({
      after: z
        .string()
        .regex(/^\d{1,15}$/, { error: 'must be the number of a revocation' })
        .optional()
        .describe('`next` of the page before.'),
    }),
    body: NoBody,
    answers: [
      { status: 200, about: 'A page.', schema: pageOf(RevocationView), example: { items: [EXAMPLE], next: null } },
    ],
    run: async ({ query: { limit, after } }) => {
      const before = after === undefined ? {} : { before: Number(after) };
      const found = await deps.revocations.list({ ...before, limit: limit + 1 });
      const items = found.slice(0, limit).map(viewOf);
      const next = found.length > limit ? String(items.at(-1)?.number) : null;
      return ok({ status: 200, body: { items, next } });
    },
  }),
  operation({
    id: 'revoke',
    method: 'POST',
    path: '/admin/v1/revocations',
    about:
      'Ends a token, transaction, session or key for good, or everything from before now of an agent, owner, person, issuer, server or tool. Introspection and the exchange know it at once, verifiers that follow the feed within a second.',
    query: z.strictObject({}),
    body: Order,
    bodyExample: { agent: 'agt_planner', reason: 'INC-4711' },
    answers: [
      {
        status: 201,
        about: 'It is revoked, now or since earlier.',
        schema: Done,
        example: { ...EXAMPLE, sessions: 2, consents: 1, tokens: 0 },
      },
    ],
    problems: ['not_found'],
    run: ({ body }) => revokeAs(body, deps),
  }),
];

async function revokeAs(order: z.infer<typeof Order>, deps: Deps): Promise<Result<Answer, Problem>> {
  const given = { by: ADMINISTRATOR, reason: order.reason };
  const { signing_key: kid } = order;
  if (kid !== undefined) return withdraw(kid, given, deps);
  for (const kind of REVOCABLE) {
    const named = order[kind];
    if (named === undefined) continue;
    const revoked = await deps.revocations.revoke({ kind, id: named }, given);
    if (revoked === undefined) return err(unknown(kind, named));
    const { revocation, ...counts } = revoked;
    return ok({ status: 201, body: { ...viewOf(revocation), ...counts } });
  }
  return err(plainProblem('invalid_field'));
}

async function withdraw(
  kid: string,
  given: Readonly<{ by: string; reason: string }>,
  { keys, revocations }: Deps,
): Promise<Result<Answer, Problem>> {
  const withdrawn = await keys.withdraw(kid, given);
  const revocation = withdrawn.ok ? await revocations.find(feedTarget.key(kid)) : undefined;
  if (revocation === undefined) return err(unknown('signing_key', kid));
  return ok({ status: 201, body: { ...viewOf(revocation), sessions: 0, consents: 0, tokens: 0 } });
}

const unknown = (kind: (typeof KINDS)[number], named: string): Problem =>
  plainProblem('not_found', `There is no ${kind.replace('_', ' ')} ${named}`);

const viewOf = ({ at, ...revocation }: NumberedRevocation): RevocationView => ({ ...revocation, at: instant(at) });
