import type { Drift } from './ports.js';
import type { Known } from './record.js';
import type { Refusal } from './refusal.js';

type Sighting = Parameters<Drift['seen']>[0];

/** TL-01: what an agent itself was shown counts; a pin that its subject token has from earlier says nothing new. */
export function sightingOf(
  refusal: Refusal,
  { caller, request }: Pick<Known, 'caller' | 'request'>,
): Sighting | undefined {
  if (!('reason' in refusal) || refusal.reason !== 'tool_changed' || caller.party.kind !== 'agent') return undefined;
  if (request?.wanted.target.kind !== 'server') return undefined;
  const shown = request.wanted.tools?.find(({ name }) => name === refusal.tool)?.definitionSha256;
  if (shown !== refusal.seen) return undefined;
  return { resource: request.wanted.target.resource, tool: refusal.tool, sha256: shown, by: caller.clientId };
}
