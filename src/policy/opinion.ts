import type { Actor, ActionClass, DataClass, Json, JsonObject, Tier } from '../protocol/index.js';

/** What a decision point beside our own policies is asked: who would have which tools of one MCP server called. */
export type Question = Readonly<{
  resource: string;
  /** Our stable id; of somebody whom we meet for the first time `<issuer>#<subject>`, which no id of ours can be. */
  person: Readonly<{ id: string; attributes: Readonly<Record<string, string>> }>;
  agent: string;
  /** Current actor first. */
  actors: readonly Actor[];
  transaction: string | undefined;
  task: string | undefined;
  purpose: string | undefined;
  acr: string | undefined;
  authTime: number | undefined;
  tools: readonly AskedTool[];
}>;

export type AskedTool = Readonly<{
  name: string;
  action: ActionClass | undefined;
  data: DataClass | undefined;
  tier: Tier;
  argumentsSha256: string | undefined;
  /** Without those that the catalogue marks as sensitive. */
  arguments: JsonObject | undefined;
}>;

/** Why there is no answer to rely on. */
export type Silence =
  | 'timeout'
  | 'unreachable'
  | 'wrong_status'
  | 'malformed'
  | 'too_large'
  | 'not_discovered'
  /** Not even asked: it was silent a moment ago. */
  | 'circuit_open';

/** What one decision point says of all the tools that it was asked about. */
export type Opinion = Readonly<{
  point: string;
  says: 'yes' | 'no';
  /** `decided`: it said so itself. `obligation`: its yes asks for what we do not know how to do. */
  because: 'decided' | 'obligation' | Silence;
  tools: readonly string[];
  /** The first of them that it refused. */
  refused?: string;
  /** SHA-256 of what it answered, for the log. */
  answer?: string;
}>;

/** Decision points beside our own policies. Each that is configured for a server must say yes; silence is no. */
export interface DecisionPoints {
  /** The ids of those that decide on calls at this MCP server too. */
  idsFor(resource: string): readonly string[];
  /** Asks all of them, in bounded time. Never rejects: an outage is an opinion. */
  ask(question: Question, requestId: string): Promise<readonly Opinion[]>;
}

/** The points that must agree, and what they said. */
export type Opinions = Readonly<{ wanted: readonly string[]; given: readonly Opinion[] }>;

/** A point beside ours said no, or could not be heard. */
export type PointRefusal = Readonly<{
  reason: 'decision_point_refuses' | 'decision_point_silent';
  term: 'policy';
  point: string;
  because: Opinion['because'];
  tool: string;
  decision: string;
  policies: readonly string[];
  messages: readonly string[];
}>;

/** What a record keeps of opinions. */
export const toldOf = (opinions: readonly Opinion[] | undefined): Json | undefined =>
  opinions?.map(({ point, says, because, refused, answer }) => ({
    point,
    says,
    because,
    ...(refused === undefined ? {} : { tool: refused }),
    answer: answer ?? null,
  }));
