import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Results } from './measure.js';
import { tableOf, VERIFIERS } from './summary.js';

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
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Writ bench</title>
<style>${style ?? ''}
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 66rem; color: #1c2430; }
h1 { margin: 0; }
pre { background: #f4f6f8; padding: 1rem; overflow-x: auto; font-size: 13px; border-radius: 6px; }
.plot { margin: 2rem 0; }
.u-title { font-size: 16px; text-align: left; }
.u-legend { font-size: 13px; }
.u-inline.u-live th::after { content: ''; }
</style>
<h1>Writ bench</h1><p>${escaped(about)}</p><div id="plots"></div><pre>${escaped(tableOf(results))}</pre>
<script>${script ?? ''}</script>
<script>const results = ${JSON.stringify(results).replaceAll('<', '\\u003c')};${DRAW}</script></html>
`;
}

/** Plots as wide as the page. Names stand below the bars where there is room, else upright. */
const DRAW = `
const plots = document.getElementById('plots');
const width = () => Math.min(1000, plots.clientWidth);
const drawn = [];
addEventListener('resize', () => drawn.forEach((plot) => plot.setSize({ width: width(), height: plot.height })));
const add = (title, { x, y, series, data, height = 340, scale = {} }) => {
  const box = document.createElement('div');
  box.className = 'plot';
  plots.append(box);
  drawn.push(new uPlot({ title, width: width(), height, series, scales: { x: { time: false, ...scale },
    y: { range: (u, low, high) => [0, Math.max(high, 1e-3) * 1.1] } }, axes: [x, { label: y, size: 64 }] }, data, box));
};
const bar = (label, colour, align = 0) => ({ label, paths: uPlot.paths.bars({ size: [align === 0 ? 0.6 : 0.34, 60], align }),
  fill: colour + '66', stroke: colour, points: { show: false }, value: (u, v) => v == null ? '' : v >= 100 ? v.toFixed(0) : v.toFixed(1) });
/** One bar, or one dot of each kind, for each name. */
const named = (title, y, names, series, rows) => {
  if (names.length === 0) return;
  const at = names.map((_, i) => i);
  const longest = Math.max(...names.map((name) => name.length));
  const upright = (width() - 80) / names.length < longest * 7.5;
  const x = { splits: () => at, values: () => names, grid: { show: false }, gap: 6, font: '12px system-ui, sans-serif',
    ...(upright ? { rotate: -90, size: 16 + longest * 6.6 } : { size: 40 }) };
  add(title, { x, y, height: upright ? 300 + longest * 6.6 : 340, scale: { range: [-0.6, names.length - 0.4] },
    series: [{ label: 'of', value: (u, n) => names[n] ?? '' }, ...series], data: [at, ...rows] });
};
const { figures, growth, decision, connect, verify } = results;
const names = figures.map(({ name }) => name);
named('Answers per second on one core', '1/s', names, [bar('1/s', '#2563eb')], [figures.map((f) => f.rate)]);
named('CPU per answer', 'µs', names, [bar('µs', '#059669')], [figures.map((f) => f.cpu)]);
const dots = (label, colour) => ({ label, stroke: colour, paths: () => null, points: { show: true, size: 9, fill: colour },
  value: (u, v) => v == null ? '' : v.toFixed(1) });
named('Latency', 'ms', names,
  [dots('p50 full', '#2563eb'), dots('p99 full', '#dc2626'), dots('p50 half', '#93c5fd'), dots('p99 half', '#fca5a5')],
  [(f) => f.full.p50, (f) => f.full.p99, (f) => f.half.p50, (f) => f.half.p99].map((of) => figures.map(of)));
named('128 clients that connect at once', 'ms', connect.map(({ name }) => name), [dots('p50', '#2563eb'), dots('p99', '#dc2626')],
  [connect.map((c) => c.p50), connect.map((c) => c.p99)]);
const verifiers = ${JSON.stringify(VERIFIERS)};
if (verify) named('Verifying one token', 'µs', Object.keys(verify).map((name) => verifiers[name] ?? name), [bar('µs', '#059669')], [Object.values(verify)]);
named('One decision, half of them within', 'µs', decision.map((d) => d.policies + ' policies'),
  [dots('ours, varied', '#2563eb'), dots('bare Cedar', '#f59e0b'), dots('ours, repeating', '#059669')],
  [decision.map((d) => d.varied.p50), decision.map((d) => d.bare.p50), decision.map((d) => d.repeating.p50)]);
if (growth.length > 1)
  add('CPU per exchange beside so many agents, servers and tools', { x: {}, y: 'µs', scale: { distr: 3 },
    series: [{ label: 'count' }, { label: 'µs', stroke: '#059669', width: 2, points: { show: true } }],
    data: [growth.map((g) => g.count), growth.map((g) => g.cpu)] });
`;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
