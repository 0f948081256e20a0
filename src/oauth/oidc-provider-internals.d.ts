/** The library's state of one provider: not public, so that one file alone reads it (library.ts). */
declare module 'oidc-provider/lib/helpers/weak_cache.js' {
  import type { KoaContextWithOIDC } from 'oidc-provider';
  export default function instance(provider: object): {
    responseModes: Map<string, unknown>;
    grantTypeHandlers: Map<string, (context: KoaContextWithOIDC) => Promise<void>>;
  };
}
