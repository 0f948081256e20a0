// The policy decision beside bare evaluations of Cedar on the same slices, in one process and interleaved. Prints one JSON line.
import { preparsePolicySet, statefulIsAuthorized } from '@cedar-policy/cedar-wasm/nodejs';
import type { DecisionInput } from '../../src/policy/set/facts.js';
import { compilePolicySet, type PolicySet, type PolicyTool } from '../../src/policy/set/index.js';
import { projectArguments } from '../../src/policy/set/projection.js';
import { ToolShelf } from '../../src/policy/set/schema.js';
import { type Slice, Slices } from '../../src/policy/set/slices.js';
import type { DecisionFigure } from './decision-figures.js';
import { median, quantile } from './load.js';

const { rounds, count } = JSON.parse(process.argv[2] ?? '') as { rounds: number; count: number };
const SERVER = 'https://mcp.example.com/bank';
const SIZES = [
  { policies: 10, tools: 100 },
  { policies: 200, tools: 1_000 },
  { policies: 2_000, tools: 10_000 },
] as const;
const WARM = 3;

type Seen = DecisionFigure['varied'];

function measureSize({ policies, tools }: (typeof SIZES)[number]): DecisionFigure {
  const catalogue = Array.from({ length: tools }, (_, index) => toolOf(index));
  const text = policiesOf(policies);
  const started = performance.now();
  const set = compiled(text, catalogue, 10_000);
  const compileMs = performance.now() - started;
  const forgetful = compiled(text, catalogue, 0);
  const bare = bareEvaluations(set, catalogue);
  const varied = Array.from({ length: count }, (_, index) => inputOf(index, { policies, tools }));
  const few = Array.from({ length: count }, (_, index) => inputOf(index % 64, { policies, tools }));
  const work = {
    varied: () => each(varied, (input) => forgetful.decide(input).verdict === 'allow'),
    bare: () =>
      each(
        varied.map((input) => bare(input)),
        (ask) => ask(),
      ),
    forgetful: () => each(few, (input) => forgetful.decide(input).verdict === 'allow'),
    repeating: () => each(few, (input) => set.decide(input).verdict === 'allow'),
  };
  const seen = new Map<string, Seen[]>();
  // The first rounds are for the compiler.
  for (let round = -WARM; round < rounds; round++) {
    for (const [name, run] of Object.entries(work)) {
      const times = run();
      if (round >= 0) seen.set(name, [...(seen.get(name) ?? []), times]);
    }
  }
  const of = (name: string): Seen => ({
    p50: median((seen.get(name) ?? []).map(({ p50 }) => p50)),
    p99: median((seen.get(name) ?? []).map(({ p99 }) => p99)),
  });
  return {
    policies,
    tools,
    compileMs,
    varied: of('varied'),
    bare: of('bare'),
    repeating: of('repeating'),
    forgetful: of('forgetful'),
  };
}

function compiled(text: string, tools: readonly PolicyTool[], remember: number): PolicySet {
  const set = compilePolicySet([{ path: 'bench.cedar', text }], tools, { remember });
  if (!set.ok) throw new Error(JSON.stringify(set.error[0]));
  return set.value;
}

function each<T>(items: readonly T[], isFine: (item: T) => boolean): Seen {
  const times: number[] = [];
  for (const item of items) {
    const started = process.hrtime.bigint();
    const fine = isFine(item);
    times.push(Number(process.hrtime.bigint() - started) / 1_000);
    if (!fine) throw new Error('a decision of the bench was not a yes');
  }
  times.sort((a, b) => a - b);
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

/** The same question to the same slice, ready made and asked of Cedar itself. */
function bareEvaluations(set: PolicySet, catalogue: readonly PolicyTool[]): (input: DecisionInput) => () => boolean {
  const [slices, shelf] = [new Slices(set.policies), new ToolShelf(catalogue)];
  const names = new Map<Slice, string>();
  const nameOf = (slice: Slice): string => {
    const known = names.get(slice) ?? `bare-${String(names.size)}`;
    if (!names.has(slice)) preparsePolicySet(known, { staticPolicies: { ...slice.policies } });
    names.set(slice, known);
    return known;
  };
  return (input) => {
    const tool = shelf.at(`${input.tool.server}#${input.tool.name}`);
    if (tool === undefined) throw new Error('no such tool');
    const slice = slices.slice(tool, input, new Set());
    const projected = input.arguments && projectArguments(input.arguments, tool.type, slice.arguments);
    const seen = { tool, arguments: projected?.ok === true ? projected.value : undefined };
    const call = { ...slice.question(input, seen), preparsedPolicySetId: nameOf(slice), validateRequest: false };
    return () => {
      const answer = statefulIsAuthorized(call);
      return answer.type === 'success' && answer.response.decision === 'allow';
    };
  };
}

/** Eight policies for all tools, the rest for one tool each: no tool meets more than ten. */
function policiesOf(total: number): string {
  const broad = `
    @id("people") permit(principal is Person, action in [Action::"read", Action::"pay"], resource);
    @id("agents") permit(principal is Agent, action, resource) when { principal.kind == "agent" };
    @id("servers") permit(principal is Agent, action in Action::"read", resource) when { principal.kind == "mcp_server" };
    @id("depth") forbid(principal is Agent, action, resource) when { context.chain.depth > 5 };
    @id("guests") forbid(principal is Person, action, resource) when { principal.hasTag("level") && principal.getTag("level") == "guest" };
    @id("bound") forbid(principal, action in Action::"tier:critical", resource) unless { context.sender_constrained };
    @id("long") forbid(principal is Agent, action, resource) when { context.session has age && context.session.age > 86400 };
    @id("night") forbid(principal is Person, action in Action::"pay", resource) when { context.time.hour < 1 };`;
  const own = Array.from({ length: total - 8 }, (_, index) => {
    const tool = `action == Action::"${SERVER}#tool_${String(index * 5)}"`;
    return `@id("own-${String(index)}") forbid(principal, ${tool}, resource) unless { context has arguments && context.arguments.amount.lessThanOrEqual(decimal("100.0")) };`;
  });
  return [broad, ...own].join('\n');
}

/** Every fifth tool pays. */
function toolOf(index: number): PolicyTool {
  const isPayment = index % 5 === 0;
  return {
    server: SERVER,
    name: `tool_${String(index)}`,
    action: isPayment ? 'pay' : 'read',
    data: 'internal',
    tier: isPayment ? 'critical' : 'low',
    inputSchema: {
      type: 'object',
      properties: { amount: { type: 'number' }, to: { type: 'string' }, note: { type: 'string' } },
      required: ['amount', 'to'],
    },
    sensitive: [],
  };
}

/** Half payments, each of a tool with a policy of its own, half reads; another person and other arguments each time. */
const inputOf = (index: number, { policies, tools }: Readonly<{ policies: number; tools: number }>): DecisionInput => ({
  tool: {
    server: SERVER,
    name: `tool_${String(index % 2 === 0 ? (Math.floor(index / 2) % (policies - 8)) * 5 : index % tools)}`,
  },
  person: { id: `prs_${String(index)}`, attributes: { department: 'finance', level: 'staff' } },
  agent: { id: 'agt_planner', owner: 'platform@example.com', kind: 'agent' },
  chain: ['agt_writer', 'agt_planner'],
  session: { state: 'active', age: 60, depth: 0, purpose: undefined, acr: undefined },
  task: 'T-1182',
  purpose: 'pay-rent',
  now: 1_795_348_800 + index,
  ip: '192.0.2.7',
  acr: 'urn:example:phr',
  authTime: 1_795_348_000,
  senderConstrained: true,
  arguments: { amount: (index % 9_000) / 100, to: `DE${String(index)}`, note: 'rent' },
  discharged: [],
});

console.log(JSON.stringify(SIZES.map(measureSize)));
