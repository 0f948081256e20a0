import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { lingerBehindAnswers } from './linger.js';

export type ListenAt = Readonly<{
  host: string;
  port: number;
  tls: Readonly<{ cert: string; key: string }> | undefined;
}>;

/** Slow bodies and headers end here; a request that needs longer than this is not one of ours. */
const LIMITS = {
  requestTimeout: 15_000,
  headersTimeout: 10_000,
  // How exact the two above are: without it a slow sender has half a minute more.
  connectionsCheckingInterval: 2_000,
  keepAliveTimeout: 65_000,
  maxHeaderSize: 32_768,
} as const;

/** Serves until {@link stopListening}; rejects when the address cannot be had. */
export async function listen({ tls, host, port }: ListenAt, handle: RequestListener): Promise<Server> {
  const server =
    tls === undefined ? createHttpServer(LIMITS, handle) : createHttpsServer({ ...LIMITS, ...tls }, handle);
  lingerBehindAnswers(server, tls === undefined ? 'connection' : 'secureConnection');
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return server;
}

/**
 * Takes no new connection, and lets requests under way finish for at most ten seconds. Called right after the loop has
 * accepted what waited, because the system resets every connection that was made and not yet accepted.
 */
export async function stopListening(server: Server): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  const closeIdle = setInterval(() => {
    server.closeIdleConnections();
  }, 100);
  const giveUp = setTimeout(() => {
    server.closeAllConnections();
  }, 10_000);
  await closed;
  clearInterval(closeIdle);
  clearTimeout(giveUp);
}
