import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Meter } from '@opentelemetry/api';

/** CPU, memory, open files and the delay of the event loop, under the names that Prometheus clients have for them. */
export function observeProcess(meter: Meter): () => void {
  meter
    .createObservableCounter('process_cpu_seconds_total', { description: 'CPU time of this process' })
    .addCallback((result) => {
      const { user, system } = process.cpuUsage();
      result.observe((user + system) / 1e6);
    });
  const started = performance.timeOrigin / 1000;
  const gauges = [
    meter.createObservableGauge('process_start_time_seconds', { description: 'Start of this process since 1970' }),
    meter.createObservableGauge('process_resident_memory_bytes', { description: 'Resident memory' }),
    meter.createObservableGauge('nodejs_heap_size_used_bytes', { description: 'Heap of JavaScript in use' }),
    meter.createObservableGauge('nodejs_external_memory_bytes', { description: 'Memory of buffers and WebAssembly' }),
    meter.createObservableGauge('process_open_fds', { description: 'Open files and connections' }),
  ] as const;
  meter.addBatchObservableCallback(
    (result) => {
      const { rss, heapUsed, external } = process.memoryUsage();
      for (const [i, value] of [started, rss, heapUsed, external, openFiles()].entries()) {
        const gauge = gauges[i];
        if (gauge !== undefined && value !== undefined) result.observe(gauge, value);
      }
    },
    [...gauges],
  );
  return observeEventLoop(meter);
}

/** Since the last reading: half of the turns were late by less than p50, one in a hundred by more than p99. */
function observeEventLoop(meter: Meter): () => void {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  const gauge = meter.createObservableGauge('nodejs_eventloop_delay_seconds', {
    description: 'How late the event loop was since the last reading, by quantile',
  });
  gauge.addCallback((result) => {
    for (const quantile of [50, 99, 100])
      result.observe(delay.percentile(quantile) / 1e9, { quantile: String(quantile / 100) });
    delay.reset();
  });
  return () => {
    delay.disable();
  };
}

/** Where the system has no /proc there is no figure. */
function openFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return undefined;
  }
}
