import type { RequestListener } from 'node:http';
import Koa, { type Context } from 'koa';
import { adminPrefix, adminTokenDigest, createAdmin } from './admin/index.js';
import { auditPrefix, auditRoutes } from './audit-routes.js';
import { logSigner, outcomesRoute, sessionClosesAfter } from './audit/index.js';
import { type AccessRequests, authzenRoutes, bindingTokens, type DecisionLog } from './authzen/index.js';
import { agentKeys, keySource, mayBeAsked } from './client/index.js';
import { type Config, isAddress } from './config/index.js';
import { markChanged } from './drift/index.js';
import {
  boughtCall,
  type Deferrals,
  type ExchangeSettings,
  rememberSignatures,
  type TokenExchangeDeps,
  type TransactionHandles,
  transactionHandles,
} from './exchange/index.js';
import { type House, keyRingDeps } from './house.js';
import {
  answeredInTime,
  catchThrown,
  failureLimit,
  isCutOff,
  type Limit,
  limitFailures,
  networkOf,
  refuseUnreadableTarget,
  requestLimit,
  type Route,
  router,
  shortCut,
  type Step,
  windowLimit,
} from './http/index.js';
import type { DeferralEnder, HandleReader, TokenStates } from './introspection/index.js';
import {
  type ApprovalDeps,
  approvalRoutes,
  type ApprovalsDeps,
  approvalsPrefix,
  approvalsRoutes,
  enrolmentRoutes,
  ownCallback,
  ownConsentsRoutes,
  ownDeedsRoutes,
  ownPasskeyRoutes,
  recoverRoutes,
  OwnSessions,
  pageSecrets,
  Passkeys,
  Passwords,
  shownInTime,
  toldRoutes,
} from './human/index.js';
import { readTools } from './mcp/index.js';
import { vapidKeyOf } from './notice/index.js';
import {
  type BeginningLimits,
  createEngine,
  DEFERRED_METADATA,
  type Engine,
  ENGINE_LIFETIMES,
  type EngineDeps,
} from './oauth/index.js';
import { oauthRoutes } from './oauth-routes.js';
import { openActivePolicies } from './policy/index.js';
import { runningRules } from './running.js';
import { feedPrefix, feedRoutes } from './signals/index.js';
import {
  openAccessLog,
  openAccountablePeople,
  openChallenges,
  openCommitter,
  openConsents,
  openDecisions,
  openDeeds,
  openDeferrals,
  openEngineLog,
  openEngineStore,
  openFailureLog,
  openIdempotency,
  openHeldPasskeys,
  openInvitations,
  openLivePermits,
  openLocalAccounts,
  openSessionUse,
  openRightsUse,
  openKeyLives,
  openLog,
  openLogRecovery,
  openNotices,
  openOwnPasskeys,
  openRecoveryCodes,
  openOutcomes,
  openPasswords,
  openPeople,
  readAcquaintance,
  openPersonNames,
  openPersons,
  openPolicies,
  openRevocations,
  openSessions,
  openSignOuts,
  openTokenStates,
} from './storage/index.js';
import { keysAdmin } from './token/index.js';

/** Every route of a Writ, and what each request passes before it. */
export function application(house: House): RequestListener {
  const { config, secrets, clock, report, operations, database, registry } = house;
  const shared = sharedOf(house);
  const beginnings = beginningLimits(config);
  const local = localOf(house, beginnings);
  const engine = engineOf(house, shared, { beginnings, local });
  const approvals = approvalsOf(house, shared, { engine, local, perNetwork: beginnings.perNetwork });
  const states = openTokenStates(database, clock, config.lifetimes.sessionIdleSeconds);
  const running = runningRules(house, shared.policies);
  const exchange = exchangeOf(house, shared);
  const introspection = {
    ...shared,
    writer: registry,
    states: usesWhileSound(states, house),
    running,
    revoker: states,
    transactionOf: handleReader(transactionHandles(house.secrets.encryptionKeys)),
    endDeferral: deferralEnder(exchange),
  };
  const rotation = { ...introspection, keyOverlap: config.agentKeyOverlapHours * 3_600 };
  const companySignOuts = {
    ...{ signOuts: openSignOuts(database, clock), clock, skewSeconds: config.limits.clockSkewSeconds },
    failures: failureLimit(config.limits.failuresPerNetwork),
  };
  const { deferrals } = exchange;
  const deferred = deferrals && { ...exchange, deferrals, polls: states };
  const oauth = oauthRoutes(house, { engine, exchange, deferred, introspection, rotation, companySignOuts });
  const seen = { report, networkOf: networkOf(config.trustedProxies) };
  const { decisionPoints } = house;
  const authzen = {
    ...{
      ...shared,
      people: shared.persons,
      decisionPoints,
      decisions: decisionsOf(house),
      requests: requestsOf(house, deferrals),
    },
    requestKeys: openIdempotency(database),
    bindings: bindingTokens(config.issuer, secrets.encryptionKeys),
  };
  const outcomes = { ...shared, outcomes: openOutcomes(database, clock, sessionClosesAfter(config)) };
  const steps: readonly Step[] = [
    operations.middleware,
    catchThrown(report, config.issuer),
    limitFailures(failureLimit(config.limits.failuresPerNetwork), seen.networkOf),
  ];
  const routes = [
    ...oauth.forms,
    ...oauth.others,
    ...authzenRoutes(authzen, seen),
    ...auditRoutes({ config, database, clock, adminToken: secrets.adminToken, failures: shared.failures }),
    outcomesRoute(outcomes, seen),
    ...feedRoutes({ ...shared, feed: house.feed, states }, seen),
    ...operations.routes,
    ...(local === undefined
      ? []
      : [
          ...enrolmentRoutes({ ...local, issuer: config.issuer, perNetwork: beginnings.perNetwork }),
          ...recoverRoutes({ ...local, issuer: config.issuer, perNetwork: beginnings.perNetwork }),
        ]
    ).map(shownInTime(report)),
    ...toldRoutes(config.issuer),
    ...[
      ...approvalsRoutes(approvals),
      ...ownConsentsRoutes(approvals),
      ...ownDeedsRoutes(approvals),
      ...ownPasskeyRoutes(approvals),
      ...approvalRoutes(approvals),
    ].map(shownInTime(report)),
    ...adminOf(house, shared).map(answeredInTime),
  ];
  const koa = koaOf(house, steps);
  const owns = [adminPrefix, auditPrefix, feedPrefix, approvalsPrefix].map((prefixOf) => prefixOf(config.issuer));
  koa.use(router(routes, owns));
  koa.use(ownCallback(approvals));
  koa.use(engine.middleware);
  return shortCut(oauth.forms, steps, { otherwise: withoutPromise(koa), report });
}

/** What every route whose caller is a client works with; the limits and the remembered keys are counted over all of them. */
type Shared = Pick<
  TokenExchangeDeps,
  'settings' | 'clock' | 'registry' | 'keys' | 'clientKeys' | 'agentKeys' | 'limits' | 'policies'
> &
  Readonly<{ failures: ReturnType<House['operations']['failures']>; persons: ReturnType<typeof openPersons> }>;

const sharedOf = ({ config, clock, report, operations, database, ...house }: House): Shared => ({
  ...{ clock, registry: house.registry, keys: house.keys },
  settings: exchangeSettings(config),
  clientKeys: keySource(house.remoteKeys),
  agentKeys: agentKeys(openKeyLives(database), config.agentKeyDays * 86_400),
  failures: operations.failures(openFailureLog(database, clock, house.behind)),
  limits: requestLimit(config.limits.requestsPerClient),
  policies: openActivePolicies(report),
  persons: openPersons(database, clock),
});

/** Whether a token is alive is told even while the log is inconsistent; a use of it, or more time, which are acts, are not given. */
const usesWhileSound = (states: TokenStates, { operations: { log } }: House): TokenStates => ({
  ask: async (question) => {
    if (question.consume !== undefined || question.renew !== undefined) log.stand();
    return states.ask(question);
  },
});

/** Requests to people, as whoever serves tools asks for them. */
const requestsOf = ({ approvals }: House, deferrals: Deferrals | undefined): AccessRequests => ({
  ...approvals,
  bought: async (id) => {
    const found = await deferrals?.recorded(id);
    return found && boughtCall(found.recorded);
  },
});

function decisionsOf({ operations: { log }, database, clock }: House): DecisionLog {
  const decisions = openDecisions(database, clock);
  return {
    keep: async (decided) => {
      log.stand();
      return decisions.keep(decided);
    },
  };
}

function exchangeSettings({ issuer, trustDomain, lifetimes, limits, budgets }: Config): ExchangeSettings {
  return {
    issuer,
    tokenEndpoint: `${issuer}/token`,
    trustDomain,
    maxActors: limits.chainDepth,
    skew: limits.clockSkewSeconds,
    sessionLife: lifetimes.sessionSeconds,
    budgets,
    lifetimes: {
      transactionalAccessToken: lifetimes.transactionalAccessTokenSeconds,
      transactionToken: lifetimes.transactionTokenSeconds,
      handOver: lifetimes.transactionalAccessTokenSeconds,
    },
  };
}

/** RFC 7009 section 2.1: whoever is not the client of a transaction cannot end it. */
const handleReader =
  (handles: Pick<TransactionHandles, 'open'>): HandleReader =>
  (handle, clientId, now) => {
    const opened = handles.open(handle, now);
    return opened.ok && opened.value.client === clientId ? opened.value.id : undefined;
  };

const deferralEnder = ({ deferrals }: Pick<TokenExchangeDeps, 'deferrals'>): DeferralEnder | undefined =>
  deferrals && ((code, clientId, now) => deferrals.withdraw(code, clientId, now));

function exchangeOf(
  { config, operations, database, registry, clock, behind, ...house }: House,
  shared: Shared,
): TokenExchangeDeps {
  return {
    ...shared,
    remembered: rememberSignatures(),
    handles: transactionHandles(house.secrets.encryptionKeys),
    people: openPeople(shared.persons, clock, readAcquaintance(database)),
    decisionPoints: house.decisionPoints,
    inputs: house.inputs,
    deferrals:
      config.deferredTokenResponse === 'off'
        ? undefined
        : openDeferrals(database, house.approvals, house.secrets.encryptionKeys),
    committer: operations.log.guard(openCommitter(database, operations.commits, config.lifetimes.sessionIdleSeconds)),
    drift: {
      seen: (sighting) => {
        const sent = { ...sighting, definition: undefined, seenBy: 'agent' } as const;
        behind.add(markChanged(sent, { registry, writer: registry, clock }).then(() => undefined));
      },
    },
  };
}

function engineOf(
  { config, secrets, clock, report, operations, database, registry, keys, behind }: House,
  shared: Shared,
  { beginnings, local }: Pick<EngineDeps, 'beginnings' | 'local'>,
): Engine {
  const { failures, limits, persons } = shared;
  return createEngine({
    issuer: config.issuer,
    registry,
    agentKeys: shared.agentKeys,
    keys: () => keys.all(),
    store: openEngineStore(database, clock),
    log: operations.engineLog(openEngineLog(database, { clock, failures, behind })),
    signOuts: openSignOuts(database, clock),
    people: persons,
    identityProviders: config.identityProviders,
    local,
    cookieKeys: secrets.cookieKeys,
    clock,
    limits,
    beginnings,
    metadataExtras: () => (config.deferredTokenResponse === 'off' ? {} : DEFERRED_METADATA),
    lifetimes: { accessToken: config.lifetimes.userAccessTokenSeconds },
    skewSeconds: config.limits.clockSkewSeconds,
    onFault: report,
  });
}

/** Nothing where there are no local accounts. */
const localOf = (house: House, { perNetwork }: Pick<BeginningLimits, 'perNetwork'>) =>
  house.config.localAccounts
    ? {
        accounts: openLocalAccounts(house.database, house.clock),
        passkeys: passkeysOf(house),
        codes: openRecoveryCodes(house.database, { issuer: house.config.issuer, clock: house.clock }),
        acr: house.config.passkeyAcr,
        passwords: passwordsOf(house, perNetwork),
      }
    : undefined;

/** Nothing where they are switched off. */
const passwordsOf = ({ config, database, clock }: House, perNetwork: Limit): Passwords | undefined =>
  config.breakGlassPasswords
    ? new Passwords({ passwords: openPasswords(database, { issuer: config.issuer, clock }), clock, perNetwork })
    : undefined;

const passkeysOf = ({ config: { issuer }, clock, database }: House): Passkeys =>
  new Passkeys({ issuer, accounts: openLocalAccounts(database, clock), challenges: openChallenges(database), clock });

/** The people's own place. Its sign-ins are kept beside those of the engine, and end with whatever ends those. */
function approvalsOf(
  house: House,
  { persons }: Pick<Shared, 'persons'>,
  {
    engine,
    local,
    perNetwork,
  }: Pick<ApprovalsDeps, 'perNetwork'> & Readonly<{ engine: Engine; local: ReturnType<typeof localOf> }>,
): ApprovalsDeps & ApprovalDeps {
  const { config, secrets, clock, report, database, registry } = house;
  const records = openEngineStore(database, clock);
  const signOuts = openSignOuts(database, clock);
  return {
    ...{ issuer: config.issuer, clock, registry, people: persons, perNetwork, records, report },
    ...{
      signIns: engine.signIns,
      passkeys: local?.passkeys,
      passkeyAcr: local?.acr,
      codes: local?.codes,
      passwords: local?.passwords,
      challenges: openChallenges(database),
    },
    secrets: pageSecrets(secrets.cookieKeys[0]),
    sessions: new OwnSessions({ issuer: config.issuer, records, clock }),
    endSignIn: (signIn, person) => signOuts.here(signIn, person),
    endAll: (person) => signOuts.everywhere(person),
    acting: openSessions(database, clock),
    deeds: openDeeds(database),
    consents: openConsents(database, clock, config.lifetimes.userAccessTokenSeconds),
    approvals: house.approvals,
    notices: openNotices(database, house.secrets.encryptionKeys, clock),
    vapid: vapidKeyOf(house.secrets.encryptionKeys[0]),
    mayBeTold: (address) => mayBeAsked(address, config.isLocal),
    confirming: isAddress(config.issuer)
      ? undefined
      : { passkeys: passkeysOf(house), own: openOwnPasskeys(database, clock) },
  };
}

/** An authorization that is begun is kept for as long as its pages live. */
const beginningLimits = ({ limits }: Config): BeginningLimits => ({
  perNetwork: windowLimit(limits.signInsPerNetwork, 60),
  perClient: windowLimit(limits.signInsPerClient, ENGINE_LIFETIMES.interaction),
});

function adminOf(house: House, { failures, persons }: Pick<Shared, 'failures' | 'persons'>): readonly Route[] {
  const { config, secrets, clock, operations, database, keys, registry, inputs } = house;
  return createAdmin({
    registry,
    writer: registry,
    sessions: openSessions(database, clock),
    revocations: openRevocations(database, clock),
    persons: openPersonNames(database, clock),
    people: openAccountablePeople(database, persons, clock),
    ...(config.localAccounts ? { invitations: openInvitations(database, { issuer: config.issuer, clock }) } : {}),
    ...(isAddress(config.issuer) ? {} : { passkeys: openHeldPasskeys(database, clock) }),
    agentKeys: openKeyLives(database),
    agentKeyAge: config.agentKeyDays * 86_400,
    agentLife: config.agentLifetimeDays * 86_400,
    access: openAccessLog(database, clock),
    failures,
    policies: openPolicies(database, clock),
    inputs,
    live: openLivePermits(database),
    publishedKeys: (uri) => house.remoteKeys.known(uri),
    uses: openSessionUse(database),
    rights: openRightsUse(database),
    keys: keysAdmin({ ...keyRingDeps(house), ring: keys }),
    log: openLog(database),
    recovery: openLogRecovery(database, clock, {
      signer: logSigner(config.issuer, secrets.logKeys),
      why: operations.log.why,
    }),
    readTools: readTools({ allowLoopback: config.isLocal }),
    idempotency: openIdempotency(database),
    encryptionKeys: secrets.encryptionKeys,
    adminTokenDigest: adminTokenDigest(secrets.adminToken),
    issuer: config.issuer,
    trustDomain: config.trustDomain,
    signIns: [
      ...config.identityProviders.map(({ issuer }) => issuer),
      ...(config.localAccounts ? [config.issuer] : []),
    ],
    clock,
  });
}

/** No forwarded header makes a link or a proof's URI: those come from the configured issuer alone. */
function koaOf({ report }: House, steps: readonly Step[]): Koa {
  const koa = new Koa();
  // Koa hands the whole request over beside the error, headers and all: that is for no log (LG-01).
  koa.on('error', (thrown: unknown, ctx: Context) => {
    if (!isCutOff(thrown, ctx)) report(thrown);
  });
  koa.use(refuseUnreadableTarget());
  for (const step of steps) koa.use(step);
  return koa;
}

/** Koa answers every error itself, so its promise never rejects. */
function withoutPromise(koa: Koa): RequestListener {
  const handle = koa.callback();
  return (request, response) => {
    void handle(request, response);
  };
}
