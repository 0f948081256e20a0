import { z } from 'zod';
import { err, ok, type Result, type Seconds } from '../base/index.js';
import { plainProblem, type Problem } from '../http/index.js';
import { GroupName, Text } from '../protocol/index.js';
import { ADMINISTRATOR } from './change.js';
import { type HeldPasskeys, NO_LOCAL_ACCOUNTS } from './passkeys.js';
import { type Answer, NoBody, NoQuery, type Operation, operation } from './operation.js';
import { instant } from './shapes.js';

/** A person of our own issuer, with a link that is shown once. */
export type Invitation = Readonly<{
  person: Readonly<{ id: string; issuer: string; subject: string }>;
  token: string;
  expiresAt: Seconds;
}>;

/** Makes local accounts, and the links by which their people make passkeys. Only a hash of a link is kept. */
export interface Invitations {
  invite(whom: Readonly<{ name: string; email?: string; groups?: readonly string[] }>, by: string): Promise<Invitation>;
  /** On the record. False where there is no such person of our own issuer. */
  setGroups(person: string, groups: readonly string[], by: string): Promise<boolean>;
  /** One more link. `undefined` when there is no such active person of our own issuer. */
  again(person: string, by: string): Promise<Invitation | undefined>;
}

const Groups = z
  .array(GroupName)
  .max(256)
  .refine((all) => new Set(all).size === all.length, { error: 'names one group twice' })
  .describe('As whose member they may approve for others: what policies name in `@approvers`.');

const InvitationView = z.strictObject({
  id: z.string().describe('How tokens and the log name this person.'),
  issuer: z.string(),
  subject: z.string(),
  link: z.string().describe('Where they make their passkey, once. Shown this once; Writ keeps only a hash.'),
  expires_at: z.string().describe('When the link ends.'),
});

const EXAMPLE: z.infer<typeof InvitationView> = {
  id: 'prs_7HqXb2c4d6e8f0a1b2c3d4',
  issuer: 'https://writ.example.com',
  subject: 'acc_3q2-7w8xYzAbCdEfGhIjKl',
  link: 'https://writ.example.com/enrol/…',
  expires_at: '2026-11-26T12:00:00.000Z',
};

const ANSWER = { status: 201, about: 'The person and the link.', schema: InvitationView, example: EXAMPLE } as const;

type Deps = Readonly<{
  issuer: string;
  invitations: Invitations | undefined;
  passkeys: Pick<HeldPasskeys, 'remove'> | undefined;
}>;

const Replacing = z.strictObject({
  replace: z
    .enum(['true', 'false'])
    .default('false')
    .describe(
      'All passkeys, recovery codes and open links of the account go first, with every sign-in and all that agents hold in their name.',
    ),
});

/** Without local accounts both refuse and say which setting is missing. */
export const invitationOperations = ({ issuer, invitations, passkeys }: Deps): readonly Operation[] => [
  operation({
    id: 'invitePerson',
    method: 'POST',
    path: '/admin/v1/persons',
    about: 'Makes a local account for a person, and the link by which they make its passkey.',
    query: NoQuery,
    body: z.strictObject({
      name: Text.min(1).max(256).describe('How pages call them.'),
      email: Text.min(3)
        .max(256)
        .regex(/^[^\s@]+@[^\s@]+$/, { error: 'must be an e-mail address' })
        .exactOptional()
        .describe('Shown beside the name. Identifies nobody.'),
      groups: Groups.exactOptional(),
    }),
    bodyExample: { name: 'Ada Lovelace', email: 'ada@example.com', groups: ['finance'] },
    answers: [ANSWER],
    problems: ['conflict'],
    run: async ({ body }) =>
      invitations === undefined
        ? err(NO_LOCAL_ACCOUNTS)
        : invited(await invitations.invite(body, ADMINISTRATOR), issuer),
  }),
  operation({
    id: 'invitePersonAgain',
    method: 'POST',
    path: '/admin/v1/persons/:person/invitation',
    params: { person: 'The id of the person.' },
    about: 'Makes one more link for a local account, for one more passkey, or for one instead of those that it has.',
    query: Replacing,
    body: NoBody,
    answers: [ANSWER],
    problems: ['not_found', 'conflict'],
    run: async ({ params: { person = '' }, query: { replace } }) => {
      if (invitations === undefined || passkeys === undefined) return err(NO_LOCAL_ACCOUNTS);
      // DANGER: before the link is made, or it would go too. Whoever was interrupted asks again.
      if (replace === 'true') await passkeys.remove({ person, by: ADMINISTRATOR });
      const made = await invitations.again(person, ADMINISTRATOR);
      return made === undefined ? err(nobody(person)) : invited(made, issuer);
    },
  }),
  operation({
    id: 'setGroups',
    method: 'PUT',
    path: '/admin/v1/persons/:person/groups',
    params: { person: 'The id of the person.' },
    about:
      'Says of which groups a local account is a member: as one of them they may approve for others. Of anybody else their identity provider says it.',
    query: NoQuery,
    body: z.strictObject({ groups: Groups }),
    bodyExample: { groups: ['finance'] },
    answers: [
      {
        status: 200,
        about: 'They are.',
        schema: z.strictObject({ id: z.string(), groups: z.array(z.string()) }),
        example: { id: EXAMPLE.id, groups: ['finance'] },
      },
    ],
    problems: ['not_found', 'conflict'],
    run: async ({ params: { person = '' }, body: { groups } }) => {
      if (invitations === undefined) return err(NO_LOCAL_ACCOUNTS);
      const isDone = await invitations.setGroups(person, groups, ADMINISTRATOR);
      return isDone ? ok({ status: 200, body: { id: person, groups } }) : err(noAccount(person));
    },
  }),
];

const noAccount = (person: string): Problem =>
  plainProblem('not_found', `There is no local account of a person ${person}`);

const nobody = (person: string): Problem =>
  plainProblem('not_found', `There is no active local account of a person ${person}`);

const invited = ({ person, token, expiresAt }: Invitation, issuer: string): Result<Answer, Problem> =>
  ok({
    status: 201,
    body: {
      ...{ id: person.id, issuer: person.issuer, subject: person.subject },
      link: `${issuer}/enrol/${token}`,
      expires_at: instant(expiresAt),
    },
  });
