import type { DecisionInput, PolicyFlaw, PolicySet, PolicyTool, SessionFacts } from '../../src/policy/index.js';
import { readPolicyFiles } from '../../src/config/index.js';
import type { TestWrit } from './writ.js';
import { compilePolicySet } from '../../src/policy/index.js';

export const FILES = 'https://mcp.example.com/files';
export const BANK = 'https://mcp.example.com/bank';

/** A low-tier read without arguments, with these differences. */
export const aTool = (more: Partial<PolicyTool> = {}): PolicyTool => ({
  server: FILES,
  name: 'read_file',
  action: 'read',
  data: 'internal',
  tier: 'low',
  inputSchema: undefined,
  sensitive: [],
  ...more,
});

export const transfer = aTool({
  server: BANK,
  name: 'transfer',
  action: 'pay',
  data: 'confidential',
  tier: 'critical',
  inputSchema: {
    type: 'object',
    properties: {
      amount: { type: 'number' },
      to: { type: 'string' },
      times: { type: 'integer' },
      note: { type: 'string' },
    },
    required: ['amount', 'to', 'times'],
    additionalProperties: false,
  },
});

/** A session that this very call opens, with these differences. */
export const aSession = (more: Partial<SessionFacts> = {}): SessionFacts => ({
  ...{ state: 'new', age: 0, depth: 0, purpose: undefined, acr: undefined },
  ...more,
});

/** A planner that reads a file for a person of finance, with these differences. */
export const anInput = (more: Partial<DecisionInput> = {}): DecisionInput => ({
  tool: { server: FILES, name: 'read_file' },
  person: { id: 'prs_ada', attributes: { department: 'finance' } },
  agent: { id: 'agt_planner', owner: 'platform@example.com', kind: 'agent' },
  chain: ['agt_planner'],
  session: aSession(),
  task: undefined,
  purpose: undefined,
  now: 1_795_305_600,
  ip: '192.0.2.7',
  acr: undefined,
  authTime: undefined,
  senderConstrained: true,
  arguments: undefined,
  discharged: [],
  ...more,
});

export const theTransfer = (args: DecisionInput['arguments'], more: Partial<DecisionInput> = {}): DecisionInput =>
  anInput({ tool: { server: BANK, name: 'transfer' }, arguments: args, ...more });

/** The set of one file, or an error that says why it was refused. */
export function setOf(text: string, tools: readonly PolicyTool[] = [aTool(), transfer], remember = 0): PolicySet {
  const compiled = compilePolicySet([{ path: 'test.cedar', text }], tools, { remember });
  if (!compiled.ok)
    throw new Error(compiled.error.map(({ line, problem }) => `${String(line)}: ${problem}`).join('\n'));
  return compiled.value;
}

export function flawsOf(text: string, tools: readonly PolicyTool[] = [aTool(), transfer]): readonly PolicyFlaw[] {
  const compiled = compilePolicySet([{ path: 'test.cedar', text }], tools);
  return compiled.ok ? [] : compiled.error;
}

/** Permits whatever the ceilings let through, for tests of everything but policies. */
export function permitEverything(tools: readonly PolicyTool[]): PolicySet {
  const set = compilePolicySet(readPolicyFiles('test/support/policies'), tools);
  if (!set.ok) throw new Error(JSON.stringify(set.error));
  return set.value;
}

/** Stages and activates these policies by the admin API; answers their hash. */
export async function activate({ admin }: Pick<TestWrit, 'admin'>, text: string): Promise<string> {
  const staged = await admin('POST', '/policies', { files: [{ path: 'rules.cedar', text }] });
  const { hash } = staged.body as { hash: string };
  const activated = await admin('POST', `/policies/${encodeURIComponent(hash)}/activate`);
  if (activated.status !== 200) throw new Error(`${staged.text}\n${activated.text}`);
  return hash;
}
