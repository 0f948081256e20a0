import { z } from 'zod';
import { err, ok } from '../base/index.js';
import { plainProblem } from '../http/index.js';
import { Text } from '../protocol/index.js';
import type { KeyInfo, KeysAdmin } from '../token/index.js';
import { ADMINISTRATOR } from './change.js';
import { NoBody, NoQuery, type Operation, operation } from './operation.js';
import { instant, pageAfter, pageOf, Paging } from './shapes.js';

/** A signing key as the API shows it: never anything of its private half. */
export const KeyView = z.strictObject({
  kid: z.string(),
  alg: z.string(),
  state: z
    .enum(['next', 'active', 'retired', 'withdrawn'])
    .describe('next: published, signs later. active: signs. retired: published, signs no more. withdrawn: gone.'),
  created_at: z.iso.datetime(),
  activates_at: z.iso.datetime().describe('When it begins or began to sign.'),
  retired_at: z.iso.datetime().nullable(),
  published_until: z.iso.datetime().nullable().describe('When everything that it signed has expired everywhere.'),
  withdrawn_at: z.iso.datetime().nullable(),
});
type KeyView = z.infer<typeof KeyView>;

const EXAMPLE: KeyView = {
  kid: 'NzbLsXh8uDCcd-6M',
  alg: 'ES256',
  state: 'next',
  created_at: '2026-11-22T09:00:00.000Z',
  activates_at: '2026-11-22T09:10:10.000Z',
  retired_at: null,
  published_until: null,
  withdrawn_at: null,
};
const ACTIVE: KeyView = { ...EXAMPLE, state: 'active' };
const WITHDRAWN: KeyView = {
  ...EXAMPLE,
  kid: '0vx7agoebGcQSuuP',
  state: 'withdrawn',
  withdrawn_at: '2026-11-22T09:30:00.000Z',
};

const Reason = Text.min(1).max(256);

const Withdrawal = z.strictObject({
  result: z.enum(['withdrawn', 'already_withdrawn']),
  key: KeyView,
  active: KeyView,
});

/** List, rotate and withdraw the keys that sign tokens. */
export const keyOperations = (keys: KeysAdmin): readonly Operation[] => [
  operation({
    id: 'listKeys',
    method: 'GET',
    path: '/admin/v1/keys',
    about: 'Lists the signing keys, the newest first.',
    query: Paging,
    body: NoBody,
    answers: [{ status: 200, about: 'A page.', schema: pageOf(KeyView), example: { items: [EXAMPLE], next: null } }],
    run: async ({ query }) => {
      const page = pageAfter(await keys.list(), query, ({ kid }) => kid);
      return page.ok ? ok({ status: 200, body: { ...page.value, items: page.value.items.map(viewOf) } }) : page;
    },
  }),
  operation({
    id: 'rotateKeys',
    method: 'POST',
    path: '/admin/v1/keys/rotate',
    about: 'Publishes a new signing key, which signs by itself once every cache of the keys has been renewed.',
    query: NoQuery,
    body: z
      .strictObject({
        reason: Reason.default('administrator'),
        activate_after_seconds: z
          .number()
          .min(0)
          .max(2_592_000)
          .optional()
          .describe(
            'When it begins to sign. Without it: as long as keys may be cached, and 10 seconds. DANGER: with less, ' +
              'verifiers that cached the keys refuse good tokens until they fetch the keys again.',
          ),
      })
      .optional(),
    bodyExample: { reason: 'quarterly rotation' },
    answers: [{ status: 201, about: 'The new key.', schema: KeyView, example: EXAMPLE }],
    problems: ['conflict'],
    run: async ({ body }) => {
      const rotated = await keys.rotate({
        by: ADMINISTRATOR,
        reason: body?.reason ?? 'administrator',
        ...(body?.activate_after_seconds === undefined ? {} : { activateAfter: body.activate_after_seconds }),
      });
      if (!rotated.ok) return err(plainProblem('conflict', WORDS[rotated.error]));
      return ok({ status: 201, body: viewOf(rotated.value) });
    },
  }),
  operation({
    id: 'withdrawKey',
    method: 'POST',
    path: '/admin/v1/keys/:kid/withdraw',
    params: { kid: 'The kid of the key.' },
    about: 'Takes a signing key away at once, and with it every token that it signed. Another key signs at once.',
    query: NoQuery,
    body: z.strictObject({ reason: Reason.default('administrator') }).optional(),
    bodyExample: { reason: 'INC-4711: the key leaked' },
    answers: [
      {
        status: 200,
        about: 'It is withdrawn, now or since earlier; and the key that signs now.',
        schema: Withdrawal,
        example: { result: 'withdrawn', key: WITHDRAWN, active: ACTIVE },
      },
    ],
    problems: ['not_found'],
    run: async ({ params: { kid = '' }, body }) => {
      const order = { by: ADMINISTRATOR, reason: body?.reason ?? 'administrator' };
      const withdrawn = await keys.withdraw(kid, order);
      if (!withdrawn.ok) return err(plainProblem('not_found', `There is no signing key ${kid}`));
      const { result, key, active } = withdrawn.value;
      return ok({ status: 200, body: { result, key: viewOf(key), active: viewOf(active) } });
    },
  }),
];

const WORDS = {
  one_is_next: 'A new key is published already and waits to sign; withdraw it, or wait until it signs',
  too_many: 'Too many keys are still published; wait until the oldest are gone',
} as const;

function viewOf({ kid, alg, state, ...times }: KeyInfo): KeyView {
  return {
    kid,
    alg,
    state,
    created_at: instant(times.createdAt),
    activates_at: instant(times.activatesAt),
    retired_at: instantOrNull(times.retiredAt),
    published_until: instantOrNull(times.publishedUntil),
    withdrawn_at: instantOrNull(times.withdrawnAt),
  };
}

const instantOrNull = (at: number | undefined): string | null => (at === undefined ? null : instant(at));
