import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Has a connection that closes behind an early answer read on for a while (RFC 9112 section 9.6). What arrives at a closed
 * one is answered by a reset, and a client that is still sending then loses the answer: a 413 would never be seen.
 */
export function lingerBehindAnswers(server: Server, connected: 'connection' | 'secureConnection'): void {
  const latest = new WeakMap<Socket, IncomingMessage>();
  server.on('request', (request) => latest.set(request.socket, request));
  server.on(connected, (socket: Socket) => {
    const closeAtOnce = socket.destroySoon.bind(socket);
    socket.destroySoon = () => {
      const request = latest.get(socket);
      if (request === undefined || request.complete || socket.destroyed) closeAtOnce();
      else linger(socket, request);
    };
  });
}

/** A sender that is not done by then is not waiting for an answer. */
const LINGER_MS = 1_000;

function linger(socket: Socket, request: IncomingMessage): void {
  const close = (): void => {
    socket.destroy();
  };
  socket.end();
  setTimeout(close, LINGER_MS).unref();
  request.once('end', close).resume();
}
