import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Agent, Waiting } from 'writ/agent';
import { run } from '../../src/cli/index.js';
import { describeProblem, loadConfig, readTextFile } from '../../src/config/index.js';
import { startWrit } from '../../src/server.js';
import { createPlanner, createWriter } from './agents.js';
import { close, type Company, listen, startCompany } from './company.js';
import { type FilesServer, startFilesServer } from './files-server.js';
import { type KeyPair, makeKeyPair } from './keys.js';
import { startPaymentsServer } from './payments-server.js';
import { demoRegistry } from './registry.js';
import type { McpProcess, Notes } from './serve-mcp.js';
import { Wire } from './wire.js';

/** Everything that the story needs, up and running on loopback. */
export type House = Readonly<{
  issuer: string;
  company: Company;
  files: FilesServer;
  payments: McpProcess;
  planner: Agent;
  /** Planner again, waiting where a person has to approve a call. */
  patient(onWaiting: (waiting: Waiting) => void): Agent;
  writer: Agent;
  keys: Readonly<Record<'planner' | 'writer' | 'files' | 'payments', KeyPair>>;
  redirectUri: string;
  /** What went over the wire to the MCP servers. */
  wire: Wire;
  /** What the MCP servers wrote down: `ran <tool>` and `refused <reason>`, the last one last. */
  notes: string[];
  folder: string;
  tokenFile: string;
  /** Runs a command of `writ` and answers what it printed. */
  writ(...args: string[]): Promise<string>;
  /** The same without a connection to Writ. */
  offline(...args: string[]): Promise<string>;
  close(): Promise<void>;
}>;

/** Seconds that an ID token of the company lives, long enough for a call and short enough to wait for its end. */
export const ID_TOKEN_SECONDS = 4;

/** Opens the house, or closes what is open of it and throws. `report` gets the outages of Writ, of which there are none. */
export async function openHouse(report: (thrown: unknown) => void): Promise<House> {
  const folder = await mkdtemp(join(tmpdir(), 'writ-demo-'));
  const open: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const closeAll = async (): Promise<void> => {
    for (const stop of open.splice(0).reverse()) await stop();
  };
  try {
    return { ...(await furnish(folder, report, open)), close: closeAll };
  } catch (thrown) {
    await closeAll();
    throw thrown;
  }
}

async function furnish(
  folder: string,
  report: (thrown: unknown) => void,
  open: (() => Promise<unknown>)[],
): Promise<Omit<House, 'close'>> {
  const opened = <T>(thing: T, stop: () => Promise<unknown>): T => (open.push(stop), thing);
  const [port, filesPort, paymentsPort, agentPort] = await freePorts(4);
  // A host name, as browsers keep passkeys for those only.
  const [issuer, redirectUri] = [`http://localhost:${port}`, `http://127.0.0.1:${agentPort}/callback`];
  const company = await startCompany({
    writIssuer: issuer,
    app: { clientId: 'agt_planner', redirectUri, idTokenSeconds: ID_TOKEN_SECONDS },
  });
  opened(company, company.stop);

  const configFile = join(folder, 'writ.yaml');
  await writeFile(configFile, stringify(configuration(issuer, folder, company)), { mode: 0o600 });
  const config = loadConfig({ WRIT_CONFIG: configFile }, readTextFile);
  if (!config.ok) throw new Error(config.error.map(describeProblem).join('\n'));
  const server = await startWrit(config.value, { report });
  opened(server, server.close);

  const keys = { planner: makeKeyPair(), writer: makeKeyPair(), files: makeKeyPair(), payments: makeKeyPair() };
  const notebook: string[] = [];
  const notes: Notes = {
    ran: (tool) => notebook.push(`ran ${tool}`),
    refused: ({ reason }) => notebook.push(`refused ${reason}`),
  };
  const follower = { clientId: 'srv_files', key: keys.files.privateJwk };
  let isRegistered = false;
  const files = await startFilesServer(issuer, filesPort, { follower, isRegistered: () => isRegistered, notes });
  opened(files, files.stop);
  const introspection = { clientId: 'srv_payments', key: keys.payments.privateJwk };
  const payments = await startPaymentsServer(issuer, paymentsPort, { introspection, notes });
  opened(payments, payments.stop);

  const tokenFile = join(folder, 'data', 'admin-token');
  const writ = (...args: string[]): Promise<string> => command([...args, '--url', issuer, '--token-file', tokenFile]);
  const registry = demoRegistry({
    files,
    payments,
    companyIssuer: company.issuer,
    redirectUri,
    keys,
  });
  const registryFile = join(folder, 'registry.yaml');
  await writeFile(registryFile, stringify(registry));
  await writ('apply', '-f', registryFile);
  isRegistered = true;
  await writ('policy', 'stage', await policies(folder), '--activate');

  const wire = new Wire();
  const planner = createPlanner({ issuer, key: keys.planner.privateJwk, fetch: wire.fetch });
  const writer = createWriter({ issuer, key: keys.writer.privateJwk, fetch: wire.fetch });
  return {
    ...{ issuer, company, files, payments, planner, writer, keys, redirectUri, wire },
    patient: (onWaiting) =>
      createPlanner({ issuer, key: keys.planner.privateJwk, fetch: wire.fetch, waiting: { onWaiting } }),
    ...{ notes: notebook, folder, tokenFile, writ },
    offline: (...args) => command(args),
  };
}

const configuration = (issuer: string, folder: string, company: Company): object => {
  const { credential, ...provider } = company.identityProvider;
  const secret = credential.kind === 'secret' ? { clientSecret: credential.secret } : {};
  return {
    ...{ issuer, dataDir: join(folder, 'data'), identityProviders: [{ ...provider, ...secret }] },
    deferredTokenResponse: 'draft-01',
  };
};

/** The set that comes with Writ, but for payments: small ones need nobody, and large ones are refused. */
async function policies(folder: string): Promise<string> {
  const set = join(folder, 'policies');
  await cp('config/policies', set, { recursive: true });
  await cp('config/examples/policies', set, { recursive: true });
  return set;
}

/** The command line in this process; what it would print is the answer. */
async function command(args: readonly string[]): Promise<string> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await run(args, {
    env: {},
    readFile: readTextFile,
    makePrivateFile: () => false,
    readStdin: () => Promise.resolve(''),
    out: (line) => out.push(line),
    err: (line) => err.push(line),
  });
  if (code !== 0) throw new Error(`writ ${args.join(' ')}: ${err.join('\n')}`);
  return out.join('\n');
}

/** Held open together until all are known, so that no two are the same. */
async function freePorts(count: 4): Promise<[number, number, number, number]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) ports.push(Number(new URL(await listen(server)).port));
  await Promise.all(servers.map(close));
  const [a = 0, b = 0, c = 0, d = 0] = ports;
  return [a, b, c, d];
}
