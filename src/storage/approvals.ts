import { z } from 'zod';
import {
  A_NO,
  type Approval,
  approvalKey,
  type Approvals,
  type Asked,
  type Asking,
  type Held,
  KEY_KEPT,
  MOST_OF_AGENT,
  MOST_OF_PERSON,
  transition,
} from '../approval/index.js';
import { err, Fault, ok, type Result, type Seconds } from '../base/index.js';
import { copyJson, feedTarget, sha256 } from '../protocol/index.js';
import type { EncryptionKeys } from '../token/index.js';
import {
  answersText,
  type ApprovalKeys,
  approvalKeys,
  codeOf,
  COLUMNS,
  heldOf,
  INSERT,
  membersOf,
  sealFor,
  valuesOf,
} from './approval-rows.js';
import type { Database } from './database.js';
import type { Prisma } from './generated/client.js';
import { TELL } from './notices.js';
import { guarded } from './outage.js';
import { pruneAll, pruneSql } from './pruning.js';
import { append, type DoneRecord } from './records.js';

export type ApprovalStore = Approvals &
  Readonly<{
    /** Ends what nobody answered in time or fetched, and forgets what ended long ago. */
    keep(now: Seconds): Promise<void>;
  }>;

/** For so long it is known of an approved call what its arguments were like, and to people what they answered. */
const REMEMBERED: Seconds = 30 * 86_400;
const AT_ONCE = 100;

export function openApprovals(database: Database, encryptionKeys: EncryptionKeys): ApprovalStore {
  const { prisma } = database;
  const keys = approvalKeys(encryptionKeys);
  const rows = async (sql: string, ...values: unknown[]): Promise<readonly Held[]> =>
    Rows.parse(await guarded(() => prisma.$queryRawUnsafe(sql, ...values))).map((row) => heldOf(row, keys));
  const byId = async (id: string): Promise<Held | undefined> => (await rows(BY_ID, id))[0];
  const move = (held: Held, step: Step): Promise<Held | undefined> =>
    guarded(() => prisma.$transaction((transaction) => moveWithin(transaction, { held, step, keys })));
  /** Writes that its time is over, for whoever finds it so. */
  const settle = async (held: Held, now: Seconds): Promise<Held | undefined> => {
    if (!isOpen(held.state) || now < held.expiresAt) return held;
    const to = { state: 'expired', answers: held.answers } as const;
    await move(held, { to, now, what: 'expired', facts: { by: 'writ' } });
    return byId(held.id);
  };
  const answer: Approvals['answer'] = async (id, event, { now, shown }) => {
    for (let tried = 0; tried < TRIES; tried++) {
      const found = await byId(id);
      const held = found && (await settle(found, now));
      if (held === undefined) return undefined;
      const was = held.approval;
      if (was === undefined) return err({ reason: 'over', state: held.state });
      const next = transition(was, event, now);
      if (!next.ok) return next;
      const moved = await move(held, { to: next.value, now, ...saying(event, was, next.value, shown) });
      if (moved !== undefined) return ok(moved);
    }
    throw new Fault('database_unavailable', 'a request to people kept changing while it was answered');
  };
  return {
    ask: (asking, now) =>
      guarded(() => prisma.$transaction((transaction) => askWithin(transaction, asking, keys, now))),
    byId: async (id, now) => {
      const held = await byId(id);
      return held && settle(held, now);
    },
    waitingFor: ({ person, groups }, now, limit) => rows(WAITING, person, [...groups], now, limit),
    difference: async (held) => {
      const args = held.approval?.frozen.binding.call.arguments;
      const values = [held.person, held.client, held.server, held.tool, held.askedAt];
      const [last] = Last.parse(await guarded(() => prisma.$queryRawUnsafe(LAST, ...values)));
      if (args === undefined || last === undefined) return undefined;
      return differenceOf(args, last, keys);
    },
    answer,
    isVoid: async ({ server, tool, askedAt, about, person, approval, answers }) => {
      const { call, demands } = approval?.frozen.binding ?? {};
      // What an agent redeems brings a token, of whose person and agents the exchange asks itself.
      const parties =
        about.by === 'server' ? [feedTarget.person(person), ...(call?.chain ?? []).map(feedTarget.agent)] : [];
      const targets = [feedTarget.server(server), feedTarget.tool(server, tool), ...parties];
      const since = [
        ...targets.map((target) => ({ target, at: askedAt })),
        ...answers.map((answer) => ({ target: feedTarget.person(answer.person), at: answer.at })),
      ];
      const approvers = answers.map((answer) => {
        const groups = demands?.find(({ policy }) => policy === answer.policy)?.approvers ?? [];
        return { person: answer.person, groups: groups.length === 0 ? null : groups };
      });
      const values = [JSON.stringify(since), JSON.stringify(approvers)];
      const found: readonly unknown[] = await guarded(() => prisma.$queryRawUnsafe(VOID, ...values));
      return found.length > 0;
    },
    used: async (id, now) => {
      await guarded(() => prisma.$executeRawUnsafe(USED, id, now));
    },
    keep: async (now) => {
      for (;;) {
        const due = await rows(DUE, now, AT_ONCE);
        for (const held of due) await settle(held, now);
        if (due.length < AT_ONCE) break;
      }
      await pruneAll(database, PRUNE.over, now - REMEMBERED);
      await pruneAll(database, PRUNE.tokens, now - KEY_KEPT);
    },
  };
}

/** As often another writer may win before this one. */
const TRIES = 64;

type Transaction = Prisma.TransactionClient;
type Facts = Readonly<Record<string, DoneRecord['facts'][string]>>;
type Step = Readonly<{ to: Pick<Approval, 'state' | 'answers'>; now: Seconds }> & Said;
type Said = Readonly<{ what: string; facts: Facts }>;

const isOpen = (state: Approval['state']): boolean => state === 'asked' || state === 'granted';

async function askWithin(
  transaction: Transaction,
  asking: Asking,
  keys: ApprovalKeys,
  now: Seconds,
): Promise<Result<Asked, 'too_many'>> {
  const { frozen, decision } = asking;
  const { call, demands, policySet, expiresAt } = frozen.binding;
  const [client] = call.chain;
  // Whoever asks for one person waits for each other, so that limits hold and identical requests meet.
  await transaction.$queryRawUnsafe(
    'SELECT pg_advisory_xact_lock(hashtextextended($1, 0))::text',
    `approval ${call.person}`,
  );
  const same = [call.person, client, asking.jkt ?? null, frozen.call, policySet, now];
  const [open] = Rows.parse(await transaction.$queryRawUnsafe(SAME, ...same)).map((row) => heldOf(row, keys));
  const code = open && codeFor(open.id, await hashOf(transaction, open.id), keys);
  if (open?.approval !== undefined && code !== undefined) {
    const { binding } = open.approval.frozen;
    // Whoever signed in afresh redeems by that: what is approved stays what it was, and lasts no longer than what comes with it now.
    if (expiresAt >= binding.expiresAt) {
      const sealed = sealFor(open.id, { binding: copyJson(binding), request: asking.request }, keys);
      await transaction.$executeRawUnsafe(RENEW, open.id, sealed);
    }
    return ok({ held: open, code });
  }
  const [refused] = Rows.parse(
    await transaction.$queryRawUnsafe(REFUSED, ...same.slice(0, 4), policySet, now - A_NO),
  ).map((row) => heldOf(row, keys));
  if (refused !== undefined) return ok({ held: refused, code: '' });
  const [counted] = Counts.parse(await transaction.$queryRawUnsafe(COUNT, call.person, client, now));
  if (counted === undefined || counted.agent >= MOST_OF_AGENT || counted.person >= MOST_OF_PERSON)
    return err('too_many');
  const made = Rows.parse(await transaction.$queryRawUnsafe(INSERT, ...valuesOf(asking, keys, now)));
  const facts = {
    ...{ what: 'asked', approval: asking.id, person: call.person, decision, agents: [...call.chain] },
    ...{ server: call.server, tool: call.tool, arguments_sha256: call.argumentsSha256, policy: policySet },
    policies: demands.map(({ policy }) => policy),
    approvers: [...new Set(demands.flatMap(({ approvers }) => approvers))],
    ...{ asked_sha256: frozen.sha256, expires_at: expiresAt },
  };
  await append(transaction, { kind: 'approval', at: now, facts, decision: 'done', reason: 'asked' });
  await transaction.$executeRawUnsafe(TELL, asking.id);
  const held = heldOf(made[0], keys);
  return ok({ held, code: codeOf(held.id, keys[0]?.code ?? new Uint8Array()) });
}

/** Of a request from before the encryption key was changed, the code is still the one that its agent has. */
const codeFor = (id: string, hash: string | undefined, keys: ApprovalKeys): string | undefined =>
  keys.map((key) => codeOf(id, key.code)).find((code) => sha256(code) === hash);

const hashOf = async (transaction: Transaction, id: string): Promise<string | undefined> =>
  Hashes.parse(await transaction.$queryRawUnsafe('SELECT code_hash AS hash FROM approval WHERE id = $1', id))[0]?.hash;

/** Compares and sets, with the record. `undefined`: somebody else was first. */
async function moveWithin(
  transaction: Transaction,
  { held, step: { to, now, what, facts }, keys }: Readonly<{ held: Held; step: Step; keys: ApprovalKeys }>,
): Promise<Held | undefined> {
  const isOver = !isOpen(to.state);
  // DANGER: a grant that is taken back races with its redemption, whose commit spends the same key.
  if (isOver && held.state === 'granted' && !(await spend(transaction, held))) {
    await transaction.$executeRawUnsafe(USED, held.id, now);
    return undefined;
  }
  const values = [
    held.id,
    held.state,
    answersText(held.answers),
    to.state,
    answersText(to.answers),
    isOver ? now : null,
  ];
  const [moved] = Rows.parse(await transaction.$queryRawUnsafe(MOVE, ...values)).map((row) => heldOf(row, keys));
  if (moved === undefined) return undefined;
  const said = { what, approval: held.id, person: held.person, ...facts };
  await append(transaction, { kind: 'approval', at: now, facts: said, decision: 'done', reason: what });
  return moved;
}

const spend = async (transaction: Transaction, { id, expiresAt }: Held): Promise<boolean> =>
  (await transaction.$executeRawUnsafe(SPEND, approvalKey(id), expiresAt + KEY_KEPT)) > 0;

function saying(
  event: Parameters<Approvals['answer']>[1],
  was: Approval,
  to: Approval,
  shown: string | undefined,
): Said {
  switch (event.event) {
    case 'grant': {
      const policies = to.answers.slice(was.answers.length).map(({ policy }) => policy);
      const facts = { by: event.by.person, policies, complete: to.state === 'granted', shown: shown ?? null };
      return { what: 'granted', facts };
    }
    case 'refuse':
      return { what: 'refused', facts: { by: event.by.person, shown: shown ?? null } };
    case 'withdraw':
      return { what: 'withdrawn', facts: { by: event.by } };
    case 'lapse':
      return { what: 'withdrawn', facts: { by: 'writ' } };
  }
}

function differenceOf(
  args: NonNullable<Held['approval']>['frozen']['binding']['call']['arguments'],
  { members, at }: z.infer<typeof Last>[number],
  keys: ApprovalKeys,
): Awaited<ReturnType<Approvals['difference']>> {
  const names = Object.keys(args);
  // After a change of the encryption key the older one still tells.
  const known = keys.map((key) => membersOf(args, key)).map((now) => Object.entries(now));
  const best = known.find((entries) => entries.some(([name]) => name in members)) ?? known[0] ?? [];
  const nameAt = (index: number): readonly string[] => names.slice(index, index + 1);
  const [changed, added] = [
    best.flatMap(([name, value], index) => (name in members && members[name] !== value ? nameAt(index) : [])),
    best.flatMap(([name], index) => (name in members ? [] : nameAt(index))),
  ];
  const missing = Object.keys(members).filter((name) => !best.some(([one]) => one === name)).length;
  return { at, changed, added, missing };
}

const Rows = z.array(z.unknown());
const Counts = z.array(z.object({ agent: z.number(), person: z.number() }));
const Hashes = z.array(z.object({ hash: z.string() }));
const Last = z.array(z.object({ members: z.record(z.string(), z.string()), at: z.coerce.number().int() }));

const OPEN = `state IN ('asked', 'granted')`;

const BY_ID = `SELECT ${COLUMNS} FROM approval WHERE id = $1`;

const SAME = `
  SELECT ${COLUMNS} FROM approval
  WHERE person_id = $1 AND ${OPEN} AND client_id = $2 AND jkt IS NOT DISTINCT FROM $3::text AND call = $4 AND policy = $5
    AND expires_at > to_timestamp($6::float8) ORDER BY asked_at LIMIT 1`;

const RENEW = `UPDATE approval SET sealed = decode($2, 'base64') WHERE id = $1 AND ${OPEN}`;

/** The same call, by the same client and key. */
const REFUSED = `
  SELECT ${COLUMNS} FROM approval
  WHERE person_id = $1 AND state = 'refused' AND client_id = $2 AND jkt IS NOT DISTINCT FROM $3::text AND call = $4 AND policy = $5
    AND ended_at > to_timestamp($6::float8) ORDER BY ended_at DESC LIMIT 1`;

const COUNT = `
  SELECT (count(*) FILTER (WHERE client_id = $2))::int AS agent, count(*)::int AS person FROM approval
  WHERE person_id = $1 AND ${OPEN} AND expires_at > to_timestamp($3::float8)`;

/** Four eyes: a member of a group answers for others, and nobody for themself. */
const WAITING = `
  SELECT ${COLUMNS} FROM approval
  WHERE id IN (
      SELECT id FROM approval WHERE person_id = $1 AND state = 'asked' AND is_own
      UNION SELECT id FROM approval WHERE groups && $2::text[] AND state = 'asked' AND person_id <> $1)
    AND expires_at > to_timestamp($3::float8) AND NOT answers @> jsonb_build_array(jsonb_build_object('person', $1::text))
  ORDER BY asked_at, id LIMIT $4::int`;

const DUE = `
  SELECT ${COLUMNS} FROM approval WHERE ${OPEN} AND expires_at <= to_timestamp($1::float8) ORDER BY expires_at LIMIT $2::int`;

const MOVE = `
  UPDATE approval SET state = $4, answers = $5::jsonb, ended_at = to_timestamp($6::float8),
    sealed = CASE WHEN $6::float8 IS NULL THEN sealed END
  WHERE id = $1 AND state = $2 AND answers = $3::jsonb RETURNING ${COLUMNS}`;

const USED = `
  UPDATE approval SET state = 'used', ended_at = to_timestamp($2::float8), sealed = NULL WHERE id = $1 AND state = 'granted'`;

/** Seconds are whole where requests are kept. Of what was redeemed already the groups are not known any more. */
const VOID = `
  SELECT 1 FROM revocation r JOIN jsonb_to_recordset($1::jsonb) AS since (target text, at float8) ON r.target = since.target
  WHERE r.revoked_at >= to_timestamp(since.at)
  UNION ALL
  SELECT 1 FROM jsonb_to_recordset($2::jsonb) AS approver (person text, groups text[]) LEFT JOIN person p ON p.id = approver.person
  WHERE p.status IS DISTINCT FROM 'active' OR NOT coalesce(p.groups && approver.groups, true)`;

const SPEND = `
  INSERT INTO replay (key, spender, expires_at) VALUES ($1, 'approval', to_timestamp($2::float8)) ON CONFLICT (key) DO NOTHING`;

/** The last before this one was asked: what is approved meanwhile does not change what a person has begun to read. */
const LAST = `
  SELECT members, extract(epoch FROM ended_at)::bigint::text AS at FROM approval
  WHERE person_id = $1 AND state = 'used' AND client_id = $2 AND server = $3 AND tool = $4
    AND ended_at < to_timestamp($5::float8)
  ORDER BY ended_at DESC, asked_at DESC LIMIT 1`;

const PRUNE = {
  over: pruneSql('approval', 'id', { where: 'ended_at <= to_timestamp($1::bigint)', oldest: 'ended_at' }),
  tokens: pruneSql('approval_token', 'request_id', { where: 'made_at <= to_timestamp($1::bigint)', oldest: 'made_at' }),
} as const;
