import type { Result, Seconds } from '../base/index.js';
import type { JsonObject } from '../protocol/index.js';
import type { Agent } from './agent.js';
import type { TrustedIssuer } from './issuer.js';
import type { McpServer } from './server.js';
import type { RegistrySnapshot } from './snapshot.js';

/** Read side: the newest snapshot this process has. */
export interface RegistryReader {
  /** Never waits; may be older than the database, which is why every commit compares versions. */
  current(): RegistrySnapshot;
  /** Reads the database and swaps the snapshot whole. Called when a commit or an introspection saw a newer version. */
  refresh(): Promise<RegistrySnapshot>;
}

/** A change of the registry; `secret` is the plain secret, kept only as a hash. */
export type RegistryChange =
  | Readonly<{ kind: 'agent'; object: Agent; secret?: string; retires?: RetiringKey }>
  | Readonly<{ kind: 'server'; object: McpServer; secret?: string }>
  | Readonly<{ kind: 'issuer'; object: TrustedIssuer }>
  | Readonly<{ kind: 'remove-agent' | 'remove-server' | 'remove-issuer'; id: string }>;

/** The key of an agent that this change puts another in the place of, and for how long it is taken beside that one. */
export type RetiringKey = Readonly<{ thumbprint: string; overlap: Seconds }>;

/** Write side. All changes of one call are one transaction, one new version and one log record each, or nothing. */
export interface RegistryWriter {
  /**
   * Answers the new version. With `basis` it is made only if the registry is still at that version, the one that the
   * rules were checked against; otherwise, and when a client id is taken, it throws Fault('registry_unsettled').
   */
  write(changes: readonly RegistryChange[], by: string, basis?: number): Promise<number>;
}

/** What an MCP server says of its tools: the entries of `tools/list` as they were sent, in its protocol revision. */
export type ListedTools = Readonly<{ revision: string; tools: readonly JsonObject[] }>;

/** Why the tools of a server could not be read. The sentence has nothing that the server sent. */
export type ReadingFlaw = Readonly<{ code: ReadingFlawCode; sentence: string }>;
export type ReadingFlawCode =
  | 'unsafe_address'
  | 'unreachable'
  | 'too_slow'
  | 'redirected'
  | 'unauthorized'
  | 'forbidden'
  | 'server_failed'
  | 'too_large'
  | 'too_many_pages'
  | 'too_many_tools'
  | 'not_mcp';

/** Asks an MCP server for its tools. `token` is for this one reading: it goes nowhere else and is kept nowhere. */
export type ToolsReader = (
  from: Readonly<{ resource: string; token: string | undefined }>,
) => Promise<Result<ListedTools, ReadingFlaw>>;
