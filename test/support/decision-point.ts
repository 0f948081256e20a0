import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { freePort } from './writ.js';

/** One question that a decision point received. */
export type Received = Readonly<{ path: string; headers: IncomingMessage['headers']; body: unknown }>;

/** What it does with one question. */
export type Behaviour = (received: Received, response: ServerResponse) => void;

/** An AuthZEN decision point on loopback that may answer whatever it likes. */
export type TestPoint = Readonly<{
  address: string;
  received: Received[];
  behave(behaviour: Behaviour): void;
  close(): Promise<void>;
}>;

export const json =
  (body: unknown, status = 200, headers: Record<string, string> = {}): Behaviour =>
  (_received, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };

export const text =
  (body: string, type = 'application/json', status = 200): Behaviour =>
  (_received, response) => {
    response.writeHead(status, { 'content-type': type }).end(body);
  };

/** Yes to everything, by either endpoint. */
export const agreeable: Behaviour = (received, response) => {
  const { evaluations } = received.body as { evaluations?: unknown[] };
  json(evaluations === undefined ? { decision: true } : { evaluations: evaluations.map(() => ({ decision: true })) })(
    received,
    response,
  );
};

/** `wrong` changes its metadata. */
export async function startPoint(wrong: (address: string) => object = () => ({})): Promise<TestPoint> {
  const port = await freePort();
  const address = `http://127.0.0.1:${port}`;
  const received: Received[] = [];
  let behaviour = agreeable;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const path = request.url ?? '';
      if (path === '/.well-known/authzen-configuration') {
        json({ ...metadataOf(address), ...wrong(address) })(
          { path, headers: request.headers, body: undefined },
          response,
        );
        return;
      }
      const one = {
        path,
        headers: request.headers,
        body: JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown,
      };
      received.push(one);
      behaviour(one, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    address,
    received,
    behave: (next) => {
      behaviour = next;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const metadataOf = (address: string): Record<string, string> => ({
  policy_decision_point: address,
  access_evaluation_endpoint: `${address}/access/v1/evaluation`,
  access_evaluations_endpoint: `${address}/access/v1/evaluations`,
});
