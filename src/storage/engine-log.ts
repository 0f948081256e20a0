import type { Clock } from '../base/index.js';
import type { FailureLog } from '../client/index.js';
import type { EngineLog } from '../oauth/index.js';
import type { WritesBehind } from './behind.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { append } from './records.js';

export type EngineLogDeps = Readonly<{ clock: Clock; failures: FailureLog; behind: WritesBehind }>;

/** The engine's part of the log: a person's token before it is signed, and every refusal. */
export function openEngineLog({ prisma }: Database, { clock, failures, behind }: EngineLogDeps): EngineLog {
  return {
    issued: async ({ client, person, scope, grant, jkt }) => {
      const facts = { what: 'person_token', client, person, scope, grant, bound: jkt ?? null };
      await guarded(() =>
        append(prisma, { kind: 'grant', at: clock.now(), facts, decision: 'done', reason: 'issued' }),
      );
    },
    refused: ({ client, claimed, route, cause }) => {
      if (client === undefined) {
        failures.note({ client: claimed, cause, route });
        return;
      }
      const facts = { client, route };
      behind.add(
        guarded(() => append(prisma, { kind: 'grant', at: clock.now(), facts, decision: 'refuse', reason: cause })),
      );
    },
  };
}
