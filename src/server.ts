import type { RequestListener } from 'node:http';
import Koa, { type Context } from 'koa';
import { adminPrefix, adminTokenDigest, createAdmin } from './admin/index.js';
import {
  differenceOf,
  keepSessionLife,
  logSigner,
  lookForFindings,
  type OutcomesDeps,
  outcomesRoute,
  sessionClosesAfter,
} from './audit/index.js';
import { type AuthzenDeps, authzenRoutes, openDecisionPoints } from './authzen/index.js';
import { type Clock, systemClock } from './base/index.js';
import { hashSecret, keySource, remoteKeys } from './client/index.js';
import { type Config, openSecrets, readPolicyFiles, type Secrets } from './config/index.js';
import { type TokenExchangeDeps, type ExchangeSettings, rememberSignatures } from './exchange/index.js';
import {
  answeredInTime,
  catchThrown,
  failureLimit,
  inTurns,
  isCutOff,
  limitFailures,
  listen,
  networkOf,
  refuseUnreadableTarget,
  requestLimit,
  router,
  shortCut,
  stopListening,
  windowLimit,
} from './http/index.js';
import { auditPrefix, auditRoutes, followLog } from './audit-routes.js';
import { showLog } from './log-witnesses.js';
import { every } from './every.js';
import { activateFirst } from './first-policies.js';
import { keepLog } from './log-keeping.js';
import type { RevocationDeps } from './introspection/index.js';
import { markChanged, type ReportDeps } from './drift/index.js';
import { readTools } from './mcp/index.js';
import { type BeginningLimits, createEngine, ENGINE_LIFETIMES } from './oauth/index.js';
import { oauthRoutes } from './oauth-routes.js';
import { openOperations, type Operations, type OperationsDeps } from './operations.js';
import { openActivePolicies } from './policy/index.js';
import { copyJson } from './protocol/index.js';
import {
  type Database,
  type DecisionInputStore,
  leafOf,
  openCommitter,
  openDatabase,
  openDecisionInputs,
  openDecisions,
  openEngineLog,
  openEngineStore,
  openFailureLog,
  openFindings,
  openIdempotency,
  openKeys,
  openLog,
  openLogRecovery,
  openOutcomes,
  openPeople,
  openAccessLog,
  openPersonNames,
  openPersons,
  openPolicies,
  openRegistry,
  openSessionLife,
  openSessions,
  openTokenStates,
  type RegistryStore,
  type WritesBehind,
  writesBehind,
} from './storage/index.js';
import { type KeyRingDeps, keysAdmin, type LiveKeyRing, openKeyRing } from './token/index.js';

/** A running Writ. */
export type Writ = Readonly<{
  config: Config;
  /** Files with secrets that were made for want of configuration. */
  madeSecrets: readonly string[];
  /** The open database, for whoever runs this in process: the embedded one admits no second. */
  database: Database;
  /** Not ready from now on, though requests are still answered: whoever balances the load goes elsewhere. */
  beginStop(): void;
  /** Resolves when the records that are written behind an answer are written. */
  flush(): Promise<void>;
  close(): Promise<void>;
}>;

export type WritOptions = Readonly<{
  clock?: Clock;
  /** Outages and bugs, for the operator's log. What clients are told has nothing of it. */
  report?: (thrown: unknown, requestId?: string) => void;
  /** Every request and commit, for the operator's log. */
  log?: OperationsDeps['log'];
}>;

/** Opens everything, or throws the Fault that says what is missing; nothing is served before all of it is there. */
export async function startWrit(
  config: Config,
  { clock = systemClock, report: reportTo = ignore, log }: WritOptions = {},
): Promise<Writ> {
  const secrets = openSecrets(config);
  const database = await openDatabase({
    url: config.databaseUrl,
    dataDir: config.dataDir,
    poolSize: config.databasePoolSize,
  });
  try {
    const keys = await openKeyRing(keyRingDeps({ config, clock, report: reportTo, database }, secrets));
    const registry = await openRegistry(database, { hashSecret, recordOf: registryRecord(clock) });
    await activateFirst(readPolicyFiles(config.policies), { store: openPolicies(database, clock), registry });
    const operations = await openOperations({ config, database, registry, keys, report: reportTo, log });
    const behind = writesBehind(operations.report);
    const decisionPoints = openDecisionPoints(config.decisionPoints, operations.decisionPoints);
    const watched = { report: operations.report, operations, decisionPoints };
    const inputs = openDecisionInputs(database, {
      ...{ clock, encryptionKeys: secrets.encryptionKeys, days: config.decisionInputDays },
      ...{ watch: operations.inputs, report: operations.report },
    });
    const house: House = { config, clock, ...watched, database, keys, registry, behind, inputs };
    const flush = async (): Promise<void> => {
      await Promise.all([behind.flush(), inputs.flush()]);
    };
    const stopKeeping = await keepLog({
      ...{ config, database, clock, report: operations.report },
      ...{ logKeys: secrets.logKeys, state: operations.log },
    });
    const server = await listen(config, inTurns(app(house, secrets))).catch(async (thrown: unknown) => {
      await stopKeeping();
      throw thrown;
    });
    const stopWatching = registry.watch();
    const stopTurning = keys.watch();
    const stopPruning = prune(house);
    const stopFollowing = followLog({ config, database, clock, report: operations.report });
    const stopShowing = showLog({ config, database, report: operations.report });
    const life = openSessionLife(database, sessionClosesAfter(config));
    const closesAfter = sessionClosesAfter(config);
    const findings = openFindings(database, openOutcomes(database, clock, closesAfter), closesAfter);
    const round = async (): Promise<void> => {
      await keepSessionLife(life, clock);
      await lookForFindings(findings, closesAfter);
    };
    const stopClosing = every(LOG_ROUND_MS, round, operations.report);
    const close = async (): Promise<void> => {
      stopWatching();
      stopTurning();
      stopPruning();
      await stopShowing();
      await stopClosing();
      operations.beginStop();
      await stopListening(server);
      await flush();
      await stopFollowing();
      await stopKeeping();
      decisionPoints?.close();
      await operations.close();
      await database.close();
    };
    let closed: Promise<void> | undefined;
    return {
      config,
      madeSecrets: secrets.made,
      database,
      beginStop: operations.beginStop,
      flush,
      close: () => (closed ??= close()),
    };
  } catch (thrown) {
    await database.close();
    throw thrown;
  }
}

type House = Readonly<{
  config: Config;
  clock: Clock;
  report: NonNullable<WritOptions['report']>;
  operations: Operations;
  decisionPoints: ReturnType<typeof openDecisionPoints>;
  database: Database;
  keys: LiveKeyRing;
  registry: RegistryStore;
  behind: WritesBehind;
  inputs: DecisionInputStore;
}>;

const ignore = (): void => undefined;

function keyRingDeps(
  { config, clock, report, database }: Pick<House, 'config' | 'clock' | 'report' | 'database'>,
  { encryptionKeys }: Pick<Secrets, 'encryptionKeys'>,
): KeyRingDeps {
  const { userAccessTokenSeconds, transactionalAccessTokenSeconds, transactionTokenSeconds } = config.lifetimes;
  const longestToken = Math.max(userAccessTokenSeconds, transactionalAccessTokenSeconds, transactionTokenSeconds);
  const timing = { cache: config.lifetimes.keyCacheSeconds, longestToken, skew: config.limits.clockSkewSeconds };
  return { store: openKeys(database, clock), encryptionKeys, timing, onFault: report };
}

function app(house: House, secrets: Secrets): RequestListener {
  const { config, clock, report, operations, decisionPoints, database, keys, registry, behind, inputs } = house;
  const clientKeys = keySource(remoteKeys({ clock, allowLoopback: config.isLocal }));
  const failures = operations.failures(openFailureLog(database, clock, behind));
  const states = openTokenStates(database, clock);
  const people = openPersons(database, clock);
  const settings = exchangeSettings(config);
  const limits = requestLimit(config.limits.requestsPerClient);
  const policies = openActivePolicies(report);
  const engine = createEngine({
    issuer: config.issuer,
    registry,
    keys: () => keys.all(),
    store: openEngineStore(database),
    log: operations.engineLog(openEngineLog(database, { clock, failures, behind })),
    people,
    identityProviders: config.identityProviders,
    cookieKeys: secrets.cookieKeys,
    clock,
    limits,
    beginnings: beginningLimits(config),
    lifetimes: { accessToken: config.lifetimes.userAccessTokenSeconds },
    skewSeconds: config.limits.clockSkewSeconds,
    onFault: report,
  });
  const exchange: TokenExchangeDeps = {
    settings,
    clock,
    registry,
    keys,
    clientKeys,
    failures,
    limits,
    remembered: rememberSignatures(),
    people: openPeople(people, clock),
    policies,
    decisionPoints,
    inputs,
    committer: operations.log.guard(openCommitter(database, operations.commits)),
    drift: {
      seen: (sighting) => {
        const report = { ...sighting, definition: undefined, seenBy: 'agent' } as const;
        behind.add(markChanged(report, { registry, writer: registry, clock }).then(ignore));
      },
    },
  };
  const introspection: RevocationDeps & ReportDeps = {
    writer: registry,
    settings,
    clock,
    registry,
    keys,
    clientKeys,
    failures,
    limits,
    states,
    revoker: states,
  };
  const authzen: AuthzenDeps = {
    settings,
    clock,
    registry,
    clientKeys,
    failures,
    limits,
    people,
    policies,
    decisionPoints,
    decisions: openDecisions(database, clock),
  };
  const outcomes: OutcomesDeps = {
    settings,
    clock,
    registry,
    clientKeys,
    failures,
    limits,
    outcomes: openOutcomes(database, clock, sessionClosesAfter(config)),
  };
  const admin = createAdmin({
    registry,
    writer: registry,
    sessions: openSessions(database, clock),
    persons: openPersonNames(database, clock),
    access: openAccessLog(database, clock),
    policies: openPolicies(database, clock),
    inputs,
    keys: keysAdmin({ ...keyRingDeps(house, secrets), ring: keys }),
    log: openLog(database),
    recovery: openLogRecovery(database, clock, logSigner(config.issuer, secrets.logKeys)),
    readTools: readTools({ allowLoopback: config.isLocal }),
    idempotency: openIdempotency(database),
    encryptionKeys: secrets.encryptionKeys,
    adminTokenDigest: adminTokenDigest(secrets.adminToken),
    issuer: config.issuer,
    trustDomain: config.trustDomain,
    clock,
  });
  // No forwarded header makes a link or a proof's URI: those come from the configured issuer alone.
  const koa = new Koa();
  // Koa hands the whole request over beside the error, headers and all: that is for no log (LG-01).
  koa.on('error', (thrown: unknown, ctx: Context) => {
    if (!isCutOff(thrown, ctx)) report(thrown);
  });
  koa.use(refuseUnreadableTarget());
  const steps = [
    operations.middleware,
    catchThrown(report, config.issuer),
    limitFailures(failureLimit(config.limits.failuresPerNetwork), networkOf(config.trustedProxies)),
  ];
  for (const step of steps) koa.use(step);
  const oauth = oauthRoutes(house, { engine, exchange, introspection });
  koa.use(
    router(
      [
        ...oauth.forms,
        ...oauth.others,
        ...authzenRoutes(authzen, { report, networkOf: networkOf(config.trustedProxies) }),
        ...auditRoutes({ config, database, clock, adminToken: secrets.adminToken }),
        outcomesRoute(outcomes, { report, networkOf: networkOf(config.trustedProxies) }),
        ...operations.routes,
        ...admin.map(answeredInTime),
      ],
      [adminPrefix(config.issuer), auditPrefix(config.issuer)],
    ),
  );
  koa.use(engine.middleware);
  return shortCut(oauth.forms, steps, { otherwise: withoutPromise(koa), report });
}

/** Koa answers every error itself, so its promise never rejects. */
function withoutPromise(koa: Koa): RequestListener {
  const handle = koa.callback();
  return (request, response) => {
    void handle(request, response);
  };
}

function exchangeSettings({ issuer, trustDomain, lifetimes, limits }: Config): ExchangeSettings {
  return {
    issuer,
    tokenEndpoint: `${issuer}/token`,
    trustDomain,
    maxActors: limits.chainDepth,
    skew: limits.clockSkewSeconds,
    sessionLife: lifetimes.sessionSeconds,
    lifetimes: {
      transactionalAccessToken: lifetimes.transactionalAccessTokenSeconds,
      transactionToken: lifetimes.transactionTokenSeconds,
      handOver: lifetimes.transactionalAccessTokenSeconds,
    },
  };
}

/** A change of the registry as the log keeps it: before and after, without secrets. */
function registryRecord(clock: Clock): Parameters<typeof openRegistry>[1]['recordOf'] {
  return (change, before, by, version) => {
    const [was, is] = [copyJson(before), copyJson(change.object)];
    const facts = {
      what: change.kind,
      id: change.id,
      before: was,
      after: is,
      ...differenceOf(was, is),
      secret_set: change.secretWasSet,
      by,
      registry: version,
    };
    return leafOf({ kind: 'registry', at: clock.now(), facts, decision: 'done', reason: 'changed' });
  };
}

/** An authorization that is begun is kept for as long as its pages live. */
const beginningLimits = ({ limits }: Config): BeginningLimits => ({
  perNetwork: windowLimit(limits.signInsPerNetwork, 60),
  perClient: windowLimit(limits.signInsPerClient, ENGINE_LIFETIMES.interaction),
});

const LOG_ROUND_MS = 10_000;

/** One-time ids and counters are kept for as long as what they belong to could be presented, and a little longer. */
function prune({ database, clock, report, inputs }: House): () => void {
  const store = openEngineStore(database);
  const idempotency = openIdempotency(database);
  const timer = setInterval(() => {
    store.prune(clock.now() - 120).catch(report);
    idempotency.prune().catch(report);
    inputs.prune().catch(report);
  }, 60_000);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}
