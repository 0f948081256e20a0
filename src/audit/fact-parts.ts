import { z } from 'zod';

// What facts of several kinds are made of.

export const id = z.string().min(1);
export const digest = z
  .string()
  .regex(/^[A-Za-z0-9_-]{43}$/)
  .describe('SHA-256, base64url.');
export const count = z.number().int().nonnegative();
export const by = z
  .string()
  .describe(
    'Who did it: `admin-token`, a client id, a person of themselves, `identity-provider:` and its id, or `writ` by itself.',
  );
export const policy = z.string().describe('The policy set: the hash of its files.');
