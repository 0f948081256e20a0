import { err, type Result } from '../base/index.js';
import type { Caller, KeySource } from '../client/index.js';
import type { Subject } from '../delegation/index.js';
import type { TokenType } from '../protocol/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import { readForeignSubject } from './foreign-subject.js';
import { type OwnFacts, readOwnSubject, type SubjectFlaw } from './own-subject.js';

export type SubjectRefusal =
  Readonly<{ reason: 'subject_invalid'; cause: SubjectFlaw }> | Readonly<{ reason: 'issuer_not_allowed' }>;
export type SubjectFacts = OwnFacts & Readonly<{ registry: RegistrySnapshot; clientKeys: KeySource }>;

/**
 * subject_token -> Subject: of our own tokens and of trusted issuers, each under its declared type. `iss` only chooses
 * among issuers that the registry names; it never says where keys are.
 */
export async function verifySubject(
  { token, type }: Readonly<{ token: string; type: TokenType }>,
  caller: Caller,
  facts: SubjectFacts,
): Promise<Result<Subject, SubjectRefusal>> {
  const invalid = (cause: SubjectFlaw) => err({ reason: 'subject_invalid' as const, cause });
  const jws = facts.remembered.parse(token);
  if (!jws.ok) return invalid('malformed');
  const issuer = jws.value.payload['iss'];
  if (issuer === facts.issuer) {
    const own = readOwnSubject(jws.value, type, caller, facts);
    return own.ok ? own : invalid(own.error);
  }
  const trusted = typeof issuer === 'string' ? facts.registry.issuer(issuer) : undefined;
  if (trusted?.status !== 'active') return invalid('untrusted_issuer');
  // TX-11: which agents may bring an issuer's tokens is written down; everybody else is refused.
  if (!trusted.agents.includes(caller.clientId)) return err({ reason: 'issuer_not_allowed' });
  const foreign = await readForeignSubject(jws.value, type, caller, { ...facts, keys: facts.clientKeys, trusted });
  return foreign.ok ? foreign : invalid(foreign.error);
}
