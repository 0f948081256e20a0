import { sha256 } from '../protocol/index.js';
import type { Judged } from './ports.js';

type AskedTool = Readonly<{ name: string; argumentsSha256: string | undefined }>;

/**
 * SHA-256 over the RFC 8785 form of what the policy set was asked, tool by tool: arguments by their digest, and without
 * what may have to be erased, which is the person's attributes and the network. `undefined` when it was not asked.
 */
export function inputDigest(judged: readonly Judged[], tools: readonly AskedTool[]): string | undefined {
  if (judged.length === 0) return undefined;
  // INVARIANT: the keys stand in the order of RFC 8785 section 3.2.3, so that this is its form without another pass.
  const asked = judged.map(({ input }) => ({
    acr: input.acr,
    agent: { id: input.agent.id, kind: input.agent.kind, owner: input.agent.owner },
    arguments_sha256: tools.find(({ name }) => name === input.tool.name)?.argumentsSha256,
    auth_time: input.authTime,
    chain: input.chain,
    chain_authentication: input.chainAuthentication,
    now: input.now,
    person: input.person.id,
    purpose: input.purpose,
    sender_constrained: input.senderConstrained,
    server: input.tool.server,
    session: input.session && {
      acr: input.session.acr,
      age: input.session.age,
      depth: input.session.depth,
      purpose: input.session.purpose,
      state: input.session.state,
    },
    task: input.task,
    tool: input.tool.name,
  }));
  return sha256(JSON.stringify(asked));
}
