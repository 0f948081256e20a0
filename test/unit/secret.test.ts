import { scryptSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { DUMMY_SECRET_HASH, hashSecret, verifySecret } from '../../src/client/index.js';

describe('secrets', () => {
  it('are kept as salted scrypt text that verifies the secret and nothing else', async () => {
    const [one, two] = await Promise.all([hashSecret('correct horse'), hashSecret('correct horse')]);
    expect(one).toMatch(/^scrypt\$16384\$8\$1\$[\w-]{22}\$[\w-]{43}$/);
    expect(two).not.toBe(one);
    expect(await verifySecret('correct horse', one)).toBe(true);
    expect(await verifySecret('correct horse', two)).toBe(true);
    expect(await verifySecret('correct horsf', one)).toBe(false);
    expect(await verifySecret('', one)).toBe(false);
  });

  it('verify against a hash that another program made with other costs and another salt', async () => {
    const hash = scryptSync('pleaseletmein', 'SodiumChlorideSalt', 32, { N: 1024, r: 8, p: 2 }).toString('base64url');
    const stored = `scrypt$1024$8$2$${Buffer.from('SodiumChlorideSalt').toString('base64url')}$${hash}`;
    expect(await verifySecret('pleaseletmein', stored)).toBe(true);
    expect(await verifySecret('pleaseletmein', stored.replace('$1024$', '$2048$'))).toBe(false);
  });

  const unreadable = [
    undefined,
    '',
    'plain',
    DUMMY_SECRET_HASH,
    `bcrypt$16384$8$1$${'A'.repeat(22)}$${'A'.repeat(43)}`,
    `scrypt$16385$8$1$${'A'.repeat(22)}$${'A'.repeat(43)}`,
    `scrypt$1048576$99$9$${'A'.repeat(22)}$${'A'.repeat(43)}`,
    `scrypt$16384$0$1$${'A'.repeat(22)}$${'A'.repeat(43)}`,
    `scrypt$16384$8$0$${'A'.repeat(22)}$${'A'.repeat(43)}`,
  ];
  it.each(unreadable)('never match %s', async (stored) => {
    expect(await verifySecret('x', stored)).toBe(false);
  });

  it('verify against the least costs, and against nothing but the whole text of a hash', async () => {
    const salt = Buffer.alloc(16, 7);
    const hash = scryptSync('x', salt, 32, { N: 1024, r: 1, p: 1 }).toString('base64url');
    const stored = `scrypt$1024$1$1$${salt.toString('base64url')}$${hash}`;
    const texts = [stored, `x${stored}`, `${stored}x`, `${stored}\n`, stored.replace('scrypt', 'Scrypt')];
    expect(await Promise.all(texts.map((text) => verifySecret('x', text)))).toEqual([true, false, false, false, false]);
  });

  it('are all answered when many are tried at once', async () => {
    const stored = await hashSecret('right');
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) => verifySecret(n % 3 === 0 ? 'right' : 'wrong', stored)),
    );
    expect(answers).toEqual(Array.from({ length: 12 }, (_, n) => n % 3 === 0));
  });

  it('RL-08 wait in a line of bounded length; the rest is told to come back', async () => {
    const tries = await Promise.allSettled(Array.from({ length: 80 }, () => verifySecret('x', undefined)));
    const refused = tries.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    expect(refused).toHaveLength(80 - 2 - 32);
    for (const reason of refused) expect(reason).toMatchObject({ name: 'Fault', code: 'overloaded' });
    expect(await verifySecret('x', undefined)).toBe(false);
  });
});
