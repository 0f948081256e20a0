import { z } from 'zod';
import { type Clock, err, ok } from '../base/index.js';
import type { PolicySetInfo, PolicyStore } from '../policy/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { append } from './records.js';
import { beginReevaluation } from './reevaluations.js';
import { describeVersion } from './registry-writes.js';

/** The names of as many stand in the record; its hash is over all of them. */
const MOST_FILES = 200;

/** Policy sets in the database. The active one is part of the registry's version, so no commit obeys another. */
export function openPolicies({ prisma }: Database, clock: Clock): PolicyStore {
  return {
    stage: (set, by) =>
      guarded(() =>
        prisma.$transaction(async (transaction) => {
          const staged = await transaction.$executeRawUnsafe(STAGE, set.hash, JSON.stringify(set.files), by);
          if (staged === 0) return 'known';
          const facts = {
            what: 'staged',
            policy: set.hash,
            files: set.files.slice(0, MOST_FILES).map(({ path }) => path),
            by,
          };
          await append(transaction, { kind: 'policy', at: clock.now(), facts, decision: 'done', reason: 'staged' });
          return 'staged';
        }),
      ),
    list: async () => Infos.parse(await guarded(() => prisma.$queryRawUnsafe(LIST))).map(infoOf),
    read: async (hash) => Files.parse(await guarded(() => prisma.$queryRawUnsafe(READ, hash)))[0],
    activate: (hash, { by, basis }) =>
      guarded(() =>
        prisma.$transaction(async (transaction) => {
          const [state] = States.parse(await transaction.$queryRawUnsafe(LOCK));
          if (basis !== undefined && state?.version !== basis) return err('unsettled');
          const before = state?.policy ?? undefined;
          if ((await transaction.$executeRawUnsafe(MARK, hash, by, before ?? null)) === 0) return err('unknown');
          const [after] = States.parse(await transaction.$queryRawUnsafe(ACTIVATE, hash));
          const version = after?.version ?? 0;
          await describeVersion(transaction, version);
          // What was made before any set was active was bounded by the ceilings of the registry alone, which still hold.
          if (before !== undefined && before !== hash) await beginReevaluation(transaction, version);
          const facts = { what: 'activated', policy: hash, before: before ?? null, by, registry: version };
          await append(transaction, { kind: 'policy', at: clock.now(), facts, decision: 'done', reason: 'activated' });
          return ok({ version, before });
        }),
      ),
  };
}

const STAGE = `
  INSERT INTO policy_set (hash, files, staged_by) VALUES ($1, $2::jsonb, $3) ON CONFLICT (hash) DO NOTHING`;

const READ = 'SELECT hash, files FROM policy_set WHERE hash = $1';

const LIST = `
  SELECT s.hash, s.staged_at, s.staged_by, s.activated_at, s.activated_by, s.replaced,
    s.hash = (SELECT policy FROM registry_state WHERE id = 1) AS active
  FROM policy_set s ORDER BY s.staged_at DESC, s.hash`;

/** Its row lock makes activations and changes of the registry take turns. */
const LOCK = 'SELECT version, policy FROM registry_state WHERE id = 1 FOR UPDATE';

const MARK = `
  UPDATE policy_set SET activated_at = clock_timestamp(), activated_by = $2,
    replaced = CASE WHEN hash = $3 THEN replaced ELSE $3 END
  WHERE hash = $1`;

const ACTIVATE = 'UPDATE registry_state SET policy = $1, version = version + 1 WHERE id = 1 RETURNING version, policy';

const States = z.array(z.object({ version: z.coerce.number().int(), policy: z.string().nullable() }));
const Files = z.array(z.object({ hash: z.string(), files: z.array(z.object({ path: z.string(), text: z.string() })) }));
const Infos = z.array(
  z.object({
    hash: z.string(),
    staged_at: z.date(),
    staged_by: z.string(),
    activated_at: z.date().nullable(),
    activated_by: z.string().nullable(),
    replaced: z.string().nullable(),
    active: z.boolean().nullable(),
  }),
);

const infoOf = (row: z.infer<typeof Infos>[number]): PolicySetInfo => ({
  hash: row.hash,
  isActive: row.active === true,
  stagedAt: row.staged_at.getTime(),
  stagedBy: row.staged_by,
  activatedAt: row.activated_at?.getTime(),
  activatedBy: row.activated_by ?? undefined,
  replaced: row.replaced ?? undefined,
});
