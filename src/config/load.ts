import { isIPv6 } from 'node:net';
import type { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import type { JsonObject } from '../protocol/index.js';
import type { Config } from './config.js';
import { readDecisionPoint, readIdentityProvider, readLogKeys, readTls } from './credentials.js';
import { type Environment, environmentSettings, readSetting } from './environment.js';
import { readConfigFile, type ReadFile } from './file.js';
import { type ConfigProblem, problem } from './problem.js';
import { Settings } from './settings.js';
import { isLocal, unsafeTogether } from './together.js';

/**
 * The one configuration, from the environment and the YAML file; the environment wins, an empty variable counts as
 * unset. Either all of it is sound or there is none: then every problem is listed, each with the key that it is about.
 */
export function loadConfig(env: Environment, readFile: ReadFile): Result<Config, readonly ConfigProblem[]> {
  const file = readConfigFile(env['WRIT_CONFIG'], readFile);
  if (!file.ok) return err([file.error]);
  const raw = overlay(file.value, env);
  const parsed = Settings.safeParse(raw);
  if (parsed.success) return finish(parsed.data, [], { flawed: new Set(), readFile });
  // What is sound is still looked at together, so that one start shows every problem.
  const flawed = new Set(parsed.error.issues.flatMap(namesOf));
  const sound = Settings.safeParse(without(raw, flawed));
  const problems = parsed.error.issues.flatMap(problemsOf);
  return sound.success ? finish(sound.data, problems, { flawed, readFile }) : err(problems);
}

function finish(
  settings: Settings,
  known: readonly ConfigProblem[],
  { flawed, readFile }: Readonly<{ flawed: ReadonlySet<string>; readFile: ReadFile }>,
): Result<Config, readonly ConfigProblem[]> {
  const tls = readTls(settings.tls, readFile);
  const providers = settings.identityProviders.map((idp, index) => readIdentityProvider(idp, index, readFile));
  const points = settings.decisionPoints.map((point, index) => readDecisionPoint(point, index, readFile));
  const logKeys = readLogKeys(settings, readFile);
  const unread = [tls, logKeys, ...providers, ...points].flatMap((read) => (read.ok ? [] : [read.error]));
  const problems = [...known, ...unsafeTogether(settings, flawed), ...unread];
  if (problems.length > 0 || !tls.ok || !logKeys.ok) return err(problems);
  const identityProviders = providers.flatMap((read) => (read.ok ? [read.value] : []));
  const decisionPoints = points.flatMap((read) => (read.ok ? [read.value] : []));
  return ok(freeze(complete(settings, { tls: tls.value, logKeys: logKeys.value, identityProviders, decisionPoints })));
}

type Read = Pick<Config, 'tls' | 'logKeys' | 'identityProviders' | 'decisionPoints'>;

function complete(settings: Settings, read: Read): Config {
  const { keyEncryptionKey: key, keyEncryptionKeyPrevious: previous, ...rest } = settings;
  return {
    ...rest,
    databaseUrl: settings.databaseUrl,
    policies: settings.policies,
    adminToken: settings.adminToken,
    auditToken: settings.auditToken,
    logRetentionDays: settings.logRetentionDays,
    auditWebhookUrl: settings.auditWebhookUrl,
    auditWebhookSecret: settings.auditWebhookSecret,
    logKeyFile: settings.logKeyFile,
    metricsToken: settings.metricsToken,
    passkeyAcr: settings.passkeyAcr,
    breakGlassPasswords: settings.breakGlassPasswords,
    traceEndpoint: settings.traceEndpoint,
    isLocal: isLocal(settings),
    port: settings.port ?? standardPort(settings),
    trustDomain: settings.trustDomain ?? new URL(settings.issuer).hostname,
    keyEncryptionKey: key === undefined ? undefined : toBase64url(key),
    keyEncryptionKeyPrevious: previous.map(toBase64url),
    trustedProxies: settings.trustedProxies.map(asNetwork),
    ...read,
  };
}

const toBase64url = (text: string): string => Buffer.from(text, 'base64').toString('base64url');

function standardPort({ issuer, trustedProxies }: Settings): number {
  const { port, protocol } = new URL(issuer);
  if (trustedProxies.length > 0) return 4455;
  return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
}

const asNetwork = (text: string): string => (text.includes('/') ? text : `${text}/${isIPv6(text) ? 128 : 32}`);

/** The file's settings with those of the environment over them. */
function overlay(file: JsonObject, env: Environment): Record<string, unknown> {
  const raw: Record<string, unknown> = { ...file };
  for (const setting of environmentSettings) {
    const text = env[setting.env];
    const [name = '', inner] = setting.path;
    if (text === undefined || text === '') continue;
    const value = readSetting(setting, text);
    const group = raw[name];
    raw[name] = inner === undefined ? value : { ...(isGroup(group) ? group : {}), [inner]: value };
  }
  return raw;
}

const isGroup = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

type Issue = z.core.$ZodIssue;

/** The top-level settings that an issue is about. */
const namesOf = (issue: Issue): readonly string[] =>
  issue.code === 'unrecognized_keys' && issue.path.length === 0 ? issue.keys : [String(issue.path[0] ?? '')];

const without = (raw: Record<string, unknown>, names: ReadonlySet<string>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(raw).filter(([name]) => !names.has(name)));

function problemsOf(issue: Issue): readonly ConfigProblem[] {
  const path = issue.path.map(String);
  if (issue.code !== 'unrecognized_keys') return [problem(path.join('.'), issue.message)];
  return issue.keys.map((key) => problem([...path, key].join('.'), 'is not a setting; correct its name or remove it'));
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(freeze);
  return Object.freeze(value);
}
