import { sha256 } from 'writ/protocol';
import { replayKey } from '../../src/client/index.js';
import { claimsOf, type ClientId } from './cast.js';
import type { Form } from './line.js';

/** One request that takes the only use of a token, and whether it was told that it did. */
export type Use = {
  readonly key: string;
  readonly spend: string;
  readonly at: number;
  /** When its token ends, in milliseconds: from then on nothing needs to remember it. */
  readonly until: number;
  taken: boolean;
};

/** What the clients of a drill sent and what they were given: the memory that the database is held against. */
export class Ledger {
  /** SHA-256 of the `jti` of every token that a client received by an exchange. */
  readonly tokens = new Set<string>();
  /** Persons' tokens that a client received, counted by their grant. */
  readonly personTokens = new Map<string, number>();
  readonly uses: Use[] = [];
  readonly revoked = new Set<string>();
  /** The one-time keys of every request for an exchange, answered or not. */
  readonly exchangeSpends = new Set<string>();

  get acknowledged(): number {
    const persons = [...this.personTokens.values()].reduce((sum, count) => sum + count, 0);
    return this.tokens.size + persons + this.revoked.size + this.uses.filter(({ taken }) => taken).length;
  }

  received(token: string): void {
    this.tokens.add(hashOf(token));
  }

  receivedOfPerson(token: string): void {
    const { writ } = claimsOf(token) as { writ: { grant: string } };
    this.personTokens.set(writ.grant, (this.personTokens.get(writ.grant) ?? 0) + 1);
  }

  asksForUse(token: string, tool: string, authentication: Form): Use {
    const use = {
      key: sha256(`${hashOf(token)} ${tool}`),
      spend: spendOf('srv_files', authentication),
      at: Date.now(),
      until: Number(claimsOf(token)['exp']) * 1_000,
      taken: false,
    };
    this.uses.push(use);
    return use;
  }
}

/** The name of a token in the log. */
export const hashOf = (token: string): string => sha256(String(claimsOf(token)['jti']));

/** The key under which an assertion is spent. */
export const spendOf = (client: ClientId, { client_assertion: assertion = '' }: Form): string =>
  replayKey(client, String(claimsOf(assertion)['jti']));
