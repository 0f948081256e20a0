import { z } from 'zod';
import { by, digest, id, policy } from './fact-parts.js';

const approval = { approval: id, person: id.describe('For whom the agent acts.') };
/** What the log says of a request to people; that it was used says the record of the exchange. */
export const Approval = z
  .union([
    z.strictObject({
      what: z.literal('asked'),
      ...approval,
      decision: id.describe('The one that a person was to be asked.'),
      agents: z.array(z.string()).describe('Who asks, and through whom; the one that asks first.'),
      server: z.string(),
      tool: z.string(),
      arguments_sha256: digest.describe('SHA-256 of the RFC 8785 form of the arguments.'),
      policy,
      policies: z.array(z.string()).describe('The policies whose demands are to be granted.'),
      approvers: z.array(z.string()).describe('The groups that they name.'),
      asked_sha256: digest.describe('What a person is shown and answers.'),
      expires_at: z.number().int(),
    }),
    z.strictObject({
      what: z.literal('granted'),
      ...approval,
      by,
      policies: z.array(z.string()).describe('The policies whose demands this answer grants.'),
      complete: z.boolean().describe('Whether no demand is left.'),
      shown: digest.nullable().describe('SHA-256 of the page that the person answered.'),
    }),
    z.strictObject({ what: z.literal('refused'), ...approval, by, shown: digest.nullable() }),
    z.strictObject({ what: z.enum(['withdrawn', 'expired']), ...approval, by }),
  ])
  .describe('What became of a request to people. That one was used stands in the record of the exchange.');
