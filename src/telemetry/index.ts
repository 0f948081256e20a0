export { type Log, type LogLevel, openLog } from './log.js';
export { type FeedFigures, type LogFigures, type Metrics, openMetrics, type Sources } from './metrics.js';
export { type DescribedThrown, describeThrown } from './thrown.js';
export { openTraces, type Traces } from './traces.js';
