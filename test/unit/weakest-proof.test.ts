import { describe, expect, it } from '@jest/globals';
import { weakestProof } from '../../src/registry/index.js';
import { registeredAgent, registeredServer, registryOf } from '../support/clients.js';
import { ISS } from '../support/delegations.js';
import { makeKey } from '../support/writ.js';

const key = { method: 'private_key_jwt' as const, jwks: { keys: [makeKey('k').jwk] } };
const registry = registryOf({
  agents: [
    registeredAgent({ client_id: 'agt_key', authentication: key }),
    registeredAgent({ client_id: 'agt_basic' }),
    registeredAgent({ client_id: 'agt_post', authentication: { method: 'client_secret_post' } }),
  ],
  servers: [registeredServer({ client_id: 'srv_key', authentication: key })],
});
const chain = (...subs: string[]): { sub: string; iss: string }[] => subs.map((sub) => ({ sub, iss: ISS }));

describe('the weakest link of a chain of actors', () => {
  it.each([
    ['an agent with a key', chain('agt_key'), 'private_key_jwt'],
    ['an instance of it, and a server with a key', chain('agt_key/blue', 'srv_key'), 'private_key_jwt'],
    ['an agent with a secret', chain('agt_basic'), 'client_secret'],
    ['a secret behind a key', chain('agt_key', 'agt_post'), 'client_secret'],
    ['a key behind a secret', chain('agt_post', 'agt_key'), 'client_secret'],
    ['nobody', [], undefined],
    ['somebody who is not registered', chain('agt_key', 'agt_gone'), undefined],
    ['an actor of another issuer, whatever its name', [{ sub: 'agt_key', iss: 'https://idp.example' }], undefined],
  ])('is, of %s, what the registry says', (_who, actors, proof) => {
    expect(weakestProof(actors, registry, ISS)).toBe(proof);
  });
});
