import { z } from 'zod';
import { ClientId, Jwks, ScopeToken, Text, TokenType } from '../protocol/index.js';
import { WebUrl, Name, Status } from './agent.js';

/** One kind of token that an issuer's people may bring as `subject_token`. Everything that is not listed is refused. */
export const AcceptedToken = z.strictObject({
  token_type: z.enum([TokenType.accessToken, TokenType.idToken, TokenType.jwt]),
  typ: Text.max(64)
    .nullable()
    .describe('The JOSE typ that it must have, in lower case and without application/; null when it has none or JWT.'),
  audiences: z
    .array(Text.min(1).max(512))
    .max(16)
    .default([])
    .describe('Names by which this issuer means Writ, beside our issuer identifier.'),
  scopes: z
    .array(ScopeToken)
    .max(256)
    .optional()
    .describe('The scopes of a token that names none itself, such as an ID token. Without it such a token is refused.'),
});
export type AcceptedToken = z.infer<typeof AcceptedToken>;

/** An issuer whose tokens about people Writ accepts in an exchange. */
export const TrustedIssuer = z
  .strictObject({
    issuer: WebUrl,
    name: Name,
    status: Status.default('active'),
    jwks: Jwks.optional(),
    jwks_uri: WebUrl.optional(),
    accepts: z.array(AcceptedToken).min(1).max(8),
    agents: z.array(ClientId).max(1_024).describe('The agents that may exchange its tokens.'),
    client_ids: z
      .record(Text.min(1).max(512), ClientId)
      .default({})
      .describe('Its own client ids of our agents: an audience of this name stands for that agent.'),
    claims: z
      .strictObject({
        email: Text.max(64).optional(),
        name: Text.max(64).optional(),
        scope: Text.max(64).default('scope'),
      })
      .default({ scope: 'scope' })
      .describe('Which of its claims fill attributes. Identity is always issuer and sub.'),
  })
  .refine(({ jwks, jwks_uri }) => (jwks === undefined) !== (jwks_uri === undefined), {
    error: 'give exactly one of jwks and jwks_uri',
  });
export type TrustedIssuer = z.infer<typeof TrustedIssuer>;
export type TrustedIssuerInput = z.input<typeof TrustedIssuer>;
