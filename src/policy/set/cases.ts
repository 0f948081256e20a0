import { z } from 'zod';
import { ActionClass, canonicalize, DataClass, type Json, Tier } from '../../protocol/index.js';
import { CLIENT_PROOFS } from '../../registry/index.js';
import type { DecisionInput } from './facts.js';
import type { PolicySet } from './policy-set.js';
import { objectOf, type PolicyTool } from './tool.js';
import { recordOf, type Verdict } from './verdict.js';

const ToolReference = z
  .string()
  .regex(/^[^#]+#.+$/, { error: 'must be the URI of a server, #, and the name of a tool' });

const CaseTool = z.strictObject({
  tool: ToolReference,
  action: ActionClass,
  data: DataClass.default('internal'),
  tier: Tier.default('low'),
  input_schema: z.record(z.string(), z.unknown()).optional(),
});

const CaseRequest = z.strictObject({
  tool: ToolReference,
  person: z
    .strictObject({ id: z.string().optional(), attributes: z.record(z.string(), z.string()).default({}) })
    .prefault({}),
  agent: z
    .strictObject({
      id: z.string().default('agt_example'),
      owner: z.string().default('owner@example.com'),
      kind: z.enum(['agent', 'mcp_server']).default('agent'),
    })
    .prefault({}),
  chain: z.array(z.string()).optional(),
  chain_authentication: z.enum(CLIENT_PROOFS).optional(),
  session_age: z.int().min(0).default(0),
  session: z
    .strictObject({
      state: z.enum(['new', 'active']).optional(),
      depth: z.int().min(0).default(0),
      purpose: z.string().optional(),
      acr: z.string().optional(),
    })
    .prefault({}),
  task: z.string().optional(),
  purpose: z.string().optional(),
  at: z.iso.datetime().default('2026-01-05T12:00:00Z'),
  ip: z.string().optional(),
  acr: z.string().optional(),
  authenticated: z.iso.datetime().optional(),
  sender_constrained: z.boolean().default(true),
  arguments: z.record(z.string(), z.unknown()).optional(),
  discharged: z.array(z.string()).default([]),
});

const Case = z.strictObject({
  name: z.string().min(1),
  request: CaseRequest,
  decision: z.enum(['allow', 'deny', 'ask', 'broken']),
  reason: z.string().optional().describe('Of a deny its reason; of an ask what it requires, with commas.'),
  record: z.record(z.string(), z.unknown()).optional().describe('Members that the record must have.'),
});

/** A file of cases: requests, and what a policy set must say of them. */
export const PolicyCases = z.strictObject({
  tools: z.array(CaseTool).default([]).describe('Tools beside those of the registry.'),
  cases: z.array(Case).min(1),
});
export type PolicyCases = z.infer<typeof PolicyCases>;
type Case = z.infer<typeof Case>;

/** What became of one case: `differences` is empty when it is as wanted. */
export type CaseResult = Readonly<{ name: string; differences: readonly string[] }>;

export const toolsOf = ({ tools }: PolicyCases): readonly PolicyTool[] =>
  tools.map(({ tool, action, data, tier, input_schema }) => ({
    ...referred(tool),
    action,
    data,
    tier,
    sensitive: [],
    inputSchema: input_schema && objectOf(input_schema),
  }));

export const runCases = (set: PolicySet, { cases }: PolicyCases): readonly CaseResult[] =>
  cases.map((one) => ({ name: one.name, differences: differences(one, set.decide(inputOf(one))) }));

function differences({ decision, reason, record = {} }: Case, verdict: Verdict): readonly string[] {
  const got = recordOf(verdict);
  const wanted: (readonly [string, Json | undefined, Json | undefined])[] = [
    ['decision', decision, verdict.verdict],
    ...(reason === undefined ? [] : [['reason', reason, reasonOf(verdict)] as const]),
    ...Object.entries(objectOf(record)).map(([name, value]) => [`record.${name}`, value, got[name]] as const),
  ];
  return wanted
    .filter(([, want, have]) => text(want) !== text(have))
    .map(([name, want, have]) => `${name}: wanted ${text(want)}, got ${text(have)}; the record is ${text(got)}`);
}

function reasonOf(verdict: Verdict): string {
  if (verdict.verdict === 'deny') return verdict.reason;
  return verdict.verdict === 'ask' ? verdict.requires.join(', ') : verdict.verdict;
}

function text(value: Json | undefined): string {
  const canonical = value === undefined ? undefined : canonicalize(value);
  return canonical?.ok === true ? canonical.value : 'nothing';
}

function inputOf({ request }: Case): DecisionInput {
  const { person, agent, at, authenticated, sender_constrained, arguments: given, ...rest } = request;
  const { task, purpose, ip, acr, discharged } = rest;
  return {
    ...{ task, purpose, ip, acr, discharged, agent },
    tool: referred(request.tool),
    person: { id: person.id, attributes: person.attributes },
    chain: request.chain ?? [agent.id],
    chainAuthentication: request.chain_authentication,
    session: sessionOf(request),
    now: seconds(at),
    authTime: authenticated === undefined ? undefined : seconds(authenticated),
    senderConstrained: sender_constrained,
    arguments: given && objectOf(given),
  };
}

const sessionOf = ({ session, session_age: age }: z.infer<typeof CaseRequest>): DecisionInput['session'] => ({
  state: session.state ?? (age === 0 ? 'new' : 'active'),
  ...{ age, depth: session.depth, purpose: session.purpose, acr: session.acr },
});

const seconds = (instant: string): number => Math.floor(Date.parse(instant) / 1_000);

function referred(tool: string): Pick<PolicyTool, 'server' | 'name'> {
  const hash = tool.indexOf('#');
  return { server: tool.slice(0, hash), name: tool.slice(hash + 1) };
}
