/** No answer of a decision point is for a cache. */
export const HEADERS = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;
