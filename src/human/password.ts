import { type Clock, err, ok, type Result } from '../base/index.js';
import type { Limit } from '../http/index.js';
import type { BreakGlassPasswords } from './local-accounts.js';
import type { Verified } from './passkeys.js';
import { newRecoveryCode, typedCode } from './recovery-code.js';

/** `wrong` is all that anybody is told of a name and a password that do not belong together. */
export type PasswordFlaw = 'wrong' | 'too_often' | 'busy';

type Deps = Readonly<{
  passwords: BreakGlassPasswords;
  clock: Clock;
  /** By network alone: a limit by name would let anybody lock out its owner, and nobody guesses 140 random bits. */
  perNetwork: Limit;
}>;

/** Signs in people of local accounts by name and password, as `pwd` (RFC 8176) and without any `acr`. */
export class Passwords {
  readonly kept: BreakGlassPasswords;
  readonly #deps: Deps;
  readonly #waiting: (() => void)[] = [];
  #working = 0;

  constructor(deps: Deps) {
    this.kept = deps.passwords;
    this.#deps = deps;
  }

  async verified({
    name,
    password,
    network,
  }: Readonly<{ name: string; password: string; network: string }>): Promise<Result<Verified, PasswordFlaw>> {
    const { passwords, clock, perNetwork } = this.#deps;
    const typed = typedCode(password);
    if ((await perNetwork.take(network)) !== undefined) return err('too_often');
    if (typed === undefined || name === '' || name.length > MOST_NAME) return err('wrong');
    const found = await passwords.find(name);
    // DANGER: as much work for whoever is unknown, so that the time tells of nobody.
    const isRight = await this.#bounded(async () => (await library()).verify(found?.hash ?? NOBODY, typed));
    if (isRight === undefined) return err('busy');
    if (!isRight || found === undefined || !(await passwords.used(found.account.id, found.hash))) return err('wrong');
    return ok({ account: found.account, amr: ['pwd'], authTime: clock.now() });
  }

  /** A new password, with what is kept of it; `undefined` while others are made or tried. */
  async made(): Promise<Readonly<{ password: string; hash: string }> | undefined> {
    const password = newRecoveryCode();
    const hash = await this.#bounded(async () => (await library()).hash(typedCode(password) ?? '', ARGON2ID));
    return hash === undefined ? undefined : { password, hash };
  }

  /** DANGER, RL-08: each holds 19 MiB and a processor, so of a flood of them most are told to come back. */
  async #bounded<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.#waiting.length >= MOST_WAITING) return undefined;
    if (this.#working >= AT_ONCE) await new Promise<void>((go) => this.#waiting.push(go));
    else this.#working += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#working -= 1;
      else next();
    }
  }
}

/** OWASP, Password Storage Cheat Sheet: argon2id (RFC 9106) with 19 MiB and two passes. It is the default algorithm. */
const ARGON2ID = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Of a password that nobody has, by the same parameters. */
const NOBODY = '$argon2id$v=19$m=19456,t=2,p=1$p4f+LF3S4tF9zE1UHmIOmQ$W7b/VoWG4ZnoVDOyiWVKWUWjAI7cB0CkqokPXIW9/nU';

/** Seconds after which whoever was too early may try again. */
export const PASSWORD_AGAIN = '60';

const MOST_NAME = 320;
const AT_ONCE = 2;
const MOST_WAITING = 32;

/** Not loaded by a server without passwords. */
const library = () => import('@node-rs/argon2');
