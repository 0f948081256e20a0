/** The library's state of one provider: not public, so that one file alone reads it (library.ts). */
declare module 'oidc-provider/lib/helpers/weak_cache.js' {
  export default function instance(provider: object): { responseModes: Map<string, unknown> };
}
