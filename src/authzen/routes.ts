import { clientRoute, jsonRoute, type Route } from '../http/index.js';
import { accessRequestEndpoint, cancelEndpoint, taskEndpoint } from './access-request.js';
import { type AuthzenDeps, evaluationEndpoint, evaluationsEndpoint } from './endpoint.js';
import { authzenMetadata, authzenMetadataPath, EVALUATION, EVALUATIONS, REQUESTS } from './metadata.js';

/** Everything of AuthZEN 1.0 that Writ serves. */
export function authzenRoutes(deps: AuthzenDeps, at: Parameters<typeof jsonRoute>[2]): readonly Route[] {
  const { issuer } = deps.settings;
  const mount = new URL(issuer).pathname.replace(/\/$/, '');
  const metadata = JSON.stringify(authzenMetadata(issuer));
  return [
    {
      method: 'GET',
      path: authzenMetadataPath(issuer),
      handle: (ctx) => {
        ctx.set({ 'Cache-Control': 'public, max-age=3600', 'Access-Control-Allow-Origin': '*' });
        ctx.body = metadata;
        ctx.type = 'application/json';
      },
    },
    jsonRoute(`${mount}${EVALUATION}`, (http, body) => evaluationEndpoint(http, body, deps), at),
    jsonRoute(`${mount}${EVALUATIONS}`, (http, body) => evaluationsEndpoint(http, body, deps), at),
    jsonRoute(`${mount}${REQUESTS}`, (http, body) => accessRequestEndpoint(http, body, deps), at),
    clientRoute('GET', `${mount}${REQUESTS}/:id`, (http, { id = '' }) => taskEndpoint(http, id, deps), at),
    clientRoute('POST', `${mount}${REQUESTS}/:id/cancel`, (http, { id = '' }) => cancelEndpoint(http, id, deps), at),
  ];
}
