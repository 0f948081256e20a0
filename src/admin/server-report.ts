import { z } from 'zod';
import { ok } from '../base/index.js';
import { type AccountablePeople, type McpServer, personNameOf, type RegistryReader } from '../registry/index.js';
import { contentsOf } from './contents.js';
import { NoBody, type Operation, operation } from './operation.js';
import { pageOf, Paging } from './shapes.js';

const Concern = z.enum(['owner_is_no_person', 'owner_unknown', 'owner_left']);

const Reported = z.strictObject({ resource: z.string(), owner: z.string(), concerns: z.array(Concern) });

const EXAMPLE: z.infer<typeof Reported> = {
  resource: 'https://mcp.example.com/files',
  owner: 'storage@example.com',
  concerns: ['owner_is_no_person'],
};

type Deps = Readonly<{ registry: RegistryReader; people: AccountablePeople }>;

/** OWASP NHI1: the active MCP servers for which no person answers. Nothing is refused for it: teams were good enough once. */
export const serverReportOperation = ({ registry, people }: Deps): Operation =>
  operation({
    id: 'reportServers',
    method: 'GET',
    path: '/admin/v1/reports/servers',
    about: 'Lists the active MCP servers for which no person answers who is here.',
    query: Paging,
    body: NoBody,
    answers: [{ status: 200, about: 'A page.', schema: pageOf(Reported), example: { items: [EXAMPLE], next: null } }],
    run: async ({ query: { limit, after = '' } }) => {
      const servers = [...contentsOf(await registry.refresh()).server.values()].filter(
        ({ status, resource }) => status === 'active' && resource > after,
      );
      const concernOf = await judge(servers, people);
      const all = servers
        .sort((one, other) => (one.resource < other.resource ? -1 : 1))
        .flatMap(({ resource, owner }) => {
          const concern = concernOf(owner);
          return concern === undefined ? [] : [{ resource, owner, concerns: [concern] }];
        });
      const items = all.slice(0, limit);
      return ok({ status: 200, body: { items, next: all.length > limit ? (items.at(-1)?.resource ?? null) : null } });
    },
  });

/** What is wrong with each of these owners. */
async function judge(
  servers: readonly McpServer[],
  people: AccountablePeople,
): Promise<(owner: string) => z.infer<typeof Concern> | undefined> {
  const ids = new Map<string, string>();
  for (const owner of new Set(servers.map((server) => server.owner))) {
    const name = personNameOf(owner);
    const id = name?.by === 'subject' ? (await people.find(name.issuer, name.subject))?.id : name?.id;
    if (id !== undefined) ids.set(owner, id);
  }
  const statuses = await people.statuses([...new Set(ids.values())]);
  return (owner) => {
    if (personNameOf(owner) === undefined) return 'owner_is_no_person';
    const status = statuses.get(ids.get(owner) ?? '');
    if (status === undefined) return 'owner_unknown';
    return status === 'active' ? undefined : 'owner_left';
  };
}
