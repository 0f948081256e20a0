import { rotationEndpoint, type RotationDeps } from './client/index.js';
import type { Config } from './config/index.js';
import { type ReportDeps, reportsEndpoint } from './drift/index.js';
import {
  type DeferredDeps,
  deferredTokenEndpoint,
  type TokenExchangeDeps,
  tokenExchangeEndpoint,
} from './exchange/index.js';
import {
  type DirectRoute,
  type FormRoute,
  formRoute,
  type HttpContext,
  networkOf,
  type Route,
  sendKeys,
} from './http/index.js';
import { introspectionEndpoint, revocationEndpoint, type RevocationDeps } from './introspection/index.js';
import { companySignOut, type CompanySignOutDeps, type Engine } from './oauth/index.js';
import {
  DEFERRAL_CODE,
  DEFERRED_GRANT,
  type FormRequest,
  KEY_ROTATION_PATH,
  TOKEN_EXCHANGE_GRANT,
} from './protocol/index.js';
import type { LiveKeyRing } from './token/index.js';

type Facts = Readonly<{
  config: Config;
  keys: LiveKeyRing;
  report: (thrown: unknown, requestId?: string) => void;
}>;

/** What answers our own OAuth routes. */
export type OAuthParts = Readonly<{
  engine: Engine;
  exchange: TokenExchangeDeps;
  /** `undefined` where exchanges do not wait for people. */
  deferred: DeferredDeps | undefined;
  introspection: RevocationDeps & ReportDeps;
  rotation: RotationDeps;
  companySignOuts: Omit<CompanySignOutDeps, 'signIn'>;
}>;

/**
 * Our own routes, before the engine: the exchange, and everything about the tokens that we sign ourselves. `forms` are
 * those that are asked all the time.
 */
export function oauthRoutes(
  { config, keys, report }: Facts,
  { engine, exchange, deferred, introspection, rotation, companySignOuts }: OAuthParts,
): Readonly<{ forms: readonly DirectRoute[]; others: readonly Route[] }> {
  const at = (path: string): string => `${mountOf(config)}${path}`;
  const otherwise = async (ctx: HttpContext, raw: string): Promise<void> => {
    ctx.respond = false;
    await engine.handle(Object.assign(ctx.req, { body: raw }), ctx.res);
  };
  const isExchange = ({ form }: FormRequest): boolean => form.get('grant_type')?.[0] === TOKEN_EXCHANGE_GRANT;
  const isPoll = ({ form }: FormRequest): boolean =>
    deferred !== undefined && form.get('grant_type')?.[0] === DEFERRED_GRANT;
  // RFC 7009: what has the form of a JWT is ours, the engine's refresh tokens have no dots.
  const isJwt = ({ form }: FormRequest): boolean => (form.get('token')?.[0] ?? '').includes('.');
  const always = (): boolean => true;
  const token: FormRoute = {
    ours: (request) => isExchange(request) || isPoll(request),
    handle: (request) =>
      deferred !== undefined && isPoll(request)
        ? deferredTokenEndpoint(request, deferred)
        : tokenExchangeEndpoint(request, exchange),
    otherwise,
  };
  const reports: FormRoute = {
    ours: always,
    handle: (request) => reportsEndpoint(request, introspection),
    otherwise,
  };
  const rotate: FormRoute = { ours: always, handle: (request) => rotationEndpoint(request, rotation), otherwise };
  const introspect: FormRoute = {
    ours: always,
    handle: (request) => introspectionEndpoint(request, introspection),
    otherwise,
  };
  const revoke: FormRoute = {
    ours: (request) => isJwt(request) || isHandle(request) || isDeferralCode(request),
    handle: (request) => revocationEndpoint(request, introspection),
    otherwise,
  };
  const jwks: Route['handle'] = (ctx) => {
    sendKeys(ctx, keys.published, keys.isFresh() ? config.lifetimes.keyCacheSeconds : 0);
  };
  const deps = { report, networkOf: networkOf(config.trustedProxies) };
  const forms = [
    formRoute(at('/token'), token, deps),
    formRoute(at('/introspect'), introspect, deps),
    formRoute(at('/tools/v1/reports'), reports, deps),
    formRoute(at('/revoke'), revoke, deps),
    formRoute(at(KEY_ROTATION_PATH), rotate, deps),
  ];
  const signOuts = [...engine.signIns].map(([id, signIn]) => {
    const handle: FormRoute['handle'] = (request) => companySignOut(request, { ...companySignOuts, signIn });
    return formRoute(at(`/sign-out/${id}`), { ours: always, handle, otherwise }, deps);
  });
  return { forms, others: [{ method: 'GET', path: at('/jwks'), handle: jwks }, ...signOuts] };
}

const mountOf = ({ issuer }: Config): string => new URL(issuer).pathname.replace(/\/$/, '');

const isDeferralCode: FormRoute['ours'] = ({ form }) => DEFERRAL_CODE.test(form.get('token')?.[0] ?? '');

/** A transaction handle; the opaque tokens of the engine have 43 characters. */
const isHandle: FormRoute['ours'] = ({ form }) => /^[\w-]{128,}$/.test(form.get('token')?.[0] ?? '');
