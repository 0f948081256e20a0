import {
  type Attributes,
  type Context,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace as api,
  type Tracer,
} from '@opentelemetry/api';
import type { RequestSpan, SeenRequest } from '../http/index.js';

export type Traces = Readonly<{
  beginSpan(request: Readonly<{ method: string; traceparent: string }>): RequestSpan;
  /** Sends what is left, for at most two seconds. */
  close(): Promise<void>;
}>;

/**
 * Traces to an OpenTelemetry collector, by OTLP over HTTP in JSON. The packages are loaded only here, so that a process
 * that keeps no traces has none of them. Nothing is asked of the environment but `OTEL_EXPORTER_OTLP_HEADERS`.
 */
export async function openTraces(endpoint: string): Promise<Traces> {
  const [
    { BatchSpanProcessor, ParentBasedSampler, AlwaysOnSampler, TracerProvider },
    { OTLPTraceExporter },
    resources,
  ] = await Promise.all([
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const exporter = new OTLPTraceExporter({
    url: `${endpoint.replace(/\/$/, '')}/v1/traces`,
    timeoutMillis: CLOSE_MS,
  });
  const provider = new TracerProvider({
    resource: resources.resourceFromAttributes({ 'service.name': 'writ' }),
    sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
    spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis: 1_000 })],
  });
  const tracer = provider.getTracer('writ');
  return {
    beginSpan: (request) => beginSpan(tracer, request),
    close: async () => {
      await Promise.race([
        provider.shutdown().catch(() => undefined),
        new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref()),
      ]);
    },
  };
}

const CLOSE_MS = 2_000;

function beginSpan(
  tracer: Tracer,
  { method, traceparent }: Readonly<{ method: string; traceparent: string }>,
): RequestSpan {
  const parent = parentOf(traceparent);
  const span = tracer.startSpan(
    method,
    { kind: SpanKind.SERVER, attributes: { 'http.request.method': method } },
    parent,
  );
  const within = api.setSpan(parent, span);
  return {
    traceId: span.spanContext().traceId,
    trace: (step, work) => traced(tracer.startSpan(step, {}, within), work),
    end: (seen) => {
      span.updateName(`${seen.method} ${seen.route}`).setAttributes(attributesOf(seen));
      if (seen.status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    },
  };
}

/** W3C trace context level 1, section 3.2. What is not exactly that begins a trace of its own. */
function parentOf(traceparent: string): Context {
  const [, traceId = '', spanId = '', flags = ''] =
    /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent) ?? [];
  const parent = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
  return isSpanContextValid(parent) ? api.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT;
}

const traced = <T>(span: Span, work: () => T): T => {
  const result = ending(span, work);
  if (!(result instanceof Promise)) {
    settle(span, result);
    return result;
  }
  result.then(
    (value) => {
      settle(span, value);
    },
    () => {
      fail(span);
    },
  );
  return result;
};

function ending<T>(span: Span, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    fail(span);
    throw thrown;
  }
}

function fail(span: Span): void {
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

/** Of what a step answers, only whether it refused and the word for why. */
function settle(span: Span, value: unknown): void {
  const reason = refusalOf(value);
  if (reason !== undefined) span.setAttribute('writ.reason', reason);
  span.end();
}

function refusalOf(value: unknown): string | undefined {
  if (!isRecord(value) || value['ok'] !== false || !isRecord(value['error'])) return undefined;
  const { reason } = value['error'];
  return typeof reason === 'string' ? reason : 'approval_required';
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

function attributesOf({ requestId, recordId, route, status, notes }: SeenRequest): Attributes {
  return {
    'http.route': route,
    'http.response.status_code': status,
    'writ.request': requestId,
    'writ.record': recordId,
    'writ.outcome': notes?.outcome,
    'writ.reason': notes?.reason,
    'writ.client': notes?.client,
  };
}
