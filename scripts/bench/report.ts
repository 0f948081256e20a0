import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Results } from './measure.js';
import { tableOf } from './summary.js';

/** Writes one HTML file that needs nothing else: data, plots and the table. */
export function writeReport(file: string, results: Results, about: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, page(results, about));
}

function page(results: Results, about: string): string {
  const uplot = dirname(createRequire(import.meta.url).resolve('uplot/package.json'));
  const [script, style] = ['uPlot.iife.min.js', 'uPlot.min.css'].map((name) =>
    readFileSync(join(uplot, 'dist', name), 'utf8'),
  );
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Writ bench</title>
<style>${style ?? ''}
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 66rem; color: #1c2430; }
pre { background: #f4f6f8; padding: 1rem; overflow-x: auto; font-size: 13px; }
.plot { margin: 1.5rem 0; }
</style>
<h1>Writ bench</h1><p>${escaped(about)}</p><div id="plots"></div><pre>${escaped(tableOf(results))}</pre>
<script>${script ?? ''}</script>
<script>const results = ${JSON.stringify(results).replaceAll('<', '\\u003c')};${DRAW}</script></html>
`;
}

const DRAW = `
const add = (title, labels, series, data, more = {}) => {
  const box = document.createElement('div');
  box.className = 'plot';
  document.getElementById('plots').append(box);
  new uPlot({ title, width: 1000, height: 340, series: [{ label: labels.x, value: labels.name }, ...series],
    axes: [{ values: (u, ticks) => ticks.map((tick) => labels.tick(tick) ?? ''), ...(more.x ?? {}) }, { label: labels.y, size: 70 }],
    scales: { x: { time: false, ...(more.scale ?? {}) }, y: { range: (u, low, high) => [0, high * 1.1] } } }, data, box);
};
const bars = (colour) => ({ paths: uPlot.paths.bars({ size: [0.6, 60] }), fill: colour + '66', stroke: colour, points: { show: false } });
const names = results.figures.map(({ name }) => name);
const tick = (n) => Number.isInteger(n) ? names[n] : '';
const wide = { x: { rotate: -25, size: 90, splits: () => names.map((_, i) => i) }, scale: { range: [-0.6, names.length - 0.4] } };
const at = names.map((_, i) => i);
if (names.length > 0) {
  const label = (y) => ({ x: 'what', y, tick, name: (u, n) => names[n] });
  add('Answers per second on one core', label('1/s'), [{ label: '1/s', ...bars('#2563eb') }], [at, results.figures.map((f) => f.rate)], wide);
  add('CPU per answer', label('µs'), [{ label: 'µs', ...bars('#059669') }], [at, results.figures.map((f) => f.cpu)], wide);
  const dots = (label, colour) => ({ label, stroke: colour, paths: () => null, points: { show: true, size: 9, fill: colour } });
  add('Latency', label('ms'), [dots('p50 full', '#2563eb'), dots('p99 full', '#dc2626'), dots('p50 half', '#93c5fd'), dots('p99 half', '#fca5a5')],
    [at, ...[(f) => f.full.p50, (f) => f.full.p99, (f) => f.half.p50, (f) => f.half.p99].map((of) => results.figures.map(of))], wide);
}
if (results.growth.length > 1) {
  const label = { x: 'count', y: 'µs CPU', tick: (n) => n, name: (u, n) => n };
  add('CPU per exchange beside so many agents, servers and tools', label, [{ label: 'µs', stroke: '#059669', width: 2 }],
    [results.growth.map((g) => g.count), results.growth.map((g) => g.cpu)], { scale: { distr: 3 } });
}
`;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
