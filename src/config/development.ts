import { createPrivateKey, generateKeyPairSync, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../base/index.js';
import type { Config } from './config.js';

/** The secrets of this deployment, and what was made for want of configuration (to be said aloud at the start). */
export type Secrets = Readonly<{
  /** The one that seals, then those that only open. */
  encryptionKeys: readonly [Uint8Array, ...Uint8Array[]];
  /** The one that signs, then those that only check. */
  cookieKeys: readonly [string, ...string[]];
  adminToken: string;
  /** Ed25519. The one that signs the log, then those that sign beside it for a while. */
  logKeys: readonly [KeyObject, ...KeyObject[]];
  made: readonly string[];
}>;

/**
 * Takes the secrets from the configuration. On loopback a missing one is made once and kept in the data directory,
 * readable by its owner only; anywhere else the configuration has refused to load without it.
 */
export function openSecrets(config: Config): Secrets {
  const made: string[] = [];
  const encryptionKey = Buffer.from(
    config.keyEncryptionKey ?? kept(config, 'development-key', { make: randomText, made }),
    'base64url',
  );
  if (encryptionKey.length !== 32)
    throw new Fault(
      'configuration_invalid',
      `the key in ${join(config.dataDir, 'development-key')} is not 32 bytes; remove the data directory to start anew`,
    );
  const adminToken = config.adminToken ?? kept(config, 'admin-token', { make: randomText, made });
  const previous = config.keyEncryptionKeyPrevious.map((key) => Buffer.from(key, 'base64url'));
  const [logKey = kept(config, 'log-key', { make: ed25519, made }), ...previousLogKeys] = config.logKeys;
  return {
    logKeys: [createPrivateKey(logKey), ...previousLogKeys.map((pem) => createPrivateKey(pem))],
    encryptionKeys: [encryptionKey, ...previous],
    cookieKeys: [cookieKeyOf(encryptionKey), ...previous.map(cookieKeyOf)],
    adminToken,
    made,
  };
}

const cookieKeyOf = (encryptionKey: Uint8Array): string =>
  Buffer.from(hkdfSync('sha256', encryptionKey, '', 'writ cookies', 32)).toString('base64url');

const randomText = (): string => randomBytes(32).toString('base64url');
const ed25519 = (): string =>
  generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();

type Making = Readonly<{ make: () => string; made: string[] }>;

function kept({ isLocal, dataDir }: Config, name: string, { make, made }: Making): string {
  if (!isLocal) throw new Fault('configuration_invalid', `${name} is not configured; see .env.example`);
  const file = join(dataDir, name);
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  // Whole or not there: of two processes that start at once one wins the link, and both read what it wrote.
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, make(), { mode: 0o600 });
  try {
    linkSync(draft, file);
    made.push(file);
  } catch (error) {
    if (!existsSync(file)) throw error;
  } finally {
    rmSync(draft);
  }
  return readFileSync(file, 'utf8').trim();
}
