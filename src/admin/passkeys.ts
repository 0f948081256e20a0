import { z } from 'zod';
import { err, ok, type Seconds } from '../base/index.js';
import { plainProblem, type Problem } from '../http/index.js';
import { ADMINISTRATOR } from './change.js';
import { NoBody, NoQuery, type Operation, operation } from './operation.js';
import { instant } from './shapes.js';

/** A passkey as administrators see it: nothing of it opens anything. */
export type HeldPasskey = Readonly<{
  id: string;
  createdAt: Seconds;
  lastUsedAt: Seconds | undefined;
  mayBeCopied: boolean;
  isBackedUp: boolean;
}>;

/** The passkeys by which local accounts sign in, and everybody approves, for administrators. */
export interface HeldPasskeys {
  /** `undefined` when there is no such person. */
  of(person: string): Promise<readonly HeldPasskey[] | undefined>;
  /**
   * Removes one of a person's passkeys, or without `id` all of them with their open links, and in the same transaction cuts the
   * person off: nobody knows which sign-in came of which. Answers what is gone; `undefined` when there was nothing.
   */
  remove(order: Readonly<{ person: string; id?: string; by: string }>): Promise<RemovedPasskeys | undefined>;
}

export type RemovedPasskeys = Readonly<{ passkeys: readonly string[]; sessions: number; consents: number }>;

const PasskeyView = z.strictObject({
  id: z.string().describe('WebAuthn credential id, base64url.'),
  created_at: z.iso.datetime(),
  last_used_at: z.iso.datetime().nullable(),
  may_be_copied: z.boolean().describe('The authenticator lets it be copied to other devices.'),
  is_backed_up: z.boolean().describe('At its last use it was.'),
});

const Removed = z.strictObject({
  person: z.string(),
  passkeys: z.array(z.string()).describe('What is gone.'),
  sessions: z.number().int().describe('How many sessions of agents ended.'),
  consents: z.number().int().describe('How many consents are gone.'),
});

const EXAMPLE = {
  person: 'prs_7HqXb2c4d6e8f0a1b2c3d4',
  passkey: {
    id: 'AbCdEfGhIjKlMnOpQrStUvWxYz012345',
    created_at: '2026-11-22T09:00:00.000Z',
    last_used_at: '2026-11-23T08:12:30.000Z',
    may_be_copied: true,
    is_backed_up: true,
  },
} as const;

const REMOVED = { person: EXAMPLE.person, passkeys: [EXAMPLE.passkey.id], sessions: 1, consents: 1 };

type Deps = Readonly<{ passkeys: HeldPasskeys | undefined }>;

/** Where browsers keep no passkeys they refuse and say why. */
export const passkeyOperations = ({ passkeys }: Deps): readonly Operation[] => [
  operation({
    id: 'listPasskeys',
    method: 'GET',
    path: '/admin/v1/persons/:person/passkeys',
    params: { person: 'The id of the person.' },
    about: 'Lists the passkeys of a person.',
    query: NoQuery,
    body: NoBody,
    answers: [
      {
        status: 200,
        about: 'The passkeys, the oldest first.',
        schema: z.strictObject({ items: z.array(PasskeyView) }),
        example: { items: [EXAMPLE.passkey] },
      },
    ],
    problems: ['not_found', 'conflict'],
    run: async ({ params: { person = '' } }) => {
      if (passkeys === undefined) return err(NO_PASSKEYS);
      const held = await passkeys.of(person);
      return held === undefined
        ? err(plainProblem('not_found', `There is no person ${person}`))
        : ok({ status: 200, body: { items: held.map(viewOf) } });
    },
  }),
  operation({
    id: 'removePasskey',
    method: 'DELETE',
    path: '/admin/v1/persons/:person/passkeys/:passkey',
    params: { person: 'The id of the person.', passkey: 'The id of the passkey.' },
    about:
      'Removes a passkey that is lost, and ends every sign-in of the person with all that agents hold in their name: it may be anybody who has the device.',
    query: NoQuery,
    body: NoBody,
    answers: [{ status: 200, about: 'It is gone.', schema: Removed, example: REMOVED }],
    problems: ['not_found', 'conflict'],
    run: async ({ params: { person = '', passkey = '' } }) => {
      if (passkeys === undefined) return err(NO_PASSKEYS);
      const removed = await passkeys.remove({ person, id: passkey, by: ADMINISTRATOR });
      return removed === undefined
        ? err(plainProblem('not_found', `The person ${person} has no passkey ${passkey}`))
        : ok({ status: 200, body: { person, ...removed } });
    },
  }),
];

export const NO_LOCAL_ACCOUNTS: Problem = plainProblem(
  'conflict',
  'There are no local accounts here: localAccounts (WRIT_LOCAL_ACCOUNTS) is off',
);

const NO_PASSKEYS: Problem = plainProblem(
  'conflict',
  'There are no passkeys here: the issuer is an IP address, and browsers keep passkeys for host names',
);

const viewOf = ({ id, createdAt, lastUsedAt, mayBeCopied, isBackedUp }: HeldPasskey): z.infer<typeof PasskeyView> => ({
  id,
  created_at: instant(createdAt),
  last_used_at: lastUsedAt === undefined ? null : instant(lastUsedAt),
  may_be_copied: mayBeCopied,
  is_backed_up: isBackedUp,
});
