import { readFileSync } from 'node:fs';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import Koa from 'koa';
import { z } from 'zod';
import {
  type Access,
  closeRecord,
  type EventFinder,
  exportRoute,
  type FoundEntry,
  lineOf,
  readerDigests,
  recordHead,
  type RecordKind,
} from '../../src/audit/index.js';
import { router } from '../../src/http/index.js';
import type { Json } from '../../src/protocol/index.js';

const TOKEN = 'auditor-token-0123456789abcdefghijk';
type Node = Readonly<{
  $ref?: string;
  $defs?: Readonly<Record<string, Node>>;
  anyOf?: readonly Readonly<{ required: readonly string[] }>[];
  properties?: Readonly<Record<string, Node>>;
  items?: Node;
}>;
const published = readFileSync('test/vectors/ocsf/api_activity-1.8.0.json', 'utf8');
const schema = JSON.parse(published) as Node;
// zod takes an `anyOf` for all that there is to an object: what it lists is looked for beside it.
const withoutChoices = JSON.parse(published, (name, value: unknown) => (name === 'anyOf' ? undefined : value)) as never;
const OCSF = z.fromJSONSchema(withoutChoices).refine((event) => hasChoices(schema, event));

/** Whether every object has one of the members of which it must have one. */
function hasChoices(node: Node | undefined, value: unknown): boolean {
  if (Array.isArray(value)) return value.every((one) => hasChoices(node?.items, one));
  if (typeof value !== 'object' || value === null) return true;
  const known = node?.$ref === undefined ? node : schema.$defs?.[node.$ref.replace('#/$defs/', '')];
  const isChosen = known?.anyOf?.some(({ required }) => required.every((name) => Object.hasOwn(value, name))) ?? true;
  return isChosen && Object.entries(value).every(([name, inner]) => hasChoices(known?.properties?.[name], inner));
}

const entry = (
  kind: RecordKind,
  facts: Record<string, Json>,
  outcome: Partial<{ decision: 'permit' | 'refuse' | 'ask' | 'done'; reason: string; session: string }> = {},
): FoundEntry => ({
  index: 7,
  leafHash: 'h'.repeat(43),
  txn: 'txn-1',
  leaf: closeRecord(recordHead(kind, 1_795_305_600, facts), {
    ...{ decision: 'done', reason: 'test', session: null, sequence: null, seen: 0 },
    ...outcome,
  }),
});

const exchange = entry(
  'exchange',
  {
    request: 'req_1',
    client: { id: 'agt_a', kind: 'agent', method: 'private_key_jwt', key: 'k1' },
    person: 'prs_1',
    target: { kind: 'server', resource: 'https://mcp.example/files' },
    tools: [{ name: 'read_file', arguments_sha256: null, max_uses: 1 }],
  },
  { decision: 'permit', reason: 'permitted', session: 'ses_1' },
);

describe('an entry in the words of OCSF', () => {
  it.each<[string, FoundEntry]>([
    ['an exchange', exchange],
    ['a refusal', entry('exchange', { client: { id: 'agt_a' } }, { decision: 'refuse', reason: 'policy_forbids' })],
    ['an ask', entry('exchange', { client: { id: 'agt_a' } }, { decision: 'ask', reason: 'approval' })],
    [
      'a failure before authentication',
      entry('authentication', { client: null, route: '/token', minute: 1, earlier: 0 }),
    ],
    [
      'what was registered',
      entry('registry', { what: 'agent', id: 'agt_a', before: null, after: {}, by: 'admin-token' }),
    ],
    ['what was removed', entry('registry', { what: 'remove-agent', id: 'agt_a', by: 'admin-token' })],
    ['a use', entry('introspection', { what: 'use', client: 'srv_one', tool: 'read_file' })],
    [
      'an outcome',
      entry('outcome', { what: 'call', client: 'srv_one', server: 'https://mcp.example', tool: 'read_file' }),
    ],
    ['a key', entry('key', { what: 'created', kid: 'k1', by: 'writ' })],
    ['a policy', entry('policy', { what: 'activated', policy: 'sha256:x', by: 'admin-token' })],
    ['an access', entry('access', { who: 'auditor', what: 'events', filter: {}, request: 'req_2' })],
    [
      'a decision',
      entry('decision', { what: 'call', agents: ['agt_a'], server: 'https://mcp.example', tool: { sha256: 'x' } }),
    ],
    ['a session', entry('session', { what: 'ended', by: 'writ' }, { session: 'ses_1' })],
    ['a revocation', entry('revocation', { what: 'token', token: 'x', by: 'agt_a' })],
    ['a grant', entry('grant', { what: 'person_token', client: 'agt_a', person: 'prs_1' })],
  ])('is an event of the published schema: %s', (_, one) => {
    const event: unknown = JSON.parse(lineOf(one, 'ocsf'));
    expect(OCSF.safeParse(event).error?.issues).toBeUndefined();
  });

  it('would be none with an attribute that the schema does not have, or without one that it wants', () => {
    const event = JSON.parse(lineOf(exchange, 'ocsf')) as { actor: object; time: number };
    expect(OCSF.safeParse({ ...event, colour: 'red' }).success).toBe(false);
    expect(OCSF.safeParse({ ...event, actor: { ...event.actor, colour: 'red' } }).success).toBe(false);
    expect(OCSF.safeParse({ ...event, actor: {} }).success).toBe(false);
    expect(OCSF.safeParse({ ...event, time: undefined }).success).toBe(false);
  });

  it('says who did what to what, and how it came out', () => {
    expect(JSON.parse(lineOf(exchange, 'ocsf'))).toMatchObject({
      class_uid: 6003,
      type_uid: 600399,
      time: 1_795_305_600_000,
      status_id: 1,
      status_detail: 'permitted',
      metadata: { version: '1.8.0', uid: 'h'.repeat(43), sequence: 7, correlation_uid: 'txn-1' },
      actor: { app_uid: 'agt_a', user: { uid: 'prs_1' }, session: { uid: 'ses_1' } },
      api: { operation: 'exchange', request: { uid: 'req_1' } },
      resources: [
        { uid: 'https://mcp.example/files', type: 'mcp_server' },
        { name: 'read_file', type: 'mcp_tool' },
      ],
    });
  });

  it('is none where the record is lost', () => {
    expect(lineOf({ ...exchange, leaf: undefined }, 'ocsf')).toBe('');
    expect(JSON.parse(lineOf({ ...exchange, leaf: undefined }, 'jsonl'))).toEqual({
      ...{ index: 7, leaf_hash: 'h'.repeat(43), lost: true },
    });
  });
});

describe('a line', () => {
  it.each(['a\r\nb', 'a\u2028b\u2029c', 'a\u000b\u000c\u0000b', '\u001b[2J\u009b31m\u202eb', '"}\n{"index":8'])(
    'AU-01: is one, whatever it names: %j',
    (reason) => {
      const hostile = entry('grant', { client: reason, route: reason }, { reason });
      for (const format of ['jsonl', 'ocsf'] as const) {
        const line = lineOf(hostile, format);
        expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/);
        expect(line.endsWith('\n')).toBe(true);
        expect(JSON.stringify(JSON.parse(line))).toContain(JSON.stringify(reason).slice(1, -1));
      }
    },
  );
});

/** A log that never ends. */
function endlessLog(): EventFinder & { reads: number } {
  const log = {
    reads: 0,
    find: (_: unknown, { after, limit }: { after: number; limit: number }) => {
      log.reads += 1;
      const entries = Array.from({ length: limit }, (_entry, n) => ({ ...exchange, index: after + 1 + n }));
      return Promise.resolve({ entries, next: after + limit, indexedTo: Infinity });
    },
  };
  return log;
}

describe('an export', () => {
  it('AU-14: of a log without end is read on only as fast as somebody reads it, and ends with them', async () => {
    const log = endlessLog();
    const kept: Access[] = [];
    const access = { note: (one: Access) => Promise.resolve(void kept.push(one)) };
    const digests = readerDigests({ audit: TOKEN, admin: `${TOKEN}-admin` });
    const koa = new Koa();
    koa.silent = true;
    koa.use(router([exportRoute(log, { mount: '', digests, access, failures: { note: () => undefined } })]));
    const handle = koa.callback();
    const server = createServer((request, response) => void handle(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const answer = await new Promise<IncomingMessage>((resolve) =>
      get(
        { port, host: '127.0.0.1', path: '/audit/v1/export', headers: { authorization: `Bearer ${TOKEN}` } },
        resolve,
      ),
    );
    expect([answer.statusCode, kept.map(({ who, what }) => [who, what])]).toEqual([200, [['auditor', 'export']]]);
    answer.pause();
    const still = await settled(() => log.reads);
    expect(still).toBeLessThan(500);
    let bytes = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) if ((bytes += chunk.length) > 20_000_000) break;
    answer.destroy();
    expect(log.reads).toBeGreaterThan(still);
    await settled(() => log.reads);
    await new Promise((resolve) => server.close(resolve));
  });
});

/** The number once it has not changed for a while. */
async function settled(read: () => number): Promise<number> {
  for (;;) {
    const before = read();
    await pause(300);
    if (read() === before) return before;
  }
}
