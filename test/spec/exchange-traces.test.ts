import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, it } from '@jest/globals';
import { startPoint } from '../support/decision-point.js';
import { startCollector } from '../support/process.js';
import { ownWorld, RS1 } from '../support/world.js';
import type { Form, Reply } from '../support/writ.js';

type Span = Readonly<{ name: string; traceId: string; spanId: string; parentSpanId?: string }>;

const collector = await startCollector();
const point = await startPoint();
const decisionPoints = [{ id: 'here', url: `${point.address}/access/v1/evaluation`, servers: [RS1] }];
const world = await ownWorld({
  file: JSON.stringify({ decisionPoints }),
  env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url },
});
afterAll(async () => {
  await Promise.all([collector.close(), point.close()]);
});

/** What was exported of one trace: each span by its name, below the request's. */
async function stepsOf(trace: string): Promise<readonly string[]> {
  for (const patience = performance.now() + 30_000; performance.now() < patience;) {
    const spans = collector.bodies
      .flatMap((body) => (JSON.parse(body) as Exported).resourceSpans)
      .flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans))
      .filter(({ traceId }) => traceId === trace);
    const root = spans.find(({ name }) => name === 'POST /token');
    if (root !== undefined)
      return spans.flatMap(({ name, parentSpanId }) => (parentSpanId === root.spanId ? [name] : [])).sort();
    await pause(50);
  }
  throw new Error(`no exchange of trace ${trace} was exported`);
}
type Exported = Readonly<{ resourceSpans: { scopeSpans: { spans: Span[] }[] }[] }>;

async function traced(changes: Form): Promise<Readonly<{ reply: Reply; steps: readonly string[] }>> {
  const trace = randomBytes(16).toString('hex');
  const reply = await world.exchange(changes, world.a1, { traceparent: `00-${trace}-b7ad6b7169203331-01` });
  return { reply, steps: await stepsOf(trace) };
}

describe('W3C Trace Context: an operator sees the steps of an exchange', () => {
  it('that mints a token after another decision point was asked', async () => {
    const { reply, steps } = await traced({});
    expect([reply.status, steps]).toEqual([200, ['client', 'commit', 'opinions', 'policy', 'sign', 'subject']]);
  });

  it('that ends before anything is decided, with the record of it', async () => {
    const { reply, steps } = await traced({ subject_token: 'a.b.c' });
    expect([reply.status, steps]).toEqual([400, ['client', 'commit', 'subject']]);
  });
});
