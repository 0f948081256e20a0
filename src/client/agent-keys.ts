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
  const known = new WeakMap<RegisteredAgent, Map<string, Promise<KeyLife>>>();
  const lifeOf: AgentKeys['lifeOf'] = (agent, thumbprint) => {
    const ofAgent = known.get(agent) ?? new Map<string, Promise<KeyLife>>();
    const asked = ofAgent.get(thumbprint);
    if (asked !== undefined) return asked;
    // Keys at a URL come and go while the agent stays as it is.
    if (ofAgent.size >= MANY) ofAgent.clear();
    const life = lives.of(agent.client_id, thumbprint);
    known.set(agent, ofAgent.set(thumbprint, life));
    // An outage is not remembered.
    life.catch(() => ofAgent.get(thumbprint) === life && ofAgent.delete(thumbprint));
    return life;
  };
  return {
    lifeOf,
    isRevoked: (thumbprint) => lives.isRevoked(thumbprint),
    endOf: async (agent, thumbprint, now) => keyEnd(await lifeOf(agent, thumbprint), now, maxAge),
  };
}

const MANY = 64;
