import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type Keys, POLICIES, registry } from './material.js';
import { type Child, freePort, start, type Start } from './process.js';

export const ADMIN_TOKEN = 'bench-admin-token-0123456789-abcdefghijklmnop';

/** A running Writ, as `npm start` runs it. */
export type House = Child & Readonly<{ port: number }>;

export type HouseOptions = Readonly<{
  issuer: string;
  /** A PostgreSQL server; without it the embedded database. */
  databaseUrl?: string | undefined;
  /** Another build to measure, by its main.js. */
  main?: string | undefined;
  /** For a second process on the same database: the keys and secrets of the first. */
  dataDir?: string | undefined;
  core?: string;
  /** Settings that differ from those of every other. */
  settings?: Readonly<Record<string, string>>;
  profileDir?: string | undefined;
}>;

/** Starts the built server on its own core, with a data directory and an environment of its own. */
export async function startHouse(options: HouseOptions): Promise<House & Readonly<{ dataDir: string }>> {
  const port = await freePort();
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'writ-bench-data-'));
  const env = {
    WRIT_ISSUER: options.issuer,
    WRIT_PORT: String(port),
    WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
    WRIT_TRUST_DOMAIN: 'bench.example',
    WRIT_DATA_DIR: dataDir,
    // One client makes all the load here.
    WRIT_REQUESTS_PER_CLIENT: '1000000',
    ...(options.databaseUrl === undefined ? {} : { DATABASE_URL: options.databaseUrl }),
    ...options.settings,
  };
  const profiling = options.profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profileDir}`];
  const built = fileURLToPath(new URL('../../src/main.js', import.meta.url));
  const how: Start = {
    script: options.main ?? built,
    env,
    nodeOptions: profiling,
    ready: /Writ serves/,
  };
  const child = await start(options.core === undefined ? how : { ...how, core: options.core });
  const stop = async (): Promise<void> => {
    await child.stop();
    if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
  };
  return { ...child, stop, port, dataDir };
}

/** Registers the bench's agent, MCP server and issuer by the admin API. */
export async function furnish(house: House, keys: Keys): Promise<void> {
  await admin(house, 'apply', registry(keys));
}

/** Puts policies that look at arguments in the place of those that Writ comes with. */
export async function lookAtArguments(house: House): Promise<void> {
  const staged = await admin(house, 'policies', { files: [{ path: 'bench.cedar', text: POLICIES }] });
  const { hash } = z.object({ hash: z.string() }).parse(staged);
  await admin(house, `policies/${encodeURIComponent(hash)}/activate`, undefined);
}

/** Changes something by the admin API. */
export const admin = (house: House, path: string, body: object | undefined): Promise<unknown> =>
  ask(house, path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

/** Asks something of it. */
export const asked = (house: House, path: string): Promise<unknown> => ask(house, path, { method: 'GET', headers: {} });

type Asking = Readonly<{ method: string; headers: Record<string, string>; body?: string }>;

async function ask({ port }: House, path: string, { headers, ...how }: Asking): Promise<unknown> {
  const response = await fetch(`http://127.0.0.1:${port}/admin/v1/${path}`, {
    ...how,
    headers: { ...headers, authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** Copies of the registered agent and MCP server, straight into the tables: a hundred thousand by HTTP would take a while. */
export const multiply = (count: number): string => `
  INSERT INTO agent (client_id, status, document)
    SELECT 'agt_copy_' || n, status, jsonb_set(document, '{client_id}', to_jsonb('agt_copy_' || n))
    FROM agent, generate_series(1, ${count}) AS n WHERE client_id = 'agt_bench';
  INSERT INTO mcp_server (resource, client_id, status, document)
    SELECT 'https://copy.example/' || n, 'srv_copy_' || n, status,
      document || jsonb_build_object('resource', 'https://copy.example/' || n, 'client_id', 'srv_copy_' || n,
        'tools', jsonb_build_array(document -> 'tools' -> 0))
    FROM mcp_server, generate_series(1, ${count}) AS n WHERE client_id = 'srv_bench';
  UPDATE registry_state SET version = version + 1;`;

/** People with a session each that goes on for hours, straight into the tables. */
export const liveSessions = (count: number): string => `
  INSERT INTO person (id, issuer, subject, attributes)
    SELECT 'prs_live_' || n, 'https://live.example', n::text, '{}' FROM generate_series(1, ${count}) AS n;
  INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, expires_at, idle_until)
    SELECT 'ses_live_' || n, 'live ' || n, 'prs_live_' || n, 'agt_bench', 'active', 1,
      now() + interval '8 hours', now() + interval '8 hours' FROM generate_series(1, ${count}) AS n;`;
