import { z } from 'zod';
import type { Clock } from '../base/index.js';
import type { Json } from '../protocol/index.js';
import type { KeyOrder, KeyStore, NewKey, StoredKey, StoredKeys } from '../token/index.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { FORGET, INSERT_FIRST, INSERT_NEXT, KEYS, PROMOTE, REMOVE, SETTLE, WITHDRAW } from './key-sql.js';
import { guarded } from './outage.js';
import { append } from './records.js';
import { revokeWithin } from './revocations.js';

/** Signing keys, their private halves only sealed. What happens to them is decided by the database's clock. */
export function openKeys({ prisma, rows }: Database, clock: Clock): KeyStore {
  const change = <T>(work: (changing: Changing) => Promise<T>): Promise<T> =>
    guarded(() =>
      prisma.$transaction(async (transaction) => {
        await transaction.$queryRawUnsafe(`SELECT pg_advisory_xact_lock(${KEYS_LOCK})::text`);
        return work({ transaction, at: clock.now() });
      }),
    );
  return {
    read: async () => storedKeys(await guarded(() => rows(KEYS, []))),
    insertFirst: (key) => change((changing) => insertFirst(changing, key)),
    insertNext: (key, order) => change((changing) => insertNext(changing, key, order)),
    settle: (overlap) => change((changing) => settle(changing, overlap)),
    withdraw: (kid, spare, order) => change((changing) => withdraw(changing, { kid, spare, order })),
    reseal: (reseal) => change((changing) => resealAll(changing, reseal)),
  };
}

/** An advisory lock of ours: "writ" in ASCII, then 1. */
const KEYS_LOCK = 0x77_72_69_74_01;

/** A transaction that alone may change keys. */
type Changing = Readonly<{ transaction: Prisma.TransactionClient; at: number }>;

/** Replicas that start on an empty database come here at once: the first keeps its key, the others find it. */
async function insertFirst(changing: Changing, key: NewKey): Promise<void> {
  const inserted = await changing.transaction.$executeRawUnsafe(INSERT_FIRST, ...columnsOf(key));
  if (inserted === 1) await note(changing, { what: 'created', kid: key.kid, state: 'active' }, BY_ITSELF);
}

type NextOrder = Parameters<KeyStore['insertNext']>[1];

async function insertNext(
  changing: Changing,
  key: NewKey,
  { activateAfter, max, ...order }: NextOrder,
): ReturnType<KeyStore['insertNext']> {
  const living = (await readAll(changing)).filter(({ state }) => state !== 'withdrawn');
  if (living.some(({ state }) => state === 'next')) return 'one_is_next';
  if (living.length >= max) return 'too_many';
  await changing.transaction.$executeRawUnsafe(INSERT_NEXT, ...columnsOf(key), activateAfter);
  await note(changing, { what: 'published', kid: key.kid, state: 'next', activates_after: activateAfter }, order);
  return 'published';
}

async function settle(changing: Changing, overlap: number): Promise<void> {
  const { transaction } = changing;
  const moved = Moves.parse(await transaction.$queryRawUnsafe(SETTLE, overlap));
  const removed = Moves.parse(await transaction.$queryRawUnsafe(REMOVE));
  await transaction.$executeRawUnsafe(FORGET);
  for (const { what, kid } of [...moved, ...removed]) await note(changing, { what, kid }, BY_ITSELF);
}

async function withdraw(
  changing: Changing,
  { kid, spare, order }: Readonly<{ kid: string; spare: NewKey; order: KeyOrder }>,
): ReturnType<KeyStore['withdraw']> {
  const { transaction } = changing;
  const found = (await readAll(changing)).find((key) => key.kid === kid);
  if (found === undefined) return 'unknown';
  if (found.state === 'withdrawn') return 'already_withdrawn';
  await transaction.$executeRawUnsafe(WITHDRAW, kid);
  // The number that verifiers see, and that introspection and every commit look for.
  await revokeWithin(transaction, [`key:${kid}`], order.by, order.reason);
  await note(changing, { what: 'withdrawn', kid, was: found.state }, order);
  if (found.state === 'active') await replace(changing, spare, order);
  return 'withdrawn';
}

/** There is always a key that signs: what waits is published already, and anything else would have to be believed unseen. */
async function replace(changing: Changing, spare: NewKey, order: KeyOrder): Promise<void> {
  const [promoted] = Moves.parse(await changing.transaction.$queryRawUnsafe(PROMOTE));
  if (promoted !== undefined) {
    await note(changing, promoted, order);
    return;
  }
  await changing.transaction.$executeRawUnsafe(INSERT_FIRST, ...columnsOf(spare));
  await note(changing, { what: 'created', kid: spare.kid, state: 'active' }, order);
}

async function resealAll(changing: Changing, reseal: Parameters<KeyStore['reseal']>[0]): Promise<void> {
  const kids: string[] = [];
  for (const { kid, sealed } of await readAll(changing)) {
    const anew = sealed.length === 0 ? undefined : reseal({ kid, sealed });
    if (anew === undefined) continue;
    await changing.transaction.$executeRawUnsafe('UPDATE signing_key SET sealed = $2 WHERE kid = $1', kid, anew);
    kids.push(kid);
  }
  if (kids.length > 0) await note(changing, { what: 'resealed', kids }, BY_ITSELF);
}

const BY_ITSELF: KeyOrder = { by: 'writ', reason: 'in its time' };

/** Every event in the life of a key is in the log, in the transaction that makes it. */
async function note(
  { transaction, at }: Changing,
  facts: Readonly<Record<string, Json>>,
  { by, reason }: KeyOrder,
): Promise<void> {
  await append(transaction, { kind: 'key', at, facts: { ...facts, by }, decision: 'done', reason });
}

const readAll = async ({ transaction }: Changing): Promise<StoredKeys['keys']> =>
  storedKeys(await transaction.$queryRawUnsafe(KEYS)).keys;

const columnsOf = ({ kid, alg, publicJwk, sealed }: NewKey): readonly unknown[] => [
  kid,
  alg,
  JSON.stringify(publicJwk),
  sealed,
];

const Moves = z.array(z.object({ what: z.string(), kid: z.string() }));

const seconds = z
  .number()
  .nullable()
  .transform((value) => value ?? undefined);

const Keys = z.array(
  z.object({
    kid: z.string(),
    alg: z.string(),
    publicJwk: z.unknown(),
    sealed: z.instanceof(Uint8Array),
    state: z.enum(['next', 'active', 'retired', 'withdrawn', 'former']),
    createdAt: z.number(),
    activatesAt: z.number(),
    retiredAt: seconds,
    publishedUntil: seconds,
    withdrawnAt: seconds,
  }),
);
const Dues = z.array(z.object({ dueIn: seconds }));

function storedKeys(rows: unknown): StoredKeys {
  const due = Dues.parse(rows).flatMap(({ dueIn }) => (dueIn === undefined ? [] : [dueIn]));
  const [keys, former]: [StoredKey[], unknown[]] = [[], []];
  for (const { state, ...key } of Keys.parse(rows))
    if (state === 'former') former.push(key.publicJwk);
    else keys.push({ ...key, state });
  return { keys, former, dueIn: due.length === 0 ? undefined : Math.min(...due) };
}
