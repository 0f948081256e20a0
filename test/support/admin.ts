import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Koa from 'koa';
import { adminPrefix, adminTokenDigest, createAdmin } from '../../src/admin/index.js';
import type { AccountablePeople } from '../../src/registry/index.js';
import { readTools } from '../../src/mcp/index.js';
import { hashSecret } from '../../src/client/index.js';
import { catchThrown, router } from '../../src/http/index.js';
import {
  leafOf,
  openDecisionInputs,
  openIdempotency,
  openKeys,
  openAccessLog,
  openAccountablePeople,
  openKeyLives,
  openLivePermits,
  openSessionUse,
  openRightsUse,
  openLog,
  openPersonNames,
  openPersons,
  openPolicies,
  openRegistry,
  openRevocations,
  openSessions,
  type RecordOf,
  type RegistryStore,
} from '../../src/storage/index.js';
import { type KeysAdmin, keysAdmin, openKeyRing } from '../../src/token/index.js';
import { haveTheAccountable } from './accountable.js';
import { freshDatabase, type TestDatabase } from './databases.js';

export const ADMIN = '0123456789-abcdef-0123456789-abcdef';
export const NOW = Date.parse('2026-11-22T12:00:00Z') / 1000;
export const OUR_ISSUER = 'https://writ.example';

/** For an API alone, before which nobody decides. */
export const NOTHING_KEPT = {
  encryptionKeys: [new Uint8Array(32)] as const,
  days: 0,
  watch: () => undefined,
  report: () => undefined,
};

export type Answer = Readonly<{ status: number; body: unknown; headers: Headers }>;
export type AdminServer = Readonly<{
  url: string;
  fresh: TestDatabase;
  registry: RegistryStore;
  keys: KeysAdmin;
  people: AccountablePeople;
  thrown: unknown[];
  /** Asks as the administrator, with an `X-Request-Id` that the answer's bodies repeat. */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  close(): Promise<void>;
}>;

const recordOf: RecordOf = (change, before, by, version) =>
  leafOf({
    kind: 'registry',
    at: NOW,
    facts: {
      what: change.kind,
      id: change.id,
      by,
      registry: version,
      secret_set: change.secretWasSet,
      new: before === undefined,
    },
    decision: 'done',
    reason: 'changed',
  });

/** Real keys in the database; nothing rotates them but the test. */
async function openTestKeys({ database }: TestDatabase, clock: Parameters<typeof openKeys>[1]): Promise<KeysAdmin> {
  const deps = {
    store: openKeys(database, clock),
    encryptionKeys: [randomBytes(32)] as const,
    timing: { cache: 600, longestToken: 600, skew: 30 },
  };
  return keysAdmin({ ...deps, ring: await openKeyRing(deps) });
}

/** The admin API alone, over real HTTP, on a database of its own. */
export async function startAdmin(): Promise<AdminServer> {
  const fresh = await freshDatabase('embedded');
  await haveTheAccountable(fresh.database);
  const clock = { now: () => NOW };
  const registry = await openRegistry(fresh.database, { hashSecret, recordOf, now: clock.now });
  const keys = await openTestKeys(fresh, clock);
  const people = openAccountablePeople(fresh.database, openPersons(fresh.database, clock), clock);
  const thrown: unknown[] = [];
  const app = new Koa();
  app.use(catchThrown((fault) => thrown.push(fault), OUR_ISSUER));
  const routes = createAdmin({
    publishedKeys: () => undefined,
    registry,
    writer: registry,
    sessions: openSessions(fresh.database, clock),
    revocations: openRevocations(fresh.database, clock),
    keys,
    policies: openPolicies(fresh.database, clock),
    inputs: openDecisionInputs(fresh.database, { ...NOTHING_KEPT, clock: clock }),
    live: openLivePermits(fresh.database),
    uses: openSessionUse(fresh.database),
    rights: openRightsUse(fresh.database),
    log: openLog(fresh.database),
    recovery: { recover: () => Promise.resolve(undefined) },
    access: openAccessLog(fresh.database, clock),
    failures: { note: () => undefined },
    persons: openPersonNames(fresh.database, clock),
    people,
    agentLife: 365 * 86_400,
    agentKeys: openKeyLives(fresh.database),
    agentKeyAge: 90 * 86_400,
    readTools: readTools({ allowLoopback: true }),
    idempotency: openIdempotency(fresh.database),
    encryptionKeys: [randomBytes(32)],
    adminTokenDigest: adminTokenDigest(ADMIN),
    issuer: OUR_ISSUER,
    trustDomain: 'trust.example',
    clock,
  });
  app.use(router(routes, [adminPrefix(OUR_ISSUER)]));
  const handle = app.callback();
  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${address.port}`;
  return {
    url,
    fresh,
    registry,
    keys,
    people,
    thrown,
    ask: async (method, path, body, headers = {}) => {
      const response = await fetch(`${url}/admin/v1${path}`, {
        method,
        headers: {
          Authorization: `Bearer ${ADMIN}`,
          'X-Request-Id': 'req_test_1',
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson = (response.headers.get('Content-Type') ?? '').includes('json');
      return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await fresh.drop();
    },
  };
}

const TITLES: Record<string, [number, string]> = {
  idempotency_key_in_use: [409, 'A request with this idempotency key is still being answered'],
  idempotency_key_reused: [422, 'This idempotency key belongs to another request'],
  invalid_field: [400, 'A field has a value that is not allowed'],
  bad_path: [400, 'The path is not valid'],
  unauthorized: [401, 'A valid bearer token is needed'],
  not_found: [404, 'There is nothing here'],
  in_use: [409, 'Something else still needs this'],
  conflict: [409, 'The state of the object does not allow this'],
  precondition_failed: [412, 'The object was changed meanwhile'],
  server_unreadable: [502, 'The tools of the MCP server cannot be read'],
  too_large: [413, 'The body is too large'],
  unavailable: [503, 'Something that Writ depends on is down'],
};

/** The whole answer that is expected for a problem. */
export function problem(
  code: string,
  detail?: string,
  ...fields: readonly [string, string][]
): { status: number; body: object } {
  const [status, title] = TITLES[code] ?? [0, ''];
  const [first] = fields;
  return {
    status,
    body: {
      type: `${OUR_ISSUER}/admin/v1/problems/${code}`,
      title,
      status,
      detail: detail ?? (first === undefined ? title : `${first[0]}: ${first[1]}`),
      code,
      ...(first === undefined ? {} : { param: first[0] }),
      ...(fields.length > 1 ? { errors: fields.map(([param, text]) => ({ param, detail: text })) } : {}),
      request_id: 'req_test_1',
    },
  };
}

export const statusAndBody = ({ status, body }: Answer): { status: number; body: unknown } => ({ status, body });

/** What a dry run answers where no token lives. */
export const NO_EFFECT = {
  ...{ considered: 0, complete: true, tokens: 0, undecided: 0, sessions_ended: 0, sessions_narrowed: 0 },
  ...{ losses: [], more: 0 },
};
