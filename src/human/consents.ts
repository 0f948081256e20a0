import type { Seconds } from '../base/index.js';

/** What a person allowed an agent, until it ends by itself. */
export type Consent = Readonly<{
  /** SHA-256 of the engine's id, which is a credential: the log names it so too. */
  id: string;
  agent: string;
  givenAt: Seconds;
  endsAt: Seconds | undefined;
  scopes: readonly string[];
  /** Where the person left only some of the tools. */
  tools: readonly Readonly<{ server: string; name: string }>[] | undefined;
  /** So many in all, where the person said so. */
  calls: number | undefined;
  /** It goes on while the person is away. */
  staysSignedIn: boolean;
}>;

/** The consents of people. */
export interface Consents {
  /** Those that live, the newest first; `after` is where another page ended. */
  list(person: string, page: Readonly<{ after: ConsentPlace | undefined; limit: number }>): Promise<readonly Consent[]>;
  /** Ends it for good with all that came of it, numbered and on the record. False where this person has no such consent. */
  revoke(id: string, person: string): Promise<boolean>;
}

export type ConsentPlace = Pick<Consent, 'id' | 'givenAt'>;
