import type { Seconds } from '../base/index.js';
import { keyEnd, type KeyLife, type KeyLives, type RegisteredAgent } from '../registry/index.js';

/** How old keys of agents are, asked once for each version of an agent: what rotates a key changes the agent. */
export interface AgentKeys {
  lifeOf(agent: RegisteredAgent, thumbprint: string): Promise<KeyLife>;
  /** OWASP NHI7: why this key proves nothing any more, or `undefined`. */
  endOf(agent: RegisteredAgent, thumbprint: string, now: Seconds): Promise<ReturnType<typeof keyEnd>>;
  /** Asked each time: whether the key was taken from its agent. */
  isRevoked(thumbprint: string): Promise<boolean>;
}

export function agentKeys(lives: Pick<KeyLives, 'of' | 'isRevoked'>, maxAge: Seconds): AgentKeys {
  const known = new WeakMap<RegisteredAgent, Map<string, KeyLife>>();
  const lifeOf: AgentKeys['lifeOf'] = async (agent, thumbprint) => {
    const ofAgent = known.get(agent) ?? new Map<string, KeyLife>();
    const life = ofAgent.get(thumbprint) ?? (await lives.of(agent.client_id, thumbprint));
    // Keys at a URL come and go while the agent stays as it is.
    if (ofAgent.size >= MANY) ofAgent.clear();
    known.set(agent, ofAgent.set(thumbprint, life));
    return life;
  };
  return {
    lifeOf,
    isRevoked: (thumbprint) => lives.isRevoked(thumbprint),
    endOf: async (agent, thumbprint, now) => keyEnd(await lifeOf(agent, thumbprint), now, maxAge),
  };
}

const MANY = 64;
