import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import { RS1, startWorld, type World } from '../support/world.js';
import { startTestWrit } from '../support/writ.js';

let world: World;
let token: string;
beforeAll(async () => {
  world = await startWorld();
  token = ((await world.exchange()).body as { access_token: string }).access_token;
});
afterAll(() => world.close());

/** The same token with one bit of its `iat` turned: still JSON, and nobody signed it. */
const altered = (): string => {
  const [header = '', , signature = ''] = token.split('.');
  const claims = decodeJwt(token);
  const payload = Buffer.from(JSON.stringify({ ...claims, iat: (claims.iat ?? 0) ^ 1 })).toString('base64url');
  return [header, payload, signature].join('.');
};

describe('jose, which knows the address of the keys and nothing else', () => {
  const options = { audience: RS1, typ: 'txnat+jwt', algorithms: ['ES256'] };
  const keys = (issuer: string) => createRemoteJWKSet(new URL(`${issuer}/jwks`));

  it('verifies a token', async () => {
    const { payload, protectedHeader } = await jwtVerify(token, keys(world.issuer), options);
    expect(payload).toEqual(decodeJwt(token));
    expect(protectedHeader).toEqual({ alg: 'ES256', kid: expect.any(String), typ: 'txnat+jwt' });
  });

  it('refuses it for another server, altered, and by the keys of another deployment', async () => {
    await expect(
      jwtVerify(token, keys(world.issuer), { ...options, audience: 'https://mcp2.example' }),
    ).rejects.toMatchObject({ code: 'ERR_JWT_CLAIM_VALIDATION_FAILED', claim: 'aud' });
    await expect(jwtVerify(altered(), keys(world.issuer), options)).rejects.toMatchObject({
      code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
    });
    const other = await startTestWrit({ kind: 'embedded' });
    await expect(jwtVerify(token, keys(other.issuer), options)).rejects.toMatchObject({
      code: 'ERR_JWKS_NO_MATCHING_KEY',
    });
    await other.close();
  });
});

const PYTHON = process.env['WRIT_TEST_PYTHON'] ?? 'python3';
const found = spawnSync(PYTHON, ['-c', 'import jwt, cryptography'], { encoding: 'utf8' });
const VERIFY = `
import json, sys, jwt
url, audience, token = sys.argv[1:]
try:
    key = jwt.PyJWKClient(url).get_signing_key_from_jwt(token)
    print(json.dumps(jwt.decode(token, key.key, algorithms=["ES256"], audience=audience)))
except jwt.PyJWTError as error:
    print(json.dumps({"refused": type(error).__name__}))
`;

/** Not in our own turn of the event loop: Writ, which is in this process, has to answer for its keys. */
const readByPython = async (audience: string, text: string): Promise<unknown> => {
  const { stdout } = await promisify(execFile)(PYTHON, ['-c', VERIFY, `${world.issuer}/jwks`, audience, text]);
  return JSON.parse(stdout);
};

if (found.status === 0) {
  describe('PyJWT, another language’s library', () => {
    it('verifies a token by the published keys, and refuses it for another server and altered', async () => {
      expect(await readByPython(RS1, token)).toEqual(decodeJwt(token));
      expect(await readByPython('https://mcp2.example', token)).toEqual({ refused: 'InvalidAudienceError' });
      expect(await readByPython(RS1, altered())).toEqual({ refused: 'InvalidSignatureError' });
    });
  });
} else {
  process.stderr.write(
    `${PYTHON} has no PyJWT with cryptography: that reader was left out. WRIT_TEST_PYTHON may name another.\n`,
  );
}
