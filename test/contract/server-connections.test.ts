import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openServer, type Server } from '../../src/storage/server.js';

/** A message of PostgreSQL ("Message Formats"). */
function message(type: string, text: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(4 + Buffer.byteLength(text, 'latin1'));
  return Buffer.concat([Buffer.from(type), length, Buffer.from(text, 'latin1')]);
}

/** AuthenticationOk and ReadyForQuery, and in the same breath that an administrator ends it. */
const READY_AND_OVER = Buffer.concat([
  message('R', '\0\0\0\0'),
  message('Z', 'I'),
  message('E', 'SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0'),
]);

describe('a connection that ends as it begins', () => {
  const end = (socket: Socket): void => {
    socket.on('error', () => undefined).once('data', () => socket.end(READY_AND_OVER));
  };
  const database = createServer(end);
  let server: Server;
  beforeAll(async () => {
    await new Promise<void>((resolve) => database.listen(0, '127.0.0.1', resolve));
    const { port } = database.address() as AddressInfo;
    server = openServer(`postgresql://writ@127.0.0.1:${port}/writ`, 2);
  });
  afterAll(async () => {
    await server.close();
    await new Promise((resolve) => database.close(resolve));
  });

  it('fails the transaction that it was for, and nothing else', async () => {
    const uncaught: unknown[] = [];
    const hear = (error: unknown): void => {
      uncaught.push(error);
    };
    process.on('uncaughtException', hear);
    const adapter = await server.adapter.connect();
    for (let time = 0; time < 3; time++) await expect(adapter.startTransaction()).rejects.toThrow();
    await expect(server.rows('SELECT 1', [])).rejects.toThrow();
    process.off('uncaughtException', hear);
    expect(uncaught).toEqual([]);
  });
});
