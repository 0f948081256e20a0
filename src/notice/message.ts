import type { RegistrySnapshot } from '../registry/index.js';
import { WORDS } from '../words/index.js';
import type { Due } from './ports.js';

/**
 * What somebody is told: who asks, and for what kind of thing. INVARIANT: no value of any argument, and nothing that the agent
 * wrote: push services, lock screens and webhooks read it. `path` only ever opens the page.
 */
export type Message = Readonly<{ title: string; body: string; path: string; tag: string }>;

export function messageOf(
  { approval, client, server, tool, tier, expiresAt }: Due,
  registry: RegistrySnapshot,
  issuer: string,
): Message {
  const known = registry.serverByResource(server);
  const sentence = known?.tools.find(({ name }) => name === tool)?.sentence?.replaceAll(/\{([^{}]+)\}/g, '$1');
  const at = new Date(expiresAt * 1_000).toISOString().slice(11, 16);
  const what = sentence ?? `${tool} (${known?.name ?? server})`;
  return {
    title: `${registry.agent(client)?.name ?? client} ${WORDS.notice.asks}`,
    body: `${what}. ${WORDS.notice.risk[tier]}. ${WORDS.notice.until} ${at} UTC.`,
    path: `${new URL(issuer).pathname.replace(/\/$/, '')}/approvals/${approval}`,
    // One of an agent at a time: a flood of it is one line on a screen.
    tag: client,
  };
}
