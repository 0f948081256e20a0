import type { Attributes, Meter } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import type { SeenRequest } from '../http/index.js';
import { observeProcess } from './process.js';
import { word } from './words.js';

/** The tree of the log as this process saw it last. */
export type LogFigures = Readonly<{ size(): number; lag(): number; isHalted(): boolean }>;

/** The feed of revocations, as this process sends it. */
export type FeedFigures = Readonly<{ followers: number; age(): number }>;

/** Where the gauges read. */
export type Sources = Readonly<{
  registryVersion(): number;
  /** Exchanges that wait for their commit. */
  queueLength(): number;
  isReady(): boolean;
  log: LogFigures;
  /** Nothing while there is no feed yet. */
  feed(): FeedFigures | undefined;
  database: 'embedded' | 'server';
}>;

export type Metrics = Readonly<{
  ended(request: SeenRequest): void;
  committed(batch: Readonly<{ size: number; seconds: number }>): void;
  authenticationFailed(failure: Readonly<{ route: string; cause: string }>): void;
  personTokenIssued(): void;
  inputs(count: number, outcome: 'kept' | 'dropped'): void;
  /** Words of closed sets. */
  told(kind: string, outcome: string): void;
  faulted(code: string): void;
  sequenced(count: number): void;
  sequencingFailed(): void;
  /** Records whose content retention removed. */
  pruned(records: number): void;
  /** Records that retention removed before the webhook had taken them. */
  webhookMissed(records: number): void;
  /** Somebody to whom the log is sent on; named by its place in the configuration. The answer is called whenever he has all there is. */
  logFollower(name: string): () => void;
  feed: Readonly<{ onBatch(kind: 'batch' | 'heartbeat' | 'snapshot'): void; onCutOff(): void }>;
  /** Points are those of the configuration, outcomes words of a closed set. */
  opinionHeard(opinion: Readonly<{ point: string; outcome: string; seconds: number }>): void;
  circuitChanged(change: Readonly<{ point: string; isOpen: boolean }>): void;
  /** The text that Prometheus reads. */
  scrape(): Promise<string>;
  close(): Promise<void>;
}>;

/** Every metric there is. A label is a word of a closed set or a template of a route: no client can make a new series. */
export function openMetrics(sources: Sources): Metrics {
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const provider = new MeterProvider({
    resource: resourceFromAttributes({ 'service.name': 'writ' }),
    readers: [exporter],
  });
  const meter = provider.getMeter('writ');
  observeState(meter, sources);
  const stopProcess = observeProcess(meter);
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  return {
    ...instruments(meter),
    scrape: async () => {
      const { resourceMetrics } = await exporter.collect();
      return serializer.serialize(resourceMetrics);
    },
    close: async () => {
      stopProcess();
      await provider.shutdown();
    },
  };
}

/** Bounds of histograms: seconds of work for one client, and exchanges in one commit. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const SIZES = [1, 2, 4, 8, 16, 24, 32];

function instruments(meter: Meter): Omit<Metrics, 'scrape' | 'close'> {
  const requests = meter.createHistogram('writ_request_duration_seconds', {
    description:
      'Time from the first byte of a request to the last of its answer, by route, method and class of status',
    advice: { explicitBucketBoundaries: SECONDS },
  });
  const exchanges = meter.createCounter('writ_exchanges_total', {
    description: 'Token exchanges by outcome and reason',
  });
  const batchSize = meter.createHistogram('writ_commit_batch_size', {
    description: 'Exchanges in one commit',
    advice: { explicitBucketBoundaries: SIZES },
  });
  const batchTime = meter.createHistogram('writ_commit_duration_seconds', {
    description: 'Time of one commit',
    advice: { explicitBucketBoundaries: SECONDS },
  });
  const failures = meter.createCounter('writ_authentication_failures_total', {
    description: 'Failed client authentications by route and reason',
  });
  const personTokens = meter.createCounter('writ_person_tokens_total', {
    description: "Persons' access tokens issued by the code flow and by refreshing",
  });
  const opinions = meter.createHistogram('writ_decision_point_duration_seconds', {
    description: 'Time until a decision point beside ours was heard or given up, by point and outcome',
    advice: { explicitBucketBoundaries: SECONDS },
  });
  const circuits = meter.createGauge('writ_decision_point_open', {
    description: '1 while the circuit to a decision point is open, and whatever it decides on is refused',
  });
  const inputs = meter.createCounter('writ_decision_inputs_total', {
    description: 'What decisions looked at, kept for replay or dropped because the database was down or slow',
  });
  const told = meter.createCounter('writ_notices_total', {
    description: 'Messages to people who are asked, by kind of channel and what became of them',
  });
  const faults = meter.createCounter('writ_faults_total', { description: 'Outages and bugs by code' });
  const sequenced = meter.createCounter('writ_log_sequenced_total', {
    description: 'Records that this process put into the tree of the log',
  });
  const unsequenced = meter.createCounter('writ_log_failures_total', {
    description: 'Steps of the sequencer that failed and are tried again',
  });
  const pruned = meter.createCounter('writ_log_pruned_total', {
    description: 'Records whose content this process removed when their time was over',
  });
  const missed = meter.createCounter('writ_audit_webhook_missed_total', {
    description: 'Records that retention removed before the webhook of the log had taken them',
  });
  const followers = new Map<string, number>();
  meter
    .createObservableGauge('writ_log_follower_age_seconds', {
      description: 'How long ago the webhook, a witness or a copy of the log last had all that there was',
    })
    .addCallback((result) => {
      for (const [follower, atMs] of followers) result.observe((performance.now() - atMs) / 1_000, { follower });
    });
  const batches = meter.createCounter('writ_feed_batches_total', {
    description: 'Batches of the feed of revocations that were signed, by kind',
  });
  const cutOff = meter.createCounter('writ_feed_cut_off_total', {
    description: 'Followers of the feed that were cut off because they did not take what they were sent',
  });
  const interned = interning();
  return {
    ended: ({ method, route, status, seconds, isCut, notes }) => {
      const kind = isCut ? 'cut' : `${Math.floor(status / 100)}xx`;
      requests.record(seconds, interned(route, method, kind));
      if (route.endsWith('/token') && notes !== undefined)
        exchanges.add(1, { outcome: notes.outcome, reason: word(notes.reason ?? notes.outcome) });
    },
    committed: ({ size, seconds }) => {
      batchSize.record(size);
      batchTime.record(seconds);
    },
    authenticationFailed: ({ route, cause }) => {
      failures.add(1, { route, reason: word(cause) });
    },
    personTokenIssued: () => {
      personTokens.add(1);
    },
    opinionHeard: ({ point, outcome, seconds }) => {
      opinions.record(seconds, { point, outcome: word(outcome) });
    },
    circuitChanged: ({ point, isOpen }) => {
      circuits.record(isOpen ? 1 : 0, { point });
    },
    told: (kind, outcome) => {
      told.add(1, { kind: word(kind), outcome: word(outcome) });
    },
    inputs: (count, outcome) => {
      inputs.add(count, { outcome });
    },
    sequenced: (count) => {
      sequenced.add(count);
    },
    sequencingFailed: () => {
      unsequenced.add(1);
    },
    pruned: (records) => {
      pruned.add(records);
    },
    webhookMissed: (records) => {
      missed.add(records);
    },
    logFollower: (name) => {
      const isThrough = (): void => {
        followers.set(name, performance.now());
      };
      isThrough();
      return isThrough;
    },
    feed: {
      onBatch: (kind) => {
        batches.add(1, { kind });
      },
      onCutOff: () => {
        cutOff.add(1);
      },
    },
    faulted: (code) => {
      faults.add(1, { code: word(code) });
    },
  };
}

/** The labels of a request are few and come again and again. */
function interning(): (route: string, method: string, status: string) => Attributes {
  const known = new Map<string, Attributes>();
  return (route, method, status) => {
    const key = `${route} ${method} ${status}`;
    let attributes = known.get(key);
    if (attributes === undefined) {
      attributes = { route, method, status };
      if (known.size < 2_000) known.set(key, attributes);
    }
    return attributes;
  };
}

function observeState(meter: Meter, { registryVersion, queueLength, isReady, log, feed, database }: Sources): void {
  const gauge = (name: string, description: string, read: () => number, labels: Attributes = {}): void => {
    meter.createObservableGauge(name, { description }).addCallback((result) => {
      result.observe(read(), labels);
    });
  };
  gauge('writ_registry_version', 'Version of the registry that this process decides by', registryVersion);
  gauge('writ_commit_queue_length', 'Exchanges that wait for their commit', queueLength);
  gauge('writ_ready', '1 while /readyz answers 200', () => (isReady() ? 1 : 0));
  gauge('writ_log_size', 'Records in the tree of the log', () => log.size());
  gauge('writ_log_lag_seconds', 'How long the oldest record outside the tree of the log waits', () => log.lag());
  gauge('writ_log_halted', '1 while the log is inconsistent and exchanges are refused', () => (log.isHalted() ? 1 : 0));
  gauge('writ_feed_followers', 'Streams of the feed of revocations that are open', () => feed()?.followers ?? 0);
  gauge(
    'writ_feed_age_seconds',
    'How long ago the feed last read the database; 0 while nobody follows it',
    () => feed()?.age() ?? 0,
  );
  gauge('writ_info', 'Always 1', () => 1, { node: process.version, database });
}
