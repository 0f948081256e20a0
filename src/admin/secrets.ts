import { z } from 'zod';
import { err, ok, randomText, type Result } from '../base/index.js';
import { plainProblem, type Problem } from '../http/index.js';
import { ClientId } from '../protocol/index.js';
import type { Authentication, RegistryChange } from '../registry/index.js';
import { ADMINISTRATOR, settledAtLast, type ChangeDeps } from './change.js';
import { type Contents, contentsOf } from './contents.js';
import { type Answer, NoBody, NoQuery, type Operation, operation } from './operation.js';

export const Secret = z.strictObject({
  client_id: ClientId,
  client_secret: z.string().describe('Shown this once; Writ keeps only a hash.'),
});

type Found = Readonly<{ clientId: string; authentication: Authentication; change: (secret: string) => RegistryChange }>;

/** New client secrets, for the clients that are registered to have one. */
export const secretOperations = (deps: ChangeDeps): readonly Operation[] => [
  secretOf({ plural: 'agents', schemaName: 'Agent', title: 'agent', idField: 'client_id', find: findAgent }, deps),
  secretOf(
    { plural: 'servers', schemaName: 'McpServer', title: 'MCP server', idField: 'resource', find: findServer },
    deps,
  ),
];

type Owner = Readonly<{
  plural: string;
  schemaName: string;
  title: string;
  idField: string;
  find: (contents: Contents, id: string) => Found | undefined;
}>;

function secretOf(owner: Owner, deps: ChangeDeps): Operation {
  return operation({
    id: `make${owner.schemaName}Secret`,
    method: 'POST',
    path: `/admin/v1/${owner.plural}/:id/secret`,
    params: { id: `Its ${owner.idField}, percent-encoded.` },
    about: `Makes a new client secret for one ${owner.title} and shows it once. The old one is refused from then on.`,
    query: NoQuery,
    body: NoBody,
    answers: [
      {
        status: 201,
        about: 'The secret.',
        schema: Secret,
        example: { client_id: 'agt_planner', client_secret: 'wcs_…' },
      },
    ],
    problems: ['not_found', 'conflict'],
    run: ({ params: { id = '' } }) => deps.inTurn(() => settledAtLast(() => makeSecret(owner, id, deps))),
  });
}

async function makeSecret(
  owner: Owner,
  id: string,
  { registry, writer }: ChangeDeps,
): Promise<Result<Answer, Problem>> {
  const snapshot = await registry.refresh();
  const found = owner.find(contentsOf(snapshot), id);
  if (found === undefined) return err(plainProblem('not_found', `There is no ${owner.title} ${id}`));
  if (found.authentication.method === 'private_key_jwt') {
    return err(
      plainProblem('conflict', `The ${owner.title} ${id} is registered for private_key_jwt and has no secret`),
    );
  }
  const secret = `wcs_${randomText(32)}`;
  await writer.write([found.change(secret)], ADMINISTRATOR, snapshot.version);
  return ok({ status: 201, body: { client_id: found.clientId, client_secret: secret } });
}

function findAgent({ agent }: Contents, id: string): Found | undefined {
  const object = agent.get(id);
  if (object === undefined) return undefined;
  const { client_id: clientId, authentication } = object;
  return { clientId, authentication, change: (secret) => ({ kind: 'agent', object, secret }) };
}

function findServer({ server }: Contents, id: string): Found | undefined {
  const object = server.get(id);
  if (object === undefined) return undefined;
  const { client_id: clientId, authentication } = object;
  return { clientId, authentication, change: (secret) => ({ kind: 'server', object, secret }) };
}
