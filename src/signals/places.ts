import type { ServerResponse } from 'node:http';

/** Followers of one process, and of one server among them: its instances, replicas and tests. */
const MAX_PLACES = 4_096;
const MAX_PER_CLIENT = 1_024;

/** How many follow or wait at once. */
export class Places {
  readonly #taken = new Map<string, number>();
  #total = 0;

  /** Takes a place until this response closes. One that closed before, while its client was looked at, gets none. */
  keep(clientId: string, response: ServerResponse): 'kept' | 'gone' | 'client_full' | 'full' {
    if (response.destroyed || response.closed) return 'gone';
    const place = this.take(clientId);
    if (typeof place !== 'function') return place;
    response.once('close', place);
    return 'kept';
  }

  /** Takes a place, to be given back once, or says what is full. */
  take(clientId: string): (() => void) | 'client_full' | 'full' {
    if (this.#total >= MAX_PLACES) return 'full';
    const taken = this.#taken.get(clientId) ?? 0;
    if (taken >= MAX_PER_CLIENT) return 'client_full';
    this.#taken.set(clientId, taken + 1);
    this.#total++;
    return () => {
      this.#total--;
      const left = (this.#taken.get(clientId) ?? 1) - 1;
      if (left === 0) this.#taken.delete(clientId);
      else this.#taken.set(clientId, left);
    };
  }
}
