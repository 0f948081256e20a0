import type { Caller } from '../client/index.js';
import type { Delegation } from '../delegation/index.js';
import { feedTarget } from '../protocol/index.js';
import type { PreparedToken } from '../token/index.js';

/** Who acts and for whom: whoever of them is cut off takes with them what was got before. */
export function actingIn({ actors, presenter }: Delegation, personId: string, issuer: string): readonly string[] {
  const ours = actors.filter(({ iss }) => iss === issuer).map(({ sub }) => sub);
  return [feedTarget.person(personId), ...new Set([presenter.clientId, ...ours].map(feedTarget.agent))];
}

/** Where a token is good, and for what. */
export function marksOf({ grant: { audience, details } }: PreparedToken): readonly string[] {
  const tools = details?.map(({ identifier }) => feedTarget.tool(audience, identifier)) ?? [];
  return [feedTarget.server(audience), ...tools];
}

/** The key that the caller proved who it is with: once that is revoked, nothing that was got with it is good. */
export const keysOf = ({ keyThumbprint }: Caller): readonly string[] =>
  keyThumbprint === undefined ? [] : [`agent-key:${keyThumbprint}`];
