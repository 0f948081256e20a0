import { createHmac, hkdfSync } from 'node:crypto';
import { z } from 'zod';
import {
  type Answer,
  type Approval,
  type Asking,
  Binding,
  freeze,
  type Held,
  POLL_INTERVAL,
  STATES,
} from '../approval/index.js';
import { Fault } from '../base/index.js';
import { canonicalize, copyJson, type Json, type JsonObject, parseObject, sha256, Tier } from '../protocol/index.js';
import { type EncryptionKeys, seal, unseal } from '../token/index.js';

/** What is made of the encryption keys, which the database has not. The first one is the current one. */
export type ApprovalKeys = readonly Readonly<{ box: Uint8Array; code: Uint8Array; member: Uint8Array }>[];

export const approvalKeys = (keys: EncryptionKeys): ApprovalKeys =>
  keys.map((key) => ({
    box: derived(key, 'writ approval'),
    code: derived(key, 'writ deferral code'),
    member: derived(key, 'writ approval member'),
  }));

const derived = (key: Uint8Array, name: string): Uint8Array => new Uint8Array(hkdfSync('sha256', key, '', name, 32));

/** 256 bits: whoever asks the same again gets the same code, which is kept nowhere. */
export const codeOf = (id: string, key: Uint8Array): string =>
  `dfr_${createHmac('sha256', key).update(id).digest('base64url')}`;

/** One of these boxes cannot stand in for another. */
export const sealFor = (id: string, plain: JsonObject, [current]: ApprovalKeys): string => {
  if (current === undefined) throw new Fault('internal', 'there is no encryption key');
  return Buffer.from(seal(Buffer.from(JSON.stringify(plain)), { key: current.box, context: contextOf(id) })).toString(
    'base64',
  );
};

export function unsealFor(id: string, sealed: Uint8Array, keys: ApprovalKeys): JsonObject | undefined {
  for (const { box } of keys) {
    const plain = unseal(sealed, { key: box, context: contextOf(id) });
    const read = plain && parseObject(plain.toString('utf8'));
    if (read?.ok === true) return read.value;
  }
  return undefined;
}

const contextOf = (id: string): string => `approval ${id}`;

/** Keyed digests of the members of the arguments by keyed digests of their names: nobody can guess at what they were. */
export function membersOf(args: JsonObject, { member }: ApprovalKeys[number]): Readonly<Record<string, string>> {
  const mac = (text: string): string => createHmac('sha256', member).update(text).digest('base64url');
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => {
      const exact = canonicalize(value);
      return [mac(`name ${name}`), mac(`value ${name}\n${exact.ok ? exact.value : ''}`)];
    }),
  );
}

const seconds = z.coerce.number().int();

const AboutRow = z.object({
  task: z.string().nullable(),
  purpose: z.string().nullable(),
  reasons: z.array(z.string()),
  tier: Tier,
  network: z.string().nullable(),
  number: z.string(),
  by: z.enum(['agent', 'server']).default('agent'),
  texts: z.record(z.string(), z.string()).default({}),
});

const Row = z.object({
  id: z.string(),
  state: z.enum(STATES),
  person: z.string(),
  client: z.string(),
  jkt: z.string().nullable(),
  server: z.string(),
  tool: z.string(),
  about: AboutRow,
  answers: z.array(z.object({ policy: z.string(), person: z.string(), at: z.number().int() })),
  sealed: z.instanceof(Uint8Array).nullable(),
  askedAt: seconds,
  expiresAt: seconds,
  endedAt: seconds.nullable(),
});

/** The columns of {@link heldOf}. */
export const COLUMNS = `id, state, person_id AS person, client_id AS client, jkt, server, tool, about, answers, sealed,
  extract(epoch FROM asked_at)::bigint::text AS "askedAt", extract(epoch FROM expires_at)::bigint::text AS "expiresAt",
  extract(epoch FROM ended_at)::bigint::text AS "endedAt"`;

/** DANGER: what cannot be opened with our keys, or is not what its digests cover, can be neither shown nor answered. */
export function heldOf(candidate: unknown, keys: ApprovalKeys): Held {
  const { sealed, jkt, endedAt, ...row } = Row.parse(candidate);
  const content = sealed === null ? undefined : unsealFor(row.id, sealed, keys);
  const binding = Binding.safeParse(content?.['binding']);
  const frozen = binding.success ? freeze(binding.data) : undefined;
  const approval: Approval | undefined =
    frozen?.ok === true ? { frozen: frozen.value, state: row.state, answers: row.answers } : undefined;
  const request = content?.['request'];
  return {
    ...row,
    jkt: jkt ?? undefined,
    endedAt: endedAt ?? undefined,
    approval,
    request: approval === undefined || !isObject(request) ? undefined : request,
  };
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The values of a new row, in the order of {@link INSERT}. */
export function valuesOf(asking: Asking, keys: ApprovalKeys, now: number): readonly unknown[] {
  const { id, frozen, jkt, about, request } = asking;
  const { call, demands, policySet, expiresAt } = frozen.binding;
  const [current] = keys;
  if (current === undefined) throw new Fault('internal', 'there is no encryption key');
  const groups = [...new Set(demands.flatMap(({ approvers }) => approvers))];
  return [
    ...[id, call.person, call.chain[0], jkt ?? null, call.server, call.tool, frozen.call, frozen.sha256, policySet],
    ...[sha256(codeOf(id, current.code)), demands.some(({ approvers }) => approvers.length === 0), groups],
    ...[JSON.stringify(about), JSON.stringify(membersOf(call.arguments, current))],
    ...[sealFor(id, { binding: copyJson(frozen.binding), request }, keys), now, expiresAt],
  ];
}

export const INSERT = `
  INSERT INTO approval (id, state, person_id, client_id, jkt, server, tool, call, sha256, policy, code_hash, is_own, groups,
    about, members, sealed, asked_at, expires_at, pause)
  VALUES ($1, 'asked', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::text[], $13::jsonb, $14::jsonb, decode($15, 'base64'),
    to_timestamp($16::float8), to_timestamp($17::float8), ${POLL_INTERVAL})
  RETURNING ${COLUMNS}`;

/** As the row has them, so that whoever writes can compare. */
export const answersText = (answers: readonly Answer[]): string => JSON.stringify(answers);
