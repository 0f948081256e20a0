import type { AcceptedToken, TrustedIssuer } from './issuer.js';

/** The `typ` by which a token of this kind is known: none where it may say nothing or the general `jwt`. */
export const typOf = ({ typ }: Pick<AcceptedToken, 'typ'>): string | undefined =>
  typ === null || typ === 'jwt' ? undefined : typ;

/** Who brought a token of a trusted issuer, the one audience that it has, and its `azp` and `client_id`. */
export type Naming = Readonly<{ agent: string; audience: string; parties: readonly string[] }>;

/**
 * TE-13: the one audience is us, a name of ours that the issuer uses, or the agent that brought it. TX-05: an ID token or access
 * token that was issued to another client of that issuer is not the agent's to bring.
 */
export function namesUs(
  { agent, audience, parties }: Naming,
  { agents, client_ids: clientIds }: Pick<TrustedIssuer, 'agents' | 'client_ids'>,
  ours: readonly string[],
): boolean {
  const isCaller = (name: string): boolean =>
    name === agent || (Object.hasOwn(clientIds, name) && clientIds[name] === agent);
  const isAnother = (party: string): boolean =>
    (Object.hasOwn(clientIds, party) || agents.includes(party)) && !isCaller(party);
  return !parties.some(isAnother) && (ours.includes(audience) || isCaller(audience));
}
