import type { Clock, Seconds } from '../base/index.js';
import type { LogReader, LogRecovery, PersonNames } from '../audit/index.js';
import type { Route } from '../http/index.js';
import type { KeptInputs, LivePermits, PolicyStore, PublishedKeysOf } from '../policy/index.js';
import type {
  AccountablePeople,
  KeyLives,
  RegistryReader,
  RegistryWriter,
  RightsUse,
  ToolsReader,
} from '../registry/index.js';
import type { RevocationsAdmin, SessionUse, SessionsAdmin } from '../session/index.js';
import type { KeysAdmin } from '../token/index.js';
import { agentReportOperation } from './agent-report.js';
import { effectOperation } from './effect.js';
import { makeForesight } from './foresight.js';
import { leavingOperations } from './leaving.js';
import { applyOperation } from './apply.js';
import { importOperation } from './import.js';
import { invitationOperations, type Invitations } from './invitations.js';
import { type HeldPasskeys, passkeyOperations } from './passkeys.js';
import { toolOperations } from './tools.js';
import { makeTurns } from './in-turn.js';
import { agents, issuers, servers } from './collections.js';
import { keyOperations } from './keys.js';
import { logOperation, recoveryOperation } from './log.js';
import { objectOperations } from './objects.js';
import { describeApi, openapiOperation } from './openapi.js';
import type { Operation } from './operation.js';
import { personOperations } from './persons.js';
import { policyOperations } from './policies.js';
import { problemOperations } from './problems.js';
import { replayOperations } from './replay.js';
import { revocationOperations } from './revocations.js';
import { secretOperations } from './secrets.js';
import { serve, type ServeDeps } from './serve.js';
import { shrinkOperations } from './shrink.js';
import { serverReportOperation } from './server-report.js';
import { sessionOperations } from './sessions.js';

export type AdminDeps = ServeDeps &
  Readonly<{
    registry: RegistryReader;
    writer: RegistryWriter;
    sessions: SessionsAdmin;
    revocations: RevocationsAdmin;
    persons: PersonNames;
    /** Only where there are local accounts. */
    invitations?: Invitations;
    passkeys?: HeldPasskeys;
    people: AccountablePeople;
    agentLife: Seconds;
    agentKeys: Pick<KeyLives, 'all'>;
    agentKeyAge: Seconds;
    keys: KeysAdmin;
    policies: PolicyStore;
    inputs: KeptInputs;
    live: LivePermits;
    publishedKeys: PublishedKeysOf;
    uses: SessionUse;
    rights: RightsUse;
    log: LogReader;
    recovery: LogRecovery;
    readTools: ToolsReader;
    issuer: string;
    trustDomain: string;
    /** The identity providers at which people sign in. */
    signIns?: readonly string[];
    clock: Clock;
  }>;

/** The path below which the admin API owns every request. */
export const adminPrefix = (issuer: string): string => `${mountOf(issuer)}/admin/v1`;

/** The routes of the admin API, each behind the bearer token. */
export function createAdmin(deps: AdminDeps): readonly Route[] {
  const operations = adminOperations(deps);
  // Made when it is first read: it would be a fifth of the time that a start takes.
  let document: object | undefined;
  const read = (): object => (document ??= describeApi(operations, deps.issuer));
  return [...operations, openapiOperation(read)].map((operation) => ({
    method: operation.method,
    path: `${mountOf(deps.issuer)}${operation.path}`,
    handle: (ctx, params) => serve(operation, ctx, params, deps),
  }));
}

const mountOf = (issuer: string): string => new URL(issuer).pathname.replace(/\/$/, '');

function adminOperations({ sessions, keys, log, issuer, trustDomain, ...deps }: AdminDeps): readonly Operation[] {
  const looking = { ...deps, issuer, inTurn: makeTurns() };
  const foresight = makeForesight(looking);
  const us = { issuer, trustDomain, signIns: deps.signIns ?? [] };
  const changes = { ...deps, us, inTurn: makeTurns(), foresight };
  return [
    ...objectOperations(agents, changes),
    ...objectOperations(servers, changes),
    ...objectOperations(issuers, changes),
    ...secretOperations(changes),
    ...toolOperations(changes),
    importOperation(changes),
    applyOperation(changes),
    ...policyOperations(changes),
    agentReportOperation(deps),
    serverReportOperation(deps),
    ...shrinkOperations({ ...changes, rights: deps.rights }),
    effectOperation(looking),
    ...replayOperations({ ...deps, inTurn: makeTurns() }),
    ...sessionOperations(sessions),
    ...personOperations(deps.persons, deps.inputs),
    ...invitationOperations({ issuer, invitations: deps.invitations, passkeys: deps.passkeys }),
    ...passkeyOperations({ passkeys: deps.passkeys }),
    ...leavingOperations(changes),
    ...keyOperations(keys),
    ...revocationOperations({ revocations: deps.revocations, keys }),
    logOperation(log),
    recoveryOperation(deps.recovery),
    ...problemOperations(),
  ];
}
