// The peer: oidc-provider as it comes, its own memory for storage, a JWT by client_credentials and a client secret.
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';
import { RESOURCE } from './material.js';

const { port } = JSON.parse(process.argv[2] ?? '') as { port: number };
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kty: 'EC', alg: 'ES256', use: 'sig', kid: 'peer' }] },
  clients: [
    {
      client_id: 'peer',
      client_secret: 'peer-secret',
      grant_types: ['client_credentials'],
      id_token_signed_response_alg: 'ES256',
      redirect_uris: [],
      response_types: [],
    },
  ],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'files:read',
        audience: RESOURCE,
        accessTokenTTL: 180,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});
provider.listen(port, '127.0.0.1', () => {
  console.log('ready');
});
