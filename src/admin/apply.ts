import { z } from 'zod';
import { ok } from '../base/index.js';
import { fieldProblem, type FieldProblem } from '../http/index.js';
import { withPending } from '../registry/index.js';
import { type ChangeDeps, makeChange } from './change.js';
import { agentKind, type Contents, issuerKind, KINDS, type ObjectKind, serverKind } from './contents.js';
import { EXAMPLE_ISSUER, SENT_AGENT, SENT_SERVER } from './examples.js';
import type { Flaw } from './flaw.js';
import { ChangeEffect } from './foresight.js';
import { type Operation, operation } from './operation.js';
import { ObjectChange, type Wanted, type Wish } from './plan.js';
import { AgentBody, DryRun, IssuerBody, ServerBody } from './shapes.js';

const MANY = 10_000;
const LIMIT_BYTES = 8 * 1_024 * 1_024;

/** A registry, or a part of one, as it shall be. */
export const Document = z.strictObject({
  agents: z.array(AgentBody).max(MANY).optional(),
  servers: z.array(ServerBody).max(MANY).optional(),
  issuers: z.array(IssuerBody).max(MANY).optional(),
  prune: z
    .boolean()
    .default(false)
    .describe('Remove what the document does not name, of every kind that it has a list of.'),
});
type Document = z.infer<typeof Document>;

export const Applied = z.strictObject({
  dry_run: z.boolean(),
  version: z.number().int().describe('The version of the registry; the same as before when nothing changed.'),
  changes: z.array(ObjectChange),
  effect: ChangeEffect.optional(),
});

/** `POST /admin/v1/apply`: all of the document or nothing, and nothing twice. */
export function applyOperation(deps: ChangeDeps): Operation {
  return operation({
    id: 'apply',
    method: 'POST',
    path: '/admin/v1/apply',
    about: 'Makes the registry as this document has it, in one step. The same document again changes nothing.',
    query: DryRun,
    body: Document,
    bodyLimit: LIMIT_BYTES,
    bodyExample: { servers: [SENT_SERVER], agents: [SENT_AGENT], issuers: [EXAMPLE_ISSUER] },
    answers: [
      {
        status: 200,
        about: 'What has changed, or would.',
        schema: Applied,
        example: {
          dry_run: false,
          version: 7,
          changes: [
            {
              kind: 'server',
              id: SENT_SERVER.resource,
              change: 'changed',
              fields: [{ field: 'tools[write_file].tier', before: 'medium', after: 'high' }],
            },
          ],
        },
      },
    ],
    run: async ({ query, body }) => {
      const dryRun = query.dry_run === 'true';
      const refuse = (flaws: readonly Flaw[], wish: Wish): ReturnType<typeof fieldProblem> =>
        fieldProblem(flaws.map((flaw) => fieldOf(flaw, wish)));
      const changed = await makeChange({ wish: (before) => wishOf(body, before), refuse, dryRun }, deps);
      if (!changed.ok) return changed;
      const { version, changes, effect } = changed.value;
      return ok({ status: 200, body: { dry_run: dryRun, version, changes, effect } });
    },
  });
}

function wishOf({ agents, servers, issuers, prune }: Document, before: Contents): Wanted {
  const named = {
    agent: agents && new Set(agents.map(({ client_id: id }) => id)),
    server: servers && new Set(servers.map(serverKind.idOf)),
    issuer: issuers && new Set(issuers.map(issuerKind.idOf)),
  };
  const unnamed = KINDS.flatMap((kind) =>
    [...before[kind].keys()].filter((id) => named[kind]?.has(id) === false).map((id) => ({ kind, id })),
  );
  const written = (servers ?? []).map((server) => withPending(server, before.server.get(server.resource)));
  return { agent: agents ?? [], server: written, issuer: issuers ?? [], remove: prune ? unnamed : [] };
}

/** By the place in the document, or by name when the object at fault is not in it. */
function fieldOf({ kind, id, path, message }: Flaw, wish: Wish): FieldProblem {
  const index = IDS[kind](wish).lastIndexOf(id);
  return { param: index < 0 ? `${kind} ${id}: ${path}` : `${kind}s.${index}.${path}`, detail: message };
}

const IDS: Readonly<Record<ObjectKind, (wish: Wish) => readonly string[]>> = {
  agent: ({ agent }) => agent.map(agentKind.idOf),
  server: ({ server }) => server.map(serverKind.idOf),
  issuer: ({ issuer }) => issuer.map(issuerKind.idOf),
};
