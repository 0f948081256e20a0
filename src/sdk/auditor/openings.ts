import { createHash } from 'node:crypto';
import { isObject, type Json } from '../../protocol/index.js';
import type { Problems, Verdict } from './verdict.js';
import type { Seen } from './record.js';

const MOST = 200_000;
/** People that a verdict names. */
const MOST_NAMED = 1_000;

/** Who persons are said to be, against what the log committed to when it met them. */
export class Openings {
  readonly #commitments = new Map<string, string>();
  readonly #problems: Problems;
  readonly #proved = new Map<string, Verdict['people'][string]>();

  constructor(problems: Problems) {
    this.#problems = problems;
  }

  /** Notes the commitment that a record has. */
  take({ facts }: Seen): void {
    const { person, met } = { person: facts?.['person'], met: facts?.['met'] };
    if (typeof person !== 'string' || typeof met !== 'string' || this.#commitments.size >= MOST) return;
    if (!this.#commitments.has(person)) this.#commitments.set(person, met);
  }

  /** `{"prs_…": {issuer, subject, salt}}`, which comes after all entries. */
  open(openings: Json | undefined, line: number): void {
    if (!isObject(openings)) {
      this.#problems.add('unreadable', 'openings must be an object', { line });
      return;
    }
    for (const [person, opening] of Object.entries(openings)) {
      const committed = this.#commitments.get(person);
      const name = nameIn(opening);
      if (committed === undefined)
        this.#problems.add('opening_unproved', `no entry here commits to ${person}`, { line });
      else if (name?.commitment !== committed) {
        this.#problems.add('opening_wrong', `${person} is not who the log committed to`, { line });
      } else if (this.#proved.size < MOST_NAMED) {
        this.#proved.set(person, { issuer: name.issuer, subject: name.subject });
      }
    }
  }

  /** Those who are proved to be who they are said to be. */
  proved(): Verdict['people'] {
    return Object.fromEntries(this.#proved);
  }
}

/** The commitment is SHA-256 over the salt and the RFC 8785 form of issuer and subject. */
function nameIn(opening: Json): Readonly<{ issuer: string; subject: string; commitment: string }> | undefined {
  if (!isObject(opening)) return undefined;
  const { issuer, subject, salt } = opening;
  if (typeof issuer !== 'string' || typeof subject !== 'string' || typeof salt !== 'string') return undefined;
  const commitment = createHash('sha256')
    .update(Buffer.from(salt, 'base64url'))
    .update(JSON.stringify({ issuer, subject }))
    .digest('base64url');
  return { issuer, subject, commitment };
}
