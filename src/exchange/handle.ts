import { hkdfSync } from 'node:crypto';
import { z } from 'zod';
import { err, ok, randomBytes, type Result, type Seconds } from '../base/index.js';
import type { Delegation } from '../delegation/index.js';
import { type EncryptionKeys, seal, unseal } from '../token/index.js';

/** What a transaction handle holds, sealed: whose transaction it is, in which session, and since when. */
export type Transaction = Readonly<{
  id: string;
  session: string;
  person: string;
  client: string;
  /** RFC 9449: the key that the transaction is bound to. */
  jkt: string | undefined;
  beganAt: Seconds;
}>;

/** Why a handle is no good. For the record; the client gets one description for all of them. */
export type HandleFlaw =
  'unreadable' | 'expired' | 'another_client' | 'another_person' | 'another_key' | 'another_transaction';
export type HandleRefusal = Readonly<{ reason: 'handle_invalid'; cause: HandleFlaw }>;

/** Txn-AT draft: seals and opens handles. Opaque to whoever holds one, and nothing is stored. */
export type TransactionHandles = Readonly<{
  give(transaction: Transaction, now: Seconds): string;
  open(handle: string, now: Seconds): Result<Transaction, HandleRefusal>;
}>;

const IDLE: Seconds = 1_800;
/** How long a transaction may go on from its first exchange. */
export const MOST: Seconds = 28_800;
const CONTEXT = 'writ transaction handle';
const SALT_BYTES = 16;

export function transactionHandles(encryptionKeys: EncryptionKeys): TransactionHandles {
  const [current] = encryptionKeys;
  return {
    give: ({ id, session, person, client, jkt, beganAt }, now) => {
      const ends = Math.min(now + IDLE, beganAt + MOST);
      const salt = randomBytes(SALT_BYTES);
      const plain = Buffer.from(JSON.stringify([id, session, person, client, jkt ?? null, beganAt, ends]));
      return Buffer.concat([salt, seal(plain, { key: keyOf(current, salt), context: CONTEXT })]).toString('base64url');
    },
    open: (handle, now) => {
      const sealed = Buffer.from(handle, 'base64url');
      const content = readSealed(sealed, encryptionKeys);
      // Another spelling of the same bytes would be the same handle under another name.
      if (content === undefined || sealed.toString('base64url') !== handle) return refused('unreadable');
      const [id, session, person, client, jkt, beganAt, ends] = content;
      if (ends <= now) return refused('expired');
      return ok({ id, session, person, client, jkt: jkt ?? undefined, beganAt });
    },
  };
}

/** The exchange as part of the transaction that the handle names, if it is this client's, for this person and by this key. */
export function join(delegation: Delegation, transaction: Transaction): Result<Delegation, HandleRefusal> {
  const { presenter, person, subject, jkt } = delegation;
  if (transaction.client !== presenter.clientId) return refused('another_client');
  if (transaction.person !== person.id) return refused('another_person');
  if (transaction.jkt !== jkt) return refused('another_key');
  const isOfAnother = subject.transaction !== undefined && subject.transaction !== transaction.id;
  if (isOfAnother || ('session' in subject.run && subject.run.session !== transaction.session))
    return refused('another_transaction');
  return ok({
    ...delegation,
    subject: { ...subject, transaction: transaction.id },
    notAfter: Math.min(delegation.notAfter, transaction.beganAt + MOST),
  });
}

const refused = (cause: HandleFlaw) => err({ reason: 'handle_invalid' as const, cause });

const Content = z.tuple([
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.string().nullable(),
  z.number(),
  z.number(),
]);

function readSealed(sealed: Uint8Array, keys: readonly Uint8Array[]): z.infer<typeof Content> | undefined {
  const [salt, box] = [sealed.subarray(0, SALT_BYTES), sealed.subarray(SALT_BYTES)];
  for (const key of keys) {
    const plain = unseal(box, { key: keyOf(key, salt), context: CONTEXT });
    if (plain !== undefined) return Content.safeParse(JSON.parse(plain.toString())).data;
  }
  return undefined;
}

/** DANGER: AES-GCM takes 2^32 random nonces for one key at most; a key of its own for each handle has no such end. */
const keyOf = (encryptionKey: Uint8Array, salt: Uint8Array): Uint8Array =>
  Buffer.from(hkdfSync('sha256', encryptionKey, salt, CONTEXT, 32));
