import { Fault, type Seconds } from '../base/index.js';
import { importKey, PublicJwk, type VerificationKey } from '../protocol/index.js';
import { type EncryptionKeys, isCurrent, makeKey, openKey, resealed, type Sign } from './private-key.js';
import type { KeyState, KeyStore, StoredKey, StoredKeys } from './stored-key.js';
import { KNOWN_WITHIN, type KeyTiming, overlapOf } from './timing.js';

/** A key that signs ES256 (RFC 7518 section 3.4), or throws Fault when it may not. Has no private half to be taken out. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: 'ES256';
  readonly publicJwk: PublicJwk;
  /** The raw 64-byte signature over these bytes. */
  sign(data: Uint8Array): Uint8Array;
}

/** The keys of this deployment as the database has them, at most {@link KNOWN_WITHIN} seconds ago when it signs. */
export interface KeyRing {
  /** The one that signs. Throws Fault while there is none that may. */
  active(): SigningKey;
  /** A key by its name: a token is signed by the key that its record names, also when that one has retired meanwhile. */
  signer(kid: string): SigningKey;
  /** Public halves of next, active and retired keys. */
  readonly published: readonly PublicJwk[];
  readonly verification: readonly VerificationKey[];
  /** Keys whose tokens have all expired. They tell which call a token began that runs on, and nothing else. */
  readonly former: readonly VerificationKey[];
  /** Reads the database now; whoever awaits it knows every change that was made before the call. */
  refresh(): Promise<void>;
}

/** The ring of a process: it follows the database while it is watched. */
export interface LiveKeyRing extends KeyRing {
  /** Every published key, the one that signs first. */
  all(): readonly SigningKey[];
  stored(): readonly StoredKey[];
  /** Whether what is published is known to be current: only then may others keep it. */
  isFresh(): boolean;
  /** Reads the keys each second, and sooner when one is about to change. Answers how to stop. */
  watch(): () => void;
}

export type KeyRingDeps = Readonly<{
  store: KeyStore;
  encryptionKeys: EncryptionKeys;
  timing: KeyTiming;
  /** Hears of the first of several failures in a row to read the keys. */
  onFault?: (thrown: unknown) => void;
}>;

/**
 * Opens the keys of this deployment, making the first one when there is none, and seals again what an earlier encryption
 * key sealed. Throws Fault when one of them cannot be opened.
 */
export async function openKeyRing(deps: KeyRingDeps): Promise<LiveKeyRing> {
  const { store, encryptionKeys } = deps;
  if ((await store.read()).keys.every(({ state }) => state !== 'active')) {
    await store.insertFirst(makeKey(encryptionKeys));
  }
  const ring = new Ring(deps);
  await ring.refresh();
  if (ring.stored().some((key) => key.sealed.length > 0 && !isCurrent(key, encryptionKeys))) {
    await store.reseal((key) => resealed(key, encryptionKeys));
    await ring.refresh();
  }
  for (const row of ring.stored()) if (row.state === 'active') openKey(row, encryptionKeys);
  ring.active();
  return ring;
}

const POLL_MS = 1_000;

type Held = Readonly<{
  readAt: number;
  dueIn: Seconds | undefined;
  rows: readonly StoredKey[];
  states: ReadonlyMap<string, KeyState>;
  signs: ReadonlyMap<string, Sign>;
  published: readonly PublicJwk[];
  verification: readonly VerificationKey[];
  former: readonly VerificationKey[];
  keys: readonly SigningKey[];
}>;

class Ring implements LiveKeyRing {
  readonly #deps: KeyRingDeps;
  #held: Held = NOTHING;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #hasFailed = false;

  constructor(deps: KeyRingDeps) {
    this.#deps = deps;
  }

  active(): SigningKey {
    this.#mustBeFresh();
    const [key] = this.#held.keys;
    if (key === undefined || this.#held.states.get(key.kid) !== 'active') throw unavailable('no signing key is active');
    this.#signOf(key.kid);
    return key;
  }

  signer(kid: string): SigningKey {
    const key = this.#held.keys.find((one) => one.kid === kid);
    if (key === undefined) throw mayNotSign(kid);
    return key;
  }

  all(): readonly SigningKey[] {
    return this.#held.keys;
  }

  stored(): readonly StoredKey[] {
    return this.#held.rows;
  }

  isFresh(): boolean {
    return performance.now() - this.#held.readAt <= KNOWN_WITHIN * 1000;
  }

  get published(): readonly PublicJwk[] {
    return this.#held.published;
  }

  get verification(): readonly VerificationKey[] {
    return this.#held.verification;
  }

  get former(): readonly VerificationKey[] {
    return this.#held.former;
  }

  /** Who asks while a read is under way may know of something newer than it will see, and shares the one after it. */
  refresh(): Promise<void> {
    this.#next ??= settled(this.#running).then(() => {
      this.#next = undefined;
      const read = this.#read();
      this.#running = read;
      return read;
    });
    return this.#next;
  }

  watch(): () => void {
    let timer: NodeJS.Timeout | undefined;
    let isStopped = false;
    const plan = (): void => {
      if (isStopped) return;
      const due = this.#held.dueIn === undefined ? POLL_MS : Math.ceil(this.#held.dueIn * 1000) + 1;
      timer = setTimeout(() => void poll().then(plan), Math.max(20, Math.min(POLL_MS, due)));
      timer.unref();
    };
    const poll = async (): Promise<void> => {
      try {
        await this.refresh();
        this.#hasFailed = false;
      } catch (thrown) {
        if (!this.#hasFailed && !isStopped) this.#deps.onFault?.(thrown);
        this.#hasFailed = true;
      }
    };
    plan();
    return () => {
      isStopped = true;
      clearTimeout(timer);
    };
  }

  async #read(): Promise<void> {
    const { store, timing } = this.#deps;
    let readAt = performance.now();
    let stored = await store.read();
    if (stored.dueIn !== undefined && stored.dueIn <= 0) {
      await store.settle(overlapOf(timing));
      readAt = performance.now();
      stored = await store.read();
    }
    this.#held = this.#heldOf(stored, readAt);
  }

  #heldOf({ keys: rows, former, dueIn }: StoredKeys, readAt: number): Held {
    const living = rows.filter(({ state }) => state !== 'withdrawn');
    const published = living.map((row) => PublicJwk.parse(row.publicJwk));
    const signs = living.flatMap((row) => {
      const sign = this.#held.signs.get(row.kid) ?? this.#open(row);
      return sign === undefined ? [] : [[row.kid, sign] as const];
    });
    const inTurn = [...living].sort((a, b) => Number(b.state === 'active') - Number(a.state === 'active'));
    return {
      readAt,
      dueIn,
      rows,
      published,
      states: new Map(rows.map(({ kid, state }) => [kid, state])),
      signs: new Map(signs),
      verification: usable(published),
      former: usable(former.map((jwk) => PublicJwk.parse(jwk))),
      keys: inTurn.map((row) => this.#signingKey(row.kid, PublicJwk.parse(row.publicJwk))),
    };
  }

  /** One that does not open is published and verifies; when its turn to sign comes, there is a Fault instead. */
  #open(row: StoredKey): Sign | undefined {
    if (row.sealed.length === 0) return undefined;
    try {
      return openKey(row, this.#deps.encryptionKeys);
    } catch (thrown) {
      if (this.#held.states.get(row.kid) !== row.state) this.#deps.onFault?.(thrown);
      return undefined;
    }
  }

  #signingKey(kid: string, publicJwk: PublicJwk): SigningKey {
    return {
      kid,
      alg: 'ES256',
      publicJwk,
      sign: (data) => {
        this.#mustBeFresh();
        return this.#signOf(kid)(data);
      },
    };
  }

  #signOf(kid: string): Sign {
    const sign = this.#held.signs.get(kid);
    const state = this.#held.states.get(kid);
    if (sign === undefined || (state !== 'active' && state !== 'retired')) throw mayNotSign(kid);
    return sign;
  }

  /** Whoever cannot read whether a key was withdrawn does not sign with it. */
  #mustBeFresh(): void {
    if (!this.isFresh()) throw unavailable(`the signing keys were last read more than ${KNOWN_WITHIN} s ago`);
  }
}

const NOTHING: Held = {
  readAt: -Infinity,
  dueIn: undefined,
  rows: [],
  states: new Map(),
  signs: new Map(),
  published: [],
  verification: [],
  former: [],
  keys: [],
};

const usable = (jwks: readonly PublicJwk[]): readonly VerificationKey[] =>
  jwks.map((jwk) => importKey(jwk)).flatMap((key) => (key.ok ? [key.value] : []));

const unavailable = (message: string): Fault => new Fault('keys_unavailable', message);
const mayNotSign = (kid: string): Fault => unavailable(`signing key ${kid} may not sign, or does not open`);

const settled = async (work: Promise<unknown> | undefined): Promise<void> => {
  await Promise.allSettled([work]);
};
