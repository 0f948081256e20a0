import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../src/base/index.js';
import { sha256 } from '../../src/protocol/index.js';
import {
  type Database,
  openChallenges,
  openDatabase,
  openHeldPasskeys,
  openInvitations,
  openLocalAccounts,
  openPasswords,
  openPersonNames,
  openRecoveryCodes,
} from '../../src/storage/index.js';
import { databaseKinds, freshDatabase, type TestDatabase } from '../support/databases.js';

const ISSUER = 'https://writ.example';
const ROUNDS = 25;
const OURS = { issuer: ISSUER, clock: systemClock };

const passkey = () => ({
  id: randomBytes(32).toString('base64url'),
  publicKey: new Uint8Array([1, 2, 3]),
  counter: 0,
  transports: ['internal'],
  mayBeCopied: true,
  isBackedUp: true,
});

/** Two replicas where a server lets them be; the embedded database has one process, so there it is two requests. */
describe.each(databaseKinds)('of two at once (%s)', (kind) => {
  let fresh: TestDatabase;
  let replicas: readonly [Database, Database];
  beforeAll(async () => {
    fresh = await freshDatabase(kind);
    replicas = [fresh.database, kind === 'server' ? await openDatabase(fresh.options) : fresh.database];
  });
  afterAll(async () => {
    if (replicas[1] !== fresh.database) await replicas[1].close();
    await fresh.drop();
  });

  const invite = async (): Promise<{ person: string; tokenHash: string }> => {
    const invitations = openInvitations(fresh.database, { issuer: ISSUER, clock: systemClock });
    const { token, person } = await invitations.invite({ name: 'Ada' }, 'test');
    return { person: person.id, tokenHash: sha256(token) };
  };

  it('a link of an invitation makes one passkey', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { tokenHash, person } = await invite();
      const won = await Promise.all(
        replicas.map((database) => openLocalAccounts(database, systemClock).enrol(tokenHash, passkey())),
      );
      expect(won.toSorted()).toEqual(['done', 'over']);
      expect(await fresh.database.prisma.passkey.count({ where: { personId: person } })).toBe(1);
    }
  });

  it('a passkey is made for one of them by two links, and the link of the other stays good', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const [one, other] = [await invite(), await invite()];
      const same = passkey();
      const won = await Promise.all(
        [one, other].map(({ tokenHash }, n) =>
          openLocalAccounts(replicas[n] ?? replicas[0], systemClock).enrol(tokenHash, same),
        ),
      );
      expect(won.toSorted()).toEqual(['done', 'taken']);
      const loser = won[0] === 'taken' ? one : other;
      expect(await openLocalAccounts(replicas[0], systemClock).enrol(loser.tokenHash, passkey())).toBe('done');
    }
  });

  it('an invitation makes the person with the link and both records, or nothing', async () => {
    const { prisma } = fresh.database;
    const people = (): Promise<number> => prisma.person.count();
    const before = await people();
    const { person } = await invite();
    expect(await people()).toBe(before + 1);
    const leaves = await prisma.$queryRawUnsafe(
      `SELECT convert_from(leaf, 'UTF8')::jsonb #>> '{facts,what}' AS what FROM log_leaf
       WHERE convert_from(leaf, 'UTF8')::jsonb #>> '{facts,person}' = $1 ORDER BY id`,
      person,
    );
    expect(leaves).toEqual([{ what: 'met' }, { what: 'invited' }]);
    await prisma.$executeRawUnsafe('ALTER TABLE enrolment RENAME TO enrolment_away');
    await expect(invite()).rejects.toThrow();
    await prisma.$executeRawUnsafe('ALTER TABLE enrolment_away RENAME TO enrolment');
    expect(await people()).toBe(before + 1);
  });

  it('a challenge is answered to one of them, with what it was made for', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const challenge = randomUUID();
      await openChallenges(replicas[0]).keep(challenge, 'a sign-in', 60);
      const taken = await Promise.all(replicas.map((database) => openChallenges(database).take(challenge)));
      expect(taken.filter((purpose) => purpose !== undefined)).toEqual(['a sign-in']);
    }
  });

  it('a challenge that is over is answered to nobody', async () => {
    const challenge = randomUUID();
    await openChallenges(replicas[0]).keep(challenge, 'a sign-in', -1);
    expect(await openChallenges(replicas[1]).take(challenge)).toBeUndefined();
  });

  it('a counter is good for one of them, and one that stays 0 for both', async () => {
    const { tokenHash } = await invite();
    const key = passkey();
    const accounts = replicas.map((database) => openLocalAccounts(database, systemClock));
    await accounts[0]?.enrol(tokenHash, key);
    const use = (counter: number): Promise<readonly boolean[]> =>
      Promise.all(accounts.map((one) => one.used(key.id, { counter, isBackedUp: false })));
    expect(await use(0)).toEqual([true, true]);
    for (let counter = 1; counter <= ROUNDS; counter++) expect((await use(counter)).toSorted()).toEqual([false, true]);
    expect(await use(0)).toEqual([false, false]);
    expect((await accounts[1]?.passkey(key.id))?.passkey).toEqual({ ...key, counter: ROUNDS, isBackedUp: false });
  });

  it('a recovery code opens one link', async () => {
    const codes = replicas.map((database) => openRecoveryCodes(database, { issuer: ISSUER, clock: systemClock }));
    const { tokenHash, person } = await invite();
    await openLocalAccounts(fresh.database, systemClock).enrol(tokenHash, passkey());
    const { prisma } = fresh.database;
    for (let round = 0; round < ROUNDS; round++) {
      const [code, ...links] = [randomUUID(), randomUUID(), randomUUID()].map(sha256);
      await prisma.$executeRawUnsafe('INSERT INTO recovery_code (code_hash, person_id) VALUES ($1, $2)', code, person);
      const won = await Promise.all(codes.map((one, n) => one.spend(code ?? '', links[n] ?? '')));
      expect(won.toSorted()).toEqual([false, true]);
      const open = await prisma.enrolment.findMany({ where: { personId: person, usedAt: null } });
      expect(open.map((one) => one.tokenHash)).toEqual([links[won.indexOf(true)]]);
    }
    expect(await codes[0]?.left(person)).toBe(0);
  });

  it('recovery codes are those of one of two that are made at once, and none where the sign-in has ended', async () => {
    const codes = replicas.map((database) => openRecoveryCodes(database, { issuer: ISSUER, clock: systemClock }));
    const { tokenHash, person } = await invite();
    await openLocalAccounts(fresh.database, systemClock).enrol(tokenHash, passkey());
    const { prisma } = fresh.database;
    const uid = randomUUID();
    await prisma.engineRecord.create({ data: { key: uid, model: 'Session', uid, payload: { accountId: person } } });
    const sets = [0, 1].map(() => Array.from({ length: 10 }, () => sha256(randomUUID())));
    for (let round = 0; round < ROUNDS; round++) {
      const made = await Promise.all(codes.map((one, n) => one.replace({ person, uid }, sets[n] ?? [])));
      expect(made).toEqual([true, true]);
      const kept = (await prisma.recoveryCode.findMany({ where: { personId: person } })).map((one) => one.codeHash);
      expect(sets.map((set) => set.toSorted())).toContainEqual(kept.toSorted());
    }
    await prisma.engineRecord.delete({ where: { key: uid } });
    expect(await codes[0]?.replace({ person, uid }, [sha256('late')])).toBe(false);
    expect(await codes[0]?.left(person)).toBe(10);
  });

  it.each<[string, (database: Database, person: string, code: string) => Promise<unknown>]>([
    [
      'whose recovery code is spent',
      (database, _person, code) => openRecoveryCodes(database, OURS).spend(sha256(code), sha256(randomUUID())),
    ],
    [
      'whose passkeys are taken away',
      (database, person) => openHeldPasskeys(database, systemClock).remove({ person, by: 'test' }),
    ],
    ['whose password is taken away', (database, person) => openPasswords(database, OURS).remove(person)],
  ])('somebody is erased %s, and neither waits for the other in a circle', async (_what, act) => {
    const { prisma } = fresh.database;
    for (let round = 0; round < ROUNDS; round++) {
      const { tokenHash, person } = await invite();
      const code = randomUUID();
      await openLocalAccounts(fresh.database, systemClock).enrol(tokenHash, passkey());
      await prisma.recoveryCode.create({ data: { codeHash: sha256(code), personId: person } });
      await prisma.password.create({ data: { personId: person, hash: 'hash' } });
      const erased = openPersonNames(replicas[1], systemClock).erase(person, 'test');
      await Promise.all([act(replicas[0], person, code), erased]);
      expect(await prisma.person.count({ where: { id: person } })).toBe(0);
    }
  });

  it('no passkey is left that was made by an open link while an administrator took all of them away', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { tokenHash, person } = await invite();
      const [made, removed] = await Promise.all([
        openLocalAccounts(replicas[0], systemClock).enrol(tokenHash, passkey()),
        openHeldPasskeys(replicas[1], systemClock).remove({ person, by: 'test' }),
      ]);
      expect([made, removed?.passkeys.length]).toEqual(made === 'done' ? ['done', 1] : ['over', 0]);
      expect(await fresh.database.prisma.passkey.count({ where: { personId: person } })).toBe(0);
    }
  });
});
