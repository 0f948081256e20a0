import type { ResolveHook } from 'node:module';

const STATEMENT = new URL('../../src/storage/commit-sql.js', import.meta.url).href;
const UNLOGGED = new URL('./unlogged-commit.js', import.meta.url).href;

/** Whoever wants the statement of the commit gets the one that records nothing. */
export const resolve: ResolveHook = async (specifier, context, next) => {
  const found = await next(specifier, context);
  return found.url === STATEMENT && context.parentURL !== UNLOGGED ? { ...found, url: UNLOGGED } : found;
};
