import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { adminTokenDigest, createAdmin } from '../../src/admin/index.js';
import { readTools } from '../../src/mcp/index.js';
import {
  openDecisionInputs,
  openIdempotency,
  openAccessLog,
  openKeyLives,
  openLivePermits,
  openRightsUse,
  openSessionUse,
  openLog,
  openPersonNames,
  openPolicies,
  openRevocations,
  openSessions,
} from '../../src/storage/index.js';
import {
  type AdminServer,
  NOTHING_KEPT,
  NOW,
  OUR_ISSUER,
  problem,
  startAdmin,
  statusAndBody,
} from '../support/admin.js';

type Operation = {
  operationId: string;
  summary: string;
  security?: [];
  parameters: { name: string; in: string }[];
  requestBody?: { content: Record<string, { schema: object; example: unknown }> };
  responses: Record<
    string,
    { description: string; content?: Record<string, { schema: object; example?: unknown; examples?: object }> }
  >;
};
type Document = {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object> };
};

let admin: AdminServer;
let document: Document;
beforeAll(async () => {
  admin = await startAdmin();
  document = (await admin.ask('GET', '/openapi.json')).body as Document;
});
afterAll(() => admin.close());

const operations = (): [string, string, Operation][] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, string, Operation] => [
      method.toUpperCase(),
      path,
      operation,
    ]),
  );

describe('the description of the admin API', () => {
  it('has every route that is served, and no other', () => {
    const routes = createAdmin({
      publishedKeys: () => undefined,
      registry: admin.registry,
      writer: admin.registry,
      sessions: openSessions(admin.fresh.database, { now: () => NOW }),
      revocations: openRevocations(admin.fresh.database, { now: () => NOW }),
      keys: admin.keys,
      policies: openPolicies(admin.fresh.database, { now: () => NOW }),
      inputs: openDecisionInputs(admin.fresh.database, { ...NOTHING_KEPT, clock: { now: () => NOW } }),
      live: openLivePermits(admin.fresh.database),
      uses: openSessionUse(admin.fresh.database),
      rights: openRightsUse(admin.fresh.database),
      log: openLog(admin.fresh.database),
      recovery: { recover: () => Promise.resolve(undefined) },
      failures: { note: () => undefined },
      access: openAccessLog(admin.fresh.database, { now: () => NOW }),
      persons: openPersonNames(admin.fresh.database, { now: () => NOW }),
      people: admin.people,
      agentLife: 1,
      agentKeys: openKeyLives(admin.fresh.database),
      agentKeyAge: 1,
      readTools: readTools({ allowLoopback: true }),
      idempotency: openIdempotency(admin.fresh.database),
      encryptionKeys: [new Uint8Array(32)],
      adminTokenDigest: adminTokenDigest('x'),
      issuer: OUR_ISSUER,
      trustDomain: 'trust.example',
      clock: { now: () => NOW },
    });
    const served = routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
    const described = operations().map(([method, path]) => `${method} ${path}`);
    expect(described.sort()).toStrictEqual(served.sort());
    expect(served).toContain('POST /admin/v1/apply');
  });

  it('is OpenAPI 3.1 in which every operation has a name, a sentence, examples and its problems', () => {
    expect(document.openapi).toBe('3.1.1');
    expect(new Set(operations().map(([, , { operationId }]) => operationId)).size).toBe(operations().length);
    for (const [method, path, { summary, security, parameters, requestBody, responses }] of operations()) {
      expect(summary).toMatch(/^[A-Z].*\.$/);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      expect(parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name)).toStrictEqual(inPath);
      expect(requestBody === undefined || requestBody.content['application/json']?.example !== undefined).toBe(true);
      for (const [status, { content }] of Object.entries(responses)) {
        if (status === '204') continue;
        const json = content?.['application/json'] ?? content?.['application/problem+json'];
        expect([method, path, status, json?.example ?? json?.examples]).not.toContain(undefined);
      }
      expect(Object.keys(responses)).toEqual(expect.arrayContaining(['400', '405', '500', '503']));
      const isOpen = path.startsWith('/admin/v1/problems');
      expect([path, '401' in responses, security]).toStrictEqual([path, !isOpen, isOpen ? [] : undefined]);
    }
  });

  it('refers to nothing that is not in it', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference]) => reference);
    const known = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`);
    expect([...new Set(references)].sort()).toStrictEqual(known.filter((name) => references.includes(name)).sort());
    expect(references.length).toBeGreaterThan(20);
  });

  it('has examples that the API accepts and answers', async () => {
    const apply = document.paths['/admin/v1/apply']?.['post']?.requestBody?.content['application/json'];
    expect(await admin.ask('POST', '/apply', apply?.example)).toMatchObject({ status: 200 });
    for (const [plural, schema] of [
      ['agents', 'Agent'],
      ['servers', 'McpServer'],
      ['issuers', 'TrustedIssuer'],
    ] as const) {
      const shown = document.paths[`/admin/v1/${plural}`]?.['get']?.responses['200']?.content?.['application/json'];
      const people = { owner: expect.any(String), sponsor: expect.any(String), expires_at: expect.any(String) };
      const [listed] = (shown?.example as { items: object[] }).items;
      expect((await admin.ask('GET', `/${plural}`)).body).toStrictEqual({
        items: [plural === 'agents' ? { ...listed, ...people } : listed],
        next: null,
      });
      expect(document.components.schemas[schema]).toMatchObject({ type: 'object', additionalProperties: false });
    }
  });

  it('describes 404 and 405 as they are', async () => {
    expect(statusAndBody(await admin.ask('GET', '/tenants'))).toStrictEqual(problem('not_found'));
    expect((await admin.ask('DELETE', '/agents')).status).toBe(405);
  });
});

describe('an outage', () => {
  it('is 503 without a word of its cause', async () => {
    const other = await startAdmin();
    await other.fresh.database.close();
    const answer = await other.ask('GET', '/sessions');
    expect(statusAndBody(answer)).toStrictEqual(problem('unavailable'));
    expect(answer.headers.get('Retry-After')).toBe('1');
    expect(other.thrown).toHaveLength(1);
    await other.close().catch(() => undefined);
  });
});
