import type { JsonObject } from '../protocol/index.js';

/** Below the issuer's own path, as AuthZEN 1.0 names the defaults. */
export const EVALUATION = '/access/v1/evaluation';
export const EVALUATIONS = '/access/v1/evaluations';
export const REQUESTS = '/access/v1/requests';

/** AuthZEN 1.0, metadata. What is not here is not served: there is no search. */
export const authzenMetadata = (issuer: string): JsonObject => ({
  policy_decision_point: issuer,
  access_evaluation_endpoint: `${issuer}${EVALUATION}`,
  access_evaluations_endpoint: `${issuer}${EVALUATIONS}`,
  access_request_endpoint: `${issuer}${REQUESTS}`,
  capabilities: ['urn:openid:authzen:capability:access-request'],
  supported_obligations: ['step-up'],
});

/** RFC 8615: the well-known part goes between host and path. */
export function authzenMetadataPath(issuer: string): string {
  const { pathname } = new URL(issuer);
  return `/.well-known/authzen-configuration${pathname === '/' ? '' : pathname}`;
}
