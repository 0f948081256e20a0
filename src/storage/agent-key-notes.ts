import { Fault } from '../base/index.js';
import { thumbprint } from '../protocol/index.js';
import type { RegistryChange } from '../registry/index.js';
import type { Prisma } from './generated/client.js';

/** In the transaction that writes agents: since when their keys are known, and which of them is rotated out. */
export async function noteKeys(
  transaction: Prisma.TransactionClient,
  changes: readonly RegistryChange[],
): Promise<void> {
  const written = changes.filter((change) => change.kind === 'agent');
  const keys = written.flatMap(({ object: { client_id: client, authentication } }) =>
    authentication.method === 'private_key_jwt'
      ? (authentication.jwks?.keys ?? []).map((key) => ({ client, thumbprint: thumbprint(key) }))
      : [],
  );
  if (keys.length > 0)
    await transaction.$executeRawUnsafe(
      NOTE,
      keys.map(({ client }) => client),
      keys.map((key) => key.thumbprint),
    );
  for (const { object, retires } of written) {
    if (retires === undefined) continue;
    const { thumbprint: old, overlap } = retires;
    // Two rotations by one key would each be the only one to its agent. DANGER: whoever stole a key that was revoked must not
    // have another one for it.
    if ((await transaction.$executeRawUnsafe(RETIRE, object.client_id, old, overlap)) === 0)
      throw new Fault('registry_unsettled', 'The key was rotated out or revoked meanwhile.');
  }
}

const NOTE = `
  INSERT INTO agent_key (client_id, thumbprint) SELECT client, thumbprint FROM unnest($1::text[], $2::text[]) AS k(client, thumbprint)
  ORDER BY client, thumbprint ON CONFLICT DO NOTHING`;

const RETIRE = `
  UPDATE agent_key SET retires_at = clock_timestamp() + make_interval(secs => $3::int)
  WHERE client_id = $1 AND thumbprint = $2 AND retires_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM revocation WHERE target = 'agent-key:' || $2)`;
