import { setMaxListeners } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { LocalPostgres } from '../postgres.js';
import type { Closing } from './closing.js';

/** A way to a PostgreSQL server that can be made slow, or cut. */
export class Proxy {
  #delayMs = 0;
  #released = released();
  readonly #sockets = new Set<Socket>();
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async open(postgres: LocalPostgres, directory: string, closing: Closing): Promise<Proxy> {
    mkdirSync(directory, { mode: 0o711 });
    const proxy = new Proxy(directory);
    const server = createServer((inner) => {
      proxy.#join(inner, createConnection(join(postgres.directory, SOCKET)));
    });
    await new Promise<void>((resolve) => server.listen(join(directory, SOCKET), resolve));
    closing.add(async () => {
      proxy.cut();
      await new Promise((resolve) => server.close(resolve));
    });
    return proxy;
  }

  urlOf(database: string): string {
    return `postgresql:///${database}?host=${encodeURIComponent(this.#directory)}&user=postgres`;
  }

  /** How long each piece of an answer is held back from now on; what is held already is let go. */
  delay(ms: number): void {
    this.#delayMs = ms;
    this.#released.abort();
    this.#released = released();
  }

  /** Ends every connection, whatever is on its way. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(inner: Socket, outer: Socket): void {
    inner.pipe(outer);
    void this.#answer(outer, inner);
    for (const socket of [inner, outer]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        this.#sockets.delete(socket);
        inner.destroy();
        outer.destroy();
      });
    }
  }

  async #answer(from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from) {
        const { signal } = this.#released;
        if (this.#delayMs > 0) await pause(this.#delayMs, undefined, { signal }).catch(() => undefined);
        to.write(chunk as Buffer);
      }
    } catch {
      // the connection is over, and so is its partner
    }
  }
}

/** Every held piece listens to it. */
function released(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

const SOCKET = '.s.PGSQL.5432';
