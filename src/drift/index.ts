export { type DriftDeps, markChanged } from './mark-changed.js';
export { type ReportDeps, reportsEndpoint } from './reports.js';
