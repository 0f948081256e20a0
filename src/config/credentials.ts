import { createPrivateKey, X509Certificate } from 'node:crypto';
import { err, ok, type Result } from '../base/index.js';
import { isObject, type JsonObject, parseObject } from '../protocol/index.js';
import type { DecisionPoint, IdentityProvider, Tls } from './config.js';
import { readNamed, type ReadFile } from './file.js';
import { type ConfigProblem, problem } from './problem.js';
import type { DecisionPointSettings, IdentityProviderSettings, Settings } from './settings.js';

/** The certificate and key that Writ itself serves with, read and looked at before anything listens. */
export function readTls(files: Settings['tls'], readFile: ReadFile): Result<Tls | undefined, ConfigProblem> {
  if (files === undefined) return ok(undefined);
  const cert = readNamed(files.certFile, readFile);
  if (!cert.ok) return err(problem('tls.certFile', cert.error));
  const key = readNamed(files.keyFile, readFile);
  if (!key.ok) return err(problem('tls.keyFile', key.error));
  const certificate = attempt(() => new X509Certificate(cert.value));
  if (certificate === undefined) return err(problem('tls.certFile', 'holds no certificate in PEM'));
  const privateKey = attempt(() => createPrivateKey(key.value));
  if (privateKey === undefined) return err(problem('tls.keyFile', 'holds no private key in PEM without passphrase'));
  if (!certificate.checkPrivateKey(privateKey)) return err(problem('tls.keyFile', 'does not belong to tls.certFile'));
  return ok({ cert: cert.value, key: key.value });
}

/** The keys that sign the log, in PEM, the current one first. */
export function readLogKeys(
  { logKeyFile, logKeyPreviousFiles }: Pick<Settings, 'logKeyFile' | 'logKeyPreviousFiles'>,
  readFile: ReadFile,
): Result<readonly string[], ConfigProblem> {
  if (logKeyFile === undefined) return ok([]);
  const pems: string[] = [];
  for (const [i, file] of [logKeyFile, ...logKeyPreviousFiles].entries()) {
    const at = i === 0 ? 'logKeyFile' : `logKeyPreviousFiles.${i - 1}`;
    const text = readNamed(file, readFile);
    if (!text.ok) return err(problem(at, text.error));
    if (attempt(() => createPrivateKey(text.value))?.asymmetricKeyType !== 'ed25519')
      return err(problem(at, `${file} holds no Ed25519 private key in PEM without passphrase`));
    pems.push(text.value);
  }
  return ok(pems);
}

/** A company identity provider with its credential read from where the settings say. */
export function readIdentityProvider(
  settings: IdentityProviderSettings,
  index: number,
  readFile: ReadFile,
): Result<IdentityProvider, ConfigProblem> {
  const { clientSecret, clientSecretFile, privateJwkFile, ...rest } = settings;
  const at = `identityProviders.${index}`;
  if (clientSecret !== undefined) return ok({ ...rest, credential: { kind: 'secret', secret: clientSecret } });
  if (clientSecretFile !== undefined) {
    const secret = readNamed(clientSecretFile, readFile);
    if (!secret.ok) return err(problem(`${at}.clientSecretFile`, secret.error));
    if (secret.value.trim() === '') return err(problem(`${at}.clientSecretFile`, 'is empty'));
    return ok({ ...rest, credential: { kind: 'secret', secret: secret.value.trim() } });
  }
  const text = readNamed(privateJwkFile ?? '', readFile);
  if (!text.ok) return err(problem(`${at}.privateJwkFile`, text.error));
  const jwk = privateJwk(text.value);
  return jwk === undefined
    ? err(problem(`${at}.privateJwkFile`, 'holds no private JWK of type EC, OKP or RSA'))
    : ok({ ...rest, credential: { kind: 'private_key', jwk } });
}

/** A decision point with its credential, if it wants one, read from its file. */
export function readDecisionPoint(
  { credentialFile, url, discover, ...rest }: DecisionPointSettings,
  index: number,
  readFile: ReadFile,
): Result<DecisionPoint, ConfigProblem> {
  const found = { ...rest, url, discover };
  if (credentialFile === undefined) return ok({ ...found, credential: undefined });
  const at = `decisionPoints.${index}.credentialFile`;
  const text = readNamed(credentialFile, readFile);
  if (!text.ok) return err(problem(at, text.error));
  const credential = text.value.trim();
  return BEARER.test(credential)
    ? ok({ ...found, credential })
    : err(problem(at, 'holds no bearer token (RFC 6750 section 2.1)'));
}

const BEARER = /^[A-Za-z0-9\-._~+/]+=*$/;

function privateJwk(text: string): JsonObject | undefined {
  const parsed = parseObject(text);
  if (!parsed.ok || !isObject(parsed.value)) return undefined;
  const key = { ...parsed.value };
  return attempt(() => createPrivateKey({ key, format: 'jwk' })) === undefined ? undefined : parsed.value;
}

function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
