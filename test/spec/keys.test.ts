import { describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../src/config/index.js';
import { startWrit } from '../../src/server.js';
import { databaseKinds } from '../support/databases.js';
import { ADMIN_TOKEN, request, startTestWrit } from '../support/writ.js';

describe.each(databaseKinds)('signing keys (%s)', (kind) => {
  it('RFC 7517 are published with kid, alg and use, without a private member, and for caches', async () => {
    const writ = await startTestWrit({ kind });
    try {
      const answer = await request(`${writ.issuer}/jwks`, {});
      expect(answer.body).toEqual({
        keys: [
          {
            kty: 'EC',
            crv: 'P-256',
            x: expect.any(String),
            y: expect.any(String),
            kid: expect.any(String),
            alg: 'ES256',
            use: 'sig',
          },
        ],
      });
      expect(answer.headers.get('content-type')).toBe('application/jwk-set+json');
      expect(answer.headers.get('cache-control')).toBe('public, max-age=600, stale-if-error=3600');
      const again = await request(`${writ.issuer}/jwks`, {
        headers: { 'if-none-match': answer.headers.get('etag') ?? '' },
      });
      expect(again.status).toBe(304);
    } finally {
      await writ.close();
    }
  });

  it('outlive a restart, and do not open with another encryption key', async () => {
    const first = await startTestWrit({ kind, env: { WRIT_KEY_ENCRYPTION_KEY: KEY } });
    const before = (await request(`${first.issuer}/jwks`, {})).text;
    await first.writ.close();
    const env = {
      WRIT_ISSUER: first.issuer,
      WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
      WRIT_DATA_DIR: first.config.dataDir,
      ...(first.config.databaseUrl === undefined ? {} : { DATABASE_URL: first.config.databaseUrl }),
    };
    const other = loadConfig({ ...env, WRIT_KEY_ENCRYPTION_KEY: OTHER }, () => undefined);
    const same = loadConfig({ ...env, WRIT_KEY_ENCRYPTION_KEY: KEY }, () => undefined);
    if (!other.ok || !same.ok) throw new Error('the configuration is refused');
    await expect(startWrit(other.value)).rejects.toMatchObject({ code: 'keys_unavailable' });
    const second = await startWrit(same.value);
    expect((await request(`${first.issuer}/jwks`, {})).text).toBe(before);
    await second.close();
  });
});

const KEY = Buffer.from('0123456789abcdefghijklmnopqrstuv').toString('base64');
const OTHER = Buffer.from('vutsrqponmlkjihgfedcba9876543210').toString('base64');
