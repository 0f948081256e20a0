import { isObject, type Json, type JsonObject } from '../protocol/index.js';
import type { FoundEntry } from './event-ports.js';
import { type LogRecord, readRecord } from './record.js';

const VERSION = '1.8.0';
const API_ACTIVITY = 6003;

/** A record as an OCSF event of class API Activity (6003); `undefined` where there is no record any more. */
export function ocsfOf({ index, leafHash, leaf, txn }: FoundEntry): JsonObject | undefined {
  const record = leaf && readRecord(leaf);
  if (record === undefined) return undefined;
  const { kind, at, facts, outcome } = record;
  const activity = activityOf(record);
  const client = clientOf(facts) ?? 'writ';
  return {
    class_uid: API_ACTIVITY,
    category_uid: 6,
    activity_id: activity,
    activity_name: kind,
    type_uid: API_ACTIVITY * 100 + activity,
    time: at * 1_000,
    severity_id: outcome.decision === 'refuse' ? 2 : 1,
    status_id: STATUS[outcome.decision],
    status: outcome.decision,
    status_detail: outcome.reason,
    metadata: {
      version: VERSION,
      product: { name: 'Writ', vendor_name: 'Writ' },
      uid: leafHash,
      sequence: index,
      log_name: 'audit',
      ...(txn === undefined ? {} : { correlation_uid: txn }),
    },
    actor: { app_uid: client, ...userOf(facts), ...sessionOf(record) },
    api: { operation: operationOf(record), service: { name: 'Writ' }, ...requestOf(facts) },
    src_endpoint: { uid: client },
    resources: resourcesOf(facts),
    unmapped: { kind, facts },
  };
}

const STATUS = { permit: 1, done: 1, refuse: 2, ask: 99 } as const;
const [OTHER, CREATE, READ, UPDATE, DELETE] = [99, 1, 2, 3, 4] as const;

function activityOf({ kind, facts }: LogRecord): number {
  if (kind === 'access') return READ;
  if (kind === 'policy') return UPDATE;
  if (kind !== 'registry') return OTHER;
  if (text(facts['what'])?.startsWith('remove-') === true) return DELETE;
  return isObject(facts['before']) ? UPDATE : CREATE;
}

const operationOf = ({ kind, facts }: LogRecord): string => {
  const what = text(facts['what']);
  return what === undefined ? kind : `${kind}.${what}`;
};

const text = (value: Json | undefined): string | undefined => (typeof value === 'string' ? value : undefined);

const member = (value: Json | undefined, name: string): string | undefined =>
  isObject(value) ? text(value[name]) : undefined;

const clientOf = ({ client, by, who }: JsonObject): string | undefined =>
  member(client, 'id') ?? text(client) ?? text(by) ?? text(who);

function userOf({ person }: JsonObject): JsonObject {
  const uid = text(person);
  return uid === undefined ? {} : { user: { uid } };
}

const sessionOf = ({ outcome: { session } }: LogRecord): JsonObject =>
  session === null ? {} : { session: { uid: session } };

function requestOf({ request }: JsonObject): JsonObject {
  const uid = text(request);
  return uid === undefined ? {} : { request: { uid } };
}

function resourcesOf({ server, target, tools, tool }: JsonObject): readonly JsonObject[] {
  const uid = text(server) ?? member(target, 'resource');
  const named = [...(isList(tools) ? tools.map((one) => member(one, 'name')) : []), text(tool)];
  return [
    ...(uid === undefined ? [] : [{ uid, type: 'mcp_server' }]),
    ...named.filter((name) => name !== undefined).map((name) => ({ name, type: 'mcp_tool' })),
  ];
}

const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);
