import type { ServerResponse } from 'node:http';
import type { RegistrySnapshot } from '../registry/index.js';
import type { SignedBatch } from './batch.js';

/** What may wait for one receiver before it is cut off, and for how long. The bytes themselves are shared by all. */
const MAX_WAITING_BYTES = 2_097_152;
const MAX_WAITING_MS = 10_000;

/** The server that follows, as it was registered when it came. */
export type FollowingServer = Readonly<{ clientId: string; credentials: string }>;

export const followingServer = (server: Readonly<{ client_id: string; authentication: unknown }>): FollowingServer => ({
  clientId: server.client_id,
  credentials: JSON.stringify(server.authentication),
});

/** One stream of server-sent events. */
export class Follower {
  readonly server: FollowingServer;
  readonly #response: ServerResponse;
  #waitingSince: number | undefined;

  constructor(server: FollowingServer, response: ServerResponse) {
    this.server = server;
    this.#response = response;
  }

  get isGone(): boolean {
    return this.#response.destroyed || this.#response.writableEnded;
  }

  /** Answers false for a receiver that took too little for too long: it is cut off. */
  send({ frame }: SignedBatch, nowMs: number): boolean {
    const waiting = this.#response.writableLength;
    this.#waitingSince = waiting === 0 ? undefined : (this.#waitingSince ?? nowMs);
    const isStuck = this.#waitingSince !== undefined && nowMs - this.#waitingSince > MAX_WAITING_MS;
    if (waiting > MAX_WAITING_BYTES || isStuck) {
      this.#response.destroy();
      return false;
    }
    this.#response.write(frame);
    return true;
  }

  /** Resolves when there is room for more, or false when there was none in time. */
  async drained(): Promise<boolean> {
    const response = this.#response;
    if (!response.writableNeedDrain) return !this.isGone;
    return new Promise((resolve) => {
      const end = (isDrained: boolean): void => {
        clearTimeout(timer);
        response.off('drain', onDrain).off('close', onClose);
        resolve(isDrained);
      };
      const [onDrain, onClose] = [
        (): void => {
          end(true);
        },
        (): void => {
          end(false);
        },
      ];
      const timer = setTimeout(onClose, MAX_WAITING_MS).unref();
      response.once('drain', onDrain).once('close', onClose);
    });
  }

  /** Whether it may still follow: the server is registered, active, and proves itself as it did. */
  mayFollow(registry: Pick<RegistrySnapshot, 'serverByClientId'>): boolean {
    const server = registry.serverByClientId(this.server.clientId);
    return server?.status === 'active' && followingServer(server).credentials === this.server.credentials;
  }

  end(): void {
    this.#response.end();
  }

  cut(): void {
    this.#response.destroy();
  }
}
