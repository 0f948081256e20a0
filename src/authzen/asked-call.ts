import { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import type { CallQuestion } from '../policy/index.js';
import {
  ClientId,
  Digest,
  digest,
  Instant,
  type Json,
  MAX_CHAIN,
  parseScope,
  ResourceUri,
  Text,
} from '../protocol/index.js';
import { type Evaluation, type FieldFlaw, flawOf } from './request.js';

/** The actor of a call: a client id, or the `act` claim of its token (RFC 8693 section 4.1). */
type Act = string | { sub: string; act?: Act | undefined };
const Act: z.ZodType<Act> = z.lazy(() => z.union([ClientId, z.object({ sub: ClientId, act: Act.optional() })]));

const Words = Text.min(1).max(512);
export const ApprovalId = z.string().regex(/^[\w-]{1,128}$/);
const JsonValue: z.ZodType<Json> = z.json();

/** What a question about a tool says beside its four entities. Unknown members are ignored. */
const Facts = z.object({
  subject: z.object({ properties: z.object({ act: Act.optional(), scope: z.string().max(4096).optional() }) }),
  resource: z.object({
    properties: z.object({ server: ResourceUri.optional(), definition_sha256: Digest.optional() }),
  }),
  context: z.object({
    agent: ClientId.optional(),
    txn: Words.optional(),
    task: Words.optional(),
    purpose: Words.optional(),
    arguments: z.record(z.string(), JsonValue).optional(),
    args_sha256: Digest.optional(),
    acr: Words.optional(),
    auth_time: Instant.optional(),
    ip: z.union([z.ipv4(), z.ipv6(), z.cidrv6()]).optional(),
    cnf: z.object({ jkt: Digest }).optional(),
    // ARAP, re-evaluation mode. It is a name to look up; what else comes with it is nobody's word.
    approval: z.object({ id: ApprovalId }).optional(),
  }),
});

/** A question about a tool call, as far as it says; what it leaves open, the caller's own registration fills. */
export type AskedCall = Readonly<{
  personId: string;
  agents: readonly string[];
  server: string | undefined;
  txn: string | undefined;
  /** Where the agent's request came from, as the server that asks saw it. */
  ip: string | undefined;
  /** What a person approved, as the caller says. */
  approval: string | undefined;
  about: Omit<CallQuestion, 'person' | 'agents' | 'server'>;
}>;

/** STANDARDS 6.3: subject is the person, resource the tool; who acts and with which arguments stands beside them. */
export const isAboutTool = ({ resource }: Evaluation): boolean => resource.type === 'tool';

/** Reads what belongs to a tool call, or names the field that is not what it has to be. */
export function readCall(question: Evaluation, prefix: string): Result<AskedCall, FieldFlaw> {
  const read = Facts.safeParse(question);
  if (!read.success) return err(flawOf(read.error, question, prefix));
  const flaw = (path: string, hint: string) => err({ path: `${prefix}${path}`, hint });
  const { subject, resource, context } = read.data;
  const chain = chainOf(subject.properties.act);
  if (chain.length > MAX_CHAIN) return flaw('subject.properties.act', `may nest at most ${String(MAX_CHAIN)} actors`);
  if (context.agent !== undefined && chain[0] !== undefined && chain[0] !== context.agent)
    return flaw('context.agent', 'must be the actor of subject.properties.act');
  const scopes = subject.properties.scope === undefined ? undefined : parseScope(subject.properties.scope);
  if (subject.properties.scope !== undefined && scopes === undefined)
    return flaw('subject.properties.scope', 'must be scope tokens separated by single spaces');
  const hashed = context.arguments && digest(context.arguments);
  if (hashed?.ok === false) return flaw('context.arguments', 'must have an RFC 8785 form');
  if (hashed !== undefined && context.args_sha256 !== undefined && hashed.value !== context.args_sha256)
    return flaw('context.args_sha256', 'must be the hash of context.arguments');
  return ok({
    personId: question.subject.id,
    agents: chain.length > 0 ? chain : context.agent === undefined ? [] : [context.agent],
    server: resource.properties.server,
    txn: context.txn,
    ip: context.ip,
    approval: context.approval?.id,
    about: {
      tool: question.resource.id,
      scopes,
      arguments: context.arguments,
      argumentsSha256: hashed?.value ?? context.args_sha256,
      definitionSha256: resource.properties.definition_sha256,
      task: context.task,
      purpose: context.purpose,
      acr: context.acr,
      authTime: context.auth_time,
      jkt: context.cnf?.jkt,
    },
  });
}

function chainOf(act: Act | undefined): readonly string[] {
  if (act === undefined) return [];
  return typeof act === 'string' ? [act] : [act.sub, ...chainOf(act.act)];
}
