import type { Delegation, Person } from '../delegation/index.js';
import type { JsonObject, McpToolCall } from '../protocol/index.js';
import type { RegisteredServer, RegistrySnapshot } from '../registry/index.js';
import { narrow } from './ceilings.js';
import type { AskedTool, Question } from './opinion.js';

/** What to ask others about this delegation; nothing where it names no tool, or the registry's ceilings refuse it anyway. */
export function questionOf(delegation: Delegation, registry: RegistrySnapshot): Question | undefined {
  const { wanted, presenter, subject, context, person, actors } = delegation;
  if (wanted.target.kind !== 'server') return undefined;
  const { clientId, kind } = presenter;
  const client = kind === 'agent' ? registry.agent(clientId) : registry.serverByClientId(clientId);
  const server = registry.serverByResource(wanted.target.resource);
  if (client === undefined || server === undefined) return undefined;
  const narrowed = narrow(delegation, { client, server });
  const details = narrowed.ok ? (narrowed.value.details ?? []) : [];
  if (details.length === 0) return undefined;
  return {
    resource: server.resource,
    person: { id: idOf(person), attributes: person.attributes },
    agent: clientId,
    actors,
    transaction: subject.transaction,
    task: context.task,
    purpose: context.purpose,
    acr: subject.acr,
    authTime: subject.authTime,
    tools: details.map((detail) => toolOf(detail, delegation, server)),
  };
}

// An issuer is a URL, so nobody's subject elsewhere can be taken for an id of ours.
const idOf = ({ id, issuer = '', subject = '' }: Person): string => id ?? `${issuer}#${subject}`;

function toolOf(
  { identifier: name, arguments_sha256: argumentsSha256 }: McpToolCall,
  { wanted }: Delegation,
  { tools }: RegisteredServer,
): AskedTool {
  const tool = tools.find((one) => one.name === name);
  const given = wanted.tools?.find((one) => one.name === name)?.arguments;
  return {
    name,
    action: tool?.action,
    data: tool?.data,
    tier: tool?.tier ?? 'critical',
    argumentsSha256,
    arguments: given === undefined || tool === undefined ? undefined : withoutSensitive(given, tool.sensitive),
  };
}

const withoutSensitive = (given: JsonObject, sensitive: readonly string[]): JsonObject =>
  Object.fromEntries(Object.entries(given).filter(([name]) => !sensitive.includes(name)));
