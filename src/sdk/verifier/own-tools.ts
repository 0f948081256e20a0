import { type JsonObject, listedPin, watchToolsList } from '../../protocol/index.js';
import type { Clock } from '../../base/index.js';
import type { ToolGrant } from './delegation.js';
import { type Fetch, fetchJson } from './http.js';
import { authenticate, type Client } from './introspection.js';

type Definition = Readonly<{ name: string }> & JsonObject;

/** The tools of a server as its `tools/list` has them, all of them or one by one. */
export type Tools =
  readonly Definition[] | ((tool: string) => Definition | undefined | Promise<Definition | undefined>);

/** What the tools of this server are now: a second opinion on what a token was minted for. */
export interface OwnTools {
  /** False when the tool is another one than the token is for. True where nothing is known of it. */
  isAsReviewed(grant: ToolGrant): Promise<boolean>;
  /** Learns from an answer of this server to `tools/list`, which passes on as it is. */
  watch(response: Response): Response;
}

const MAX_HEARD = 2_048;

/** With `tools` these are what counts, and a token that says nothing of the definition is not good enough. */
export function createOwnTools(tools: Tools | undefined, report: Report): OwnTools {
  const heard = new Map<string, JsonObject>();
  const learn = (listed: readonly JsonObject[]): void => {
    for (const tool of listed) {
      const { name } = tool;
      if (typeof name === 'string' && (heard.has(name) || heard.size < MAX_HEARD)) heard.set(name, tool);
    }
  };
  const find = async (name: string): Promise<JsonObject | undefined> => {
    if (tools === undefined) return heard.get(name);
    return typeof tools === 'function' ? tools(name) : tools.find((tool) => tool.name === name);
  };
  return {
    watch: (response) => (tools === undefined ? watchToolsList(response, learn) : response),
    isAsReviewed: async ({ tool, definitionSha256 }) => {
      const definition = await find(tool);
      if (definition === undefined) return tools === undefined;
      const pin = listedPin(definition);
      if (pin !== undefined && pin === definitionSha256) return true;
      if (definitionSha256 === undefined) return tools === undefined;
      report(tool, definition, pin);
      return false;
    },
  };
}

/** Tells Writ what a tool is now. Nobody waits for it, and it never throws. */
export type Report = (tool: string, definition: JsonObject, pin: string | undefined) => void;

type ReportOptions = Readonly<{
  client: Client | undefined;
  issuerId: string;
  fetch: Fetch;
  clock: Clock;
  timeoutMs: number;
}>;

/** Seconds between two reports of the same thing, and how many things are remembered. */
const PAUSE = 60;
const MAX_REPORTED = 2_048;

/** See {@link Report}. Without credentials nothing is told. */
export function createReport({ client, issuerId, fetch, clock, timeoutMs }: ReportOptions): Report {
  const reported = new Map<string, number>();
  const send = async (tool: string, definition: JsonObject): Promise<void> => {
    if (client === undefined) return;
    const { headers, ...proof } = authenticate(client, { issuerId, clock });
    const body = new URLSearchParams({ tool, definition: JSON.stringify(definition), ...proof });
    const url = `${issuerId}/tools/v1/reports`;
    await fetchJson(fetch, url, {
      method: 'POST',
      headers: { accept: 'application/json', ...headers },
      body,
      timeoutMs,
    });
  };
  return (tool, definition, pin) => {
    const now = clock.now();
    const last = reported.get(`${tool} ${pin ?? ''}`);
    if (last !== undefined && now - last < PAUSE) return;
    if (reported.size >= MAX_REPORTED) reported.clear();
    reported.set(`${tool} ${pin ?? ''}`, now);
    void Promise.allSettled([send(tool, definition)]);
  };
}
