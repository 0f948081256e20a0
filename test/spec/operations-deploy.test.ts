import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { z } from 'zod';
import { environmentSettings, loadConfig } from '../../src/config/index.js';
import { startWorld, type World } from '../support/world.js';
import { request } from '../support/writ.js';

const at = (file: string): string => join('config/deploy', file);
const text = (file: string): string => readFileSync(at(file), 'utf8');
const known = new Set(environmentSettings.map(({ env }) => env));

/** Helm's language as far as the chart uses it: a value, its release's name, `quote` and `toJson`. */
function render(template: string, values: unknown): unknown {
  const rendered = template.replaceAll(
    /\{\{ (\.[\w.]+)(?: \| (quote|toJson))? \}\}/g,
    (_, path: string, pipe?: string) => {
      const value = path
        .split('.')
        .slice(1)
        .reduce<unknown>((inner, name) => z.record(z.string(), z.unknown()).parse(inner)[name], {
          Values: values,
          Release: { Name: 'prod' },
        });
      if (value === undefined) throw new Error(`${path} is no value of the chart`);
      return pipe === undefined
        ? z.coerce.string().parse(value)
        : JSON.stringify(pipe === 'quote' ? z.coerce.string().parse(value) : value);
    },
  );
  expect(rendered).not.toContain('{{');
  return parse(rendered);
}

describe('what Writ is deployed with', () => {
  it('is an image without root whose files are all there', () => {
    const dockerfile = text('Dockerfile');
    expect(dockerfile.match(/^USER .*$/gm)).toEqual(['USER 65532:65532']);
    for (const [, source = ''] of dockerfile.matchAll(/^COPY --from=build \S+ \/src\/(\S+)/gm))
      expect([source, existsSync(source) || source === 'dist']).toEqual([source, true]);
    const started = /^CMD \["node", "dist\/(.+)\.js"\]$/m.exec(dockerfile)?.[1] ?? '';
    expect(existsSync(`${started}.ts`)).toBe(true);
    for (const [, name = ''] of dockerfile.matchAll(/\b(WRIT_\w+)=/g)) expect(known).toContain(name);
  });

  it('is a compose file with a read-only Writ on PostgreSQL, which its configuration takes', () => {
    const service = z.looseObject({ environment: z.record(z.string(), z.string()) });
    const { services } = z
      .object({ services: z.object({ postgres: service, writ: service.extend({ user: z.string() }) }) })
      .parse(parse(text('compose.yaml')));
    expect(services.writ).toMatchObject({
      read_only: true,
      user: '65532:65532',
      cap_drop: ['ALL'],
      depends_on: { postgres: { condition: 'service_healthy' } },
    });
    const given: Record<string, string> = {
      POSTGRES_PASSWORD: 'x',
      WRIT_ISSUER: 'https://writ.example',
      WRIT_ADMIN_TOKEN: '0123456789abcdef0123456789abcdef',
      WRIT_METRICS_TOKEN: '0123456789abcdef0123456789abcdef',
      WRIT_KEY_ENCRYPTION_KEY: Buffer.from('0123456789abcdefghijklmnopqrstuv').toString('base64'),
    };
    const env = Object.fromEntries(
      Object.entries(services.writ.environment).map(([name, value]) => [
        name,
        value.replaceAll(
          /\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}/g,
          (_, variable: string, standard: string | undefined) => given[variable] ?? standard ?? '',
        ),
      ]),
    );
    expect(Object.keys(env).filter((name) => !known.has(name))).toEqual([]);
    const logKey = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const readFile = (path: string): string | undefined => (path === '/run/secrets/log_key' ? logKey : undefined);
    expect(loadConfig(env, readFile)).toMatchObject({ ok: true, value: { port: 4455, logKeys: [logKey] } });
  });

  it('is a chart that renders, with nothing that is privileged', () => {
    const values: unknown = parse(text('helm/writ/values.yaml'));
    expect(parse(text('helm/writ/Chart.yaml'))).toMatchObject({ apiVersion: 'v2', name: 'writ' });
    const objects = readdirSync(at('helm/writ/templates')).map((file) =>
      render(text(`helm/writ/templates/${file}`), values),
    );
    const kinds = objects.map((object) => z.looseObject({ kind: z.string() }).parse(object).kind).sort();
    expect(kinds).toEqual(['Deployment', 'PodDisruptionBudget', 'Service']);
    const container = z.looseObject({
      env: z.array(z.object({ name: z.string(), value: z.string() })),
      securityContext: z.unknown(),
    });
    const pod = z.looseObject({
      containers: z.tuple([container]),
      securityContext: z.unknown(),
      terminationGracePeriodSeconds: z.number(),
    });
    const deployment = z
      .object({ spec: z.object({ template: z.object({ spec: pod }) }) })
      .parse(objects.find((object) => z.looseObject({ kind: z.string() }).parse(object).kind === 'Deployment'));
    const { containers, securityContext, terminationGracePeriodSeconds } = deployment.spec.template.spec;
    expect(securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 65532 });
    expect(containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(terminationGracePeriodSeconds).toBeGreaterThan(15);
    expect(containers[0].env.filter(({ name }) => !known.has(name))).toEqual([]);
  });

  it('is a unit that systemd takes', () => {
    const unit = text('writ.service');
    for (const line of ['DynamicUser=yes', 'ProtectSystem=strict', 'NoNewPrivileges=yes', 'CapabilityBoundingSet='])
      expect(unit.split('\n')).toContain(line);
    const verified = spawnSync('systemd-analyze', ['verify', at('writ.service')], { encoding: 'utf8' });
    // Where there is no systemd, there is nobody to ask.
    if (verified.error === undefined) expect([verified.status, verified.stderr]).toEqual([0, '']);
  });
});

describe('what operators watch', () => {
  let world: World;
  let exported: Map<string, Set<string>>;
  beforeAll(async () => {
    world = await startWorld();
    await world.exchange();
    await world.exchange({ subject_token: 'x' });
    await world.post('/token', { grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange' });
    const { text: metrics } = await request(`${world.issuer}/metrics`, {});
    exported = new Map();
    for (const [, name = '', labels = ''] of metrics.matchAll(/^(\w+)(?:\{(.*)\})? /gm)) {
      const names = exported.get(name) ?? new Set();
      for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) names.add(label);
      exported.set(name, names);
    }
    // Counters of what has not happened yet have their name from their declaration.
    for (const [, name = ''] of metrics.matchAll(/^# TYPE (\w+) /gm))
      if (!exported.has(name)) exported.set(name, new Set());
    exported.set('writ_faults_total', new Set(['code']));
    exported.set('writ_decision_inputs_total', new Set(['outcome']));
    exported.set('writ_person_tokens_total', new Set());
    exported.set('writ_notices_total', new Set(['kind', 'outcome']));
    exported.set('writ_log_follower_age_seconds', new Set(['follower']));
    exported.set('writ_decision_point_open', new Set(['point']));
    exported.set('writ_decision_point_duration_seconds_bucket', new Set(['point', 'outcome', 'le']));
  });
  afterAll(() => world.close());

  const WORDS = new Set([
    'sum',
    'rate',
    'increase',
    'max',
    'min',
    'by',
    'le',
    'histogram_quantile',
    'max_over_time',
    '__rate_interval',
  ]);
  /** Every metric that an expression names, and every label, is one that /metrics exports. */
  const check = (expression: string): void => {
    const bare = expression.replaceAll(/"[^"]*"/g, '').replaceAll(/\[[^\]]*\]/g, '');
    const labels = [...bare.matchAll(/\bby \(([^)]*)\)|\{([^}]*)\}/g)].flatMap(([, by = '', inside = '']) => [
      ...`${by} ${inside}`.matchAll(/[a-z]\w*/g),
    ]);
    const names = [...bare.replaceAll(/\bby \([^)]*\)|\{[^}]*\}/g, '').matchAll(/[a-z_]\w+/g)].map(([name]) => name);
    const metrics = names.filter((name) => !WORDS.has(name));
    expect(metrics.length).toBeGreaterThan(0);
    expect(metrics.filter((name) => !exported.has(name))).toEqual([]);
    const known = new Set(metrics.flatMap((name) => [...(exported.get(name) ?? [])]));
    expect([expression, ...labels.map(([label]) => label).filter((label) => !known.has(label))]).toEqual([expression]);
  };

  it('names only metrics and labels that there are, on the dashboard', () => {
    const { panels } = z
      .object({
        panels: z.array(z.object({ title: z.string(), targets: z.array(z.object({ expr: z.string() })).min(1) })),
      })
      .parse(JSON.parse(text('grafana/writ.json')));
    expect(panels.length).toBeGreaterThan(10);
    for (const { targets } of panels) for (const { expr } of targets) check(expr);
  });

  it('names only metrics and labels that there are in the alerts, and says what to do', () => {
    const rule = z.object({
      alert: z.string().regex(/^Writ/),
      expr: z.string(),
      for: z.string(),
      labels: z.object({ severity: z.enum(['page', 'ticket']) }),
      annotations: z.object({ summary: z.string(), what_to_do: z.string() }),
    });
    const { groups } = z
      .object({ groups: z.array(z.object({ name: z.string(), rules: z.array(rule).min(1) })) })
      .parse(parse(text('prometheus/alerts.yaml')));
    for (const { rules } of groups) for (const { expr } of rules) check(expr);
  });

  it('finds a name that is not exported', () => {
    expect(() => {
      check('sum by (reason) (rate(writ_no_such_metric_total[5m]))');
    }).toThrow('writ_no_such_metric_total');
  });
});
