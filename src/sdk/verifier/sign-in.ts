import { z } from 'zod';
import type { Seconds } from '../../base/index.js';
import type { Delegation } from './delegation.js';

/** A class as RFC 9470 section 3 writes it: no space, nothing that would end the quoted string of a header. */
export const AcrValue = z.string().regex(/^[\x21\x23-\x5B\x5D-\x7E]{1,256}$/, { error: 'must be one printable word' });

const SignInRule = z
  .strictObject({
    acrValues: z.array(AcrValue).min(1).max(16).optional(),
    maxAgeSeconds: z.number().int().nonnegative().max(99_999_999).optional(),
  })
  .refine(({ acrValues, maxAgeSeconds }) => acrValues !== undefined || maxAgeSeconds !== undefined, {
    error: 'must ask for something',
  });
const ToolSignIns = z.record(z.string(), SignInRule);

/** How the person must have signed in for a tool: by any one of these classes, and so many seconds ago at most. */
export type ToolSignIns = Readonly<Record<string, Readonly<z.input<typeof SignInRule>>>>;

/** What a sign-in lacks (RFC 9470 section 3). */
export type StepUp = Readonly<{ acrValues: readonly string[]; maxAge: Seconds | undefined }>;

/** A wrong rule is a mistake of the program: TypeError, at once. */
export function readSignIns(given: ToolSignIns): ToolSignIns {
  const read = ToolSignIns.safeParse(given);
  if (read.success) return given;
  const flaws = read.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`);
  throw new TypeError(`guard: signIn: ${flaws.join('; ')}`);
}

/** What this sign-in lacks for the tool; `undefined` where it is enough. One that does not say when it was is too old. */
export function stepUpFor(
  tool: string,
  { acr, authTime }: Pick<Delegation, 'acr' | 'authTime'>,
  { signIn, now, skew }: Readonly<{ signIn: ToolSignIns; now: Seconds; skew: Seconds }>,
): StepUp | undefined {
  const rule = Object.hasOwn(signIn, tool) ? signIn[tool] : undefined;
  if (rule === undefined) return undefined;
  const { acrValues = [], maxAgeSeconds: maxAge } = rule;
  const isWeak = acrValues.length > 0 && !acrValues.includes(acr ?? '');
  const isOld = maxAge !== undefined && (authTime === undefined || now - authTime > maxAge + skew);
  return isWeak || isOld ? { acrValues, maxAge } : undefined;
}
