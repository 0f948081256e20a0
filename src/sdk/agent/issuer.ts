import type { Seconds } from '../../base/index.js';
import { ServerMetadata, wellKnown } from '../../protocol/index.js';
import { AgentError } from './errors.js';
import { requestJson } from './http.js';
import type { Settings } from './options.js';

/** Address of the token endpoint, remembered for ten minutes; one discovery in flight at a time. */
export function createDiscovery(settings: Settings): () => Promise<string> {
  let held: { endpoint: string; until: Seconds } | undefined;
  let flight: Promise<string> | undefined;
  const load = async (): Promise<string> => {
    try {
      const endpoint = await discover(settings);
      held = { endpoint, until: settings.clock.now() + 600 };
      return endpoint;
    } finally {
      flight = undefined;
    }
  };
  return () => (held && held.until > settings.clock.now() ? Promise.resolve(held.endpoint) : (flight ??= load()));
}

async function discover({ issuer, fetch, timeoutMs }: Settings): Promise<string> {
  const { status, body } = await requestJson(fetch, wellKnown('oauth-authorization-server', issuer), { timeoutMs });
  const metadata = ServerMetadata.safeParse(body);
  if (status !== 200 || !metadata.success)
    throw new AgentError('bad_answer', 'the issuer publishes no usable metadata');
  // RFC 8414 section 3.3: identical, or somebody else's document is being read.
  if (metadata.data.issuer !== issuer) throw new AgentError('bad_answer', 'the metadata names another issuer');
  return metadata.data.token_endpoint;
}
