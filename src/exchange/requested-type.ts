import { err, ok, type Result } from '../base/index.js';
import { TokenType } from '../protocol/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import type { Refusal } from './refusal.js';
import type { ExchangeRequest } from './request.js';

/** Txn-AT draft section 4 and RFC 8693 section 2.1: the type that was asked for must be what this target gets. */
export function checkRequestedType(
  { requestedType, wanted }: ExchangeRequest,
  registry: RegistrySnapshot,
): Result<null, Refusal> {
  if (requestedType === undefined) return ok(null);
  const fits = typeFor(wanted.target, registry);
  return fits === undefined || fits === requestedType ? ok(null) : err({ reason: 'requested_type_does_not_fit', fits });
}

function typeFor(target: ExchangeRequest['wanted']['target'], registry: RegistrySnapshot): TokenType | undefined {
  switch (target.kind) {
    case 'domain':
      return TokenType.txnToken;
    case 'agent':
      return TokenType.accessToken;
    case 'server': {
      const shape = registry.serverByResource(target.resource)?.token_shape;
      return shape === undefined ? undefined : shape === 'at+jwt' ? TokenType.accessToken : TokenType.txnAccessToken;
    }
  }
}
