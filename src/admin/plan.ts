import { z } from 'zod';
import type { Agent, AgentDraft, McpServer, RegistryChange, TrustedIssuer } from '../registry/index.js';
import { agentKind, type Contents, issuerKind, type Kind, KINDS, type ObjectKind, serverKind } from './contents.js';
import { difference, FieldChange } from './difference.js';

/** What an administrator wants: these objects as they stand here, and those ids gone. */
export type Wish = Readonly<{
  agent: readonly Agent[];
  server: readonly McpServer[];
  issuer: readonly TrustedIssuer[];
  remove: readonly Readonly<{ kind: ObjectKind; id: string }>[];
}>;
/** A wish as it was sent: agents may lack their end, and name people as others know them. See settle.ts. */
export type Wanted = Omit<Wish, 'agent'> & Readonly<{ agent: readonly AgentDraft[] }>;
export const NOTHING: Wanted = { agent: [], server: [], issuer: [], remove: [] };

/** What a wish does to one object. */
export const ObjectChange = z.strictObject({
  kind: z.enum(KINDS),
  id: z.string(),
  change: z.enum(['created', 'changed', 'unchanged', 'removed']),
  fields: z.array(FieldChange).describe('Field by field, what was and what is; empty unless the object is changed.'),
});
export type ObjectChange = z.infer<typeof ObjectChange>;

export type Plan = Readonly<{ after: Contents; changes: readonly ObjectChange[]; writes: readonly RegistryChange[] }>;

/** Works a wish out against the registry. Decides nothing: see rules.ts. */
export function plan(before: Contents, wish: Wish): Plan {
  const gone = (kind: ObjectKind): readonly string[] =>
    wish.remove.filter((removal) => removal.kind === kind).map(({ id }) => id);
  const agent = planKind('agent', agentKind, before.agent, { wanted: wish.agent, gone: gone('agent') });
  const server = planKind('server', serverKind, before.server, { wanted: wish.server, gone: gone('server') });
  const issuer = planKind('issuer', issuerKind, before.issuer, { wanted: wish.issuer, gone: gone('issuer') });
  return {
    after: { agent: agent.after, server: server.after, issuer: issuer.after },
    changes: [...agent.changes, ...server.changes, ...issuer.changes],
    writes: [...agent.writes, ...server.writes, ...issuer.writes],
  };
}

type KindPlan<T> = Readonly<{ after: ReadonlyMap<string, T>; changes: ObjectChange[]; writes: RegistryChange[] }>;

function planKind<T>(
  name: ObjectKind,
  kind: Kind<T>,
  before: ReadonlyMap<string, T>,
  { wanted, gone }: Readonly<{ wanted: readonly T[]; gone: readonly string[] }>,
): KindPlan<T> {
  const after = new Map(before);
  const changes: ObjectChange[] = [];
  const writes: RegistryChange[] = [];
  for (const id of gone.filter((candidate) => before.has(candidate))) {
    after.delete(id);
    changes.push({ kind: name, id, change: 'removed', fields: [] });
    writes.push(kind.remove(id));
  }
  for (const object of wanted) {
    const id = kind.idOf(object);
    const known = before.get(id);
    const fields = known === undefined ? [] : difference(known, object);
    const change = known === undefined ? 'created' : fields.length === 0 ? 'unchanged' : 'changed';
    after.set(id, object);
    changes.push({ kind: name, id, change, fields: [...fields] });
    if (change !== 'unchanged') writes.push(kind.write(object));
  }
  return { after, changes, writes };
}
