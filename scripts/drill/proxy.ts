import { setMaxListeners } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createConnection, createServer, type ListenOptions, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { LocalPostgres } from '../postgres.js';
import type { Closing } from './closing.js';

/** A way to a server that can be made slow, be cut, or garble what the server says. */
export class Proxy {
  #delayMs = 0;
  #released = released();
  #garble = asItIs;
  readonly #sockets = new Set<Socket>();
  /** Where it listens: the directory of a socket, or the port on loopback. */
  readonly #at: string | number;

  private constructor(at: string | number) {
    this.#at = at;
  }

  static async open(postgres: LocalPostgres, directory: string, closing: Closing): Promise<Proxy> {
    mkdirSync(directory, { mode: 0o711 });
    const proxy = new Proxy(directory);
    await proxy.#listen({ path: join(directory, SOCKET) }, closing, () =>
      createConnection(join(postgres.directory, SOCKET)),
    );
    return proxy;
  }

  /** Before a server on loopback. */
  static async before(port: number, at: number, closing: Closing): Promise<Proxy> {
    const proxy = new Proxy(at);
    await proxy.#listen({ host: '127.0.0.1', port: at }, closing, () => createConnection(port, '127.0.0.1'));
    return proxy;
  }

  urlOf(database: string): string {
    return `postgresql:///${database}?host=${encodeURIComponent(String(this.#at))}&user=postgres`;
  }

  get address(): string {
    return `http://127.0.0.1:${this.#at}`;
  }

  /** What becomes of each piece of an answer from now on. */
  garble(piece: (piece: Buffer) => Buffer = asItIs): void {
    this.#garble = piece;
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

  async #listen(at: ListenOptions, closing: Closing, reach: () => Socket): Promise<void> {
    const server = createServer((inner) => {
      this.#join(inner, reach());
    });
    await new Promise<void>((resolve) => server.listen(at, resolve));
    closing.add(async () => {
      this.cut();
      await new Promise((resolve) => server.close(resolve));
    });
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
        to.write(this.#garble(chunk as Buffer));
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

const asItIs = (piece: Buffer): Buffer => piece;

const SOCKET = '.s.PGSQL.5432';
