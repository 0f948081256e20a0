export { Feed, type FeedDeps } from './feed.js';
export { feedPrefix, feedRoutes, type FeedRoutesDeps } from './routes.js';
export type { FeedRead, FeedReader, FeedWatch } from './ports.js';
