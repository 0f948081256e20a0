import { z } from 'zod';
import type { PersonNames } from '../audit/index.js';
import { err, ok } from '../base/index.js';
import { plainProblem } from '../http/index.js';
import type { KeptInputs } from '../policy/index.js';
import { ADMINISTRATOR } from './change.js';
import { NoBody, NoQuery, type Operation, operation } from './operation.js';
import { Id } from './shapes.js';

const PersonView = z.strictObject({
  id: z.string().describe('How tokens and the log name this person.'),
  issuer: z.string(),
  subject: z.string(),
  status: z.string(),
  groups: z.array(z.string()).describe('As whose member they may approve for others.'),
});

const EXAMPLE = {
  id: 'prs_7HqXb2c4d6e8f0a1b2c3d4',
  issuer: 'https://idp.example.com',
  subject: '8c1f0c6e',
  status: 'active',
  groups: ['finance'],
};

/** Find and erase people. */
export const personOperations = (persons: PersonNames, inputs: Pick<KeptInputs, 'erase'>): readonly Operation[] => [
  operation({
    id: 'findPerson',
    method: 'GET',
    isRecorded: true,
    path: '/admin/v1/persons',
    about: 'Finds the person whom an issuer knows by this subject.',
    query: z.strictObject({
      issuer: Id.describe('The issuer that vouches for the person.'),
      subject: Id.describe('Their `sub` there.'),
    }),
    body: NoBody,
    answers: [
      {
        status: 200,
        about: 'The person, or nobody.',
        schema: z.strictObject({ items: z.array(PersonView) }),
        example: { items: [EXAMPLE] },
      },
    ],
    run: async ({ query: { issuer, subject } }) => {
      const person = await persons.find(issuer, subject);
      // DANGER: who it is beside the id would stay in the log when the person is erased.
      const noted: Record<string, string> = person === undefined ? {} : { person: person.id };
      return ok({
        status: 200,
        body: { items: person === undefined ? [] : [{ ...person, groups: [...person.groups] }] },
        noted,
      });
    },
  }),
  operation({
    id: 'erasePerson',
    method: 'DELETE',
    path: '/admin/v1/persons/:person',
    params: { person: 'The id of the person.' },
    about:
      'Erases who a person is: name, attributes, consents, sign-ins and what was kept of decisions. Their tokens end. The log keeps the id, which then names nobody, and every proof.',
    query: NoQuery,
    body: NoBody,
    answers: [
      {
        status: 200,
        about: 'It is erased.',
        schema: z.strictObject({ id: z.string(), result: z.literal('erased') }),
        example: { id: EXAMPLE.id, result: 'erased' },
      },
    ],
    problems: ['not_found'],
    run: async ({ params: { person: id = '' } }) => {
      const result = await persons.erase(id, ADMINISTRATOR);
      // What a decision of a moment ago still has to write comes before this. An erasure that was cut off between the two is asked for again.
      const erased = result === 'erased' || isPersonId(id) ? await inputs.erase(id, ADMINISTRATOR) : 0;
      if (result === 'unknown' && erased === 0) return err(plainProblem('not_found', `There is no person ${id}`));
      return ok({ status: 200, body: { id, result: 'erased' } });
    },
  }),
];

/** DANGER: what is erased is in the log by this id, and nothing that an administrator typed instead may be. */
const isPersonId = (id: string): boolean => /^prs_[\w-]{22}$/.test(id);
