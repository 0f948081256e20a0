import { reviewedTool, type ReviewedTool } from '../../scripts/reviewed-tool.js';

export { reviewedTool };

/** The pin of a fixture's definition: what its details in tokens and answers carry. */
export const pinOf = (name: string, described: Pick<ReviewedTool, 'inputSchema' | 'description'> = {}): string =>
  reviewedTool(name, { scopes: ['any'], tier: 'low', action: 'read', ...described }).reviewed ?? '';
