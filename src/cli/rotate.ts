import { Issuer } from '../protocol/index.js';
import { AgentError, rotateKey } from '../sdk/agent/index.js';
import { print } from './command.js';
import { Failure, type Io } from './io.js';
import { newKey, readPrivateKey } from './key-material.js';

export type RotateOptions = Readonly<{ url?: string; key: string; newKey: string; json?: boolean }>;

/**
 * `writ agents rotate`: the agent itself puts a new key in the place of its old one. The new key is kept before it is
 * registered, so that none that is registered is ever lost; a file that is there already is one that was kept so.
 */
export async function rotate(clientId: string, options: RotateOptions, io: Io): Promise<void> {
  const { key: file, newKey: target, url } = options;
  const issuer = Issuer.safeParse((url ?? io.env['WRIT_ISSUER'] ?? 'http://localhost:4455').replace(/\/$/, ''));
  if (!issuer.success) throw new Failure(2, 'the address of Writ is no issuer; give it with --url or WRIT_ISSUER');
  const key = readPrivateKey(file, io);
  const fresh = io.readFile(target) === undefined ? kept(target, io) : readPrivateKey(target, io);
  try {
    const { oldKeyUntil, ...keys } = await rotateKey({ issuer: issuer.data, clientId, key, newKey: fresh });
    const until = new Date(oldKeyUntil * 1_000).toISOString();
    print({ client_id: clientId, key: keys.key, old_key: keys.oldKey, old_key_until: until }, options, io);
  } catch (cause) {
    if (!(cause instanceof AgentError)) throw cause;
    const message = `${cause.code}: ${cause.message}; the key in ${target} is kept, and the same command tries again`;
    throw new Failure(cause.code === 'unreachable' ? 2 : 1, message, { cause });
  }
}

function kept(file: string, io: Io): ReturnType<typeof readPrivateKey> {
  const made = newKey(file, io);
  made.save();
  return made.privateJwk;
}
