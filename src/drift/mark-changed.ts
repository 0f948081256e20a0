import { type Clock, Fault } from '../base/index.js';
import {
  type DefinitionReport,
  type McpServer,
  type RegistryReader,
  type RegistryWriter,
  type Reported,
  withReport,
} from '../registry/index.js';

export type DriftDeps = Readonly<{ registry: RegistryReader; writer: RegistryWriter; clock: Clock }>;

/** Which tool of which server, and what was seen of it. */
export type Sighting = Readonly<{ resource: string; tool: string }> & Omit<DefinitionReport, 'seenAt'>;

const TRIES = 5;

/** Has a tool wait for a review when its definition was seen to differ. The log names who said so. */
export async function markChanged(sighting: Sighting, deps: DriftDeps): Promise<Reported | 'unknown_tool'> {
  for (let tried = 1; ; tried++) {
    try {
      return await mark(sighting, deps);
    } catch (thrown) {
      if (!(thrown instanceof Fault && thrown.code === 'registry_unsettled') || tried === TRIES) throw thrown;
    }
  }
}

async function mark(
  { resource, tool: name, ...report }: Sighting,
  { registry, writer, clock }: DriftDeps,
): Promise<Reported | 'unknown_tool'> {
  const snapshot = await registry.refresh();
  const registered = snapshot.serverByResource(resource);
  const tool = registered?.tools.find((candidate) => candidate.name === name);
  if (registered === undefined || tool === undefined) return 'unknown_tool';
  const seenAt = new Date(clock.now() * 1_000).toISOString();
  const marked = withReport(tool, { ...report, seenAt });
  if (marked.result !== 'marked') return marked.result;
  const tools = registered.tools.map((candidate) => (candidate === tool ? marked.tool : candidate));
  const server: McpServer & { secretHash?: unknown } = { ...registered, tools };
  delete server.secretHash;
  await writer.write([{ kind: 'server', object: server }], report.by, snapshot.version);
  return marked.result;
}
