import type { Seconds } from '../../base/index.js';
import { ServerMetadata, wellKnown } from '../../protocol/index.js';
import { AgentError } from './errors.js';
import { requestJson } from './http.js';
import type { Settings } from './options.js';

/** What the issuer publishes of itself, remembered for ten minutes; one discovery in flight at a time. */
export type Discovery = () => Promise<ServerMetadata>;

/** See {@link Discovery}. */
export function createDiscovery(settings: Settings): Discovery {
  let held: { metadata: ServerMetadata; until: Seconds } | undefined;
  let flight: Promise<ServerMetadata> | undefined;
  const load = async (): Promise<ServerMetadata> => {
    try {
      const metadata = await discover(settings);
      held = { metadata, until: settings.clock.now() + 600 };
      return metadata;
    } finally {
      flight = undefined;
    }
  };
  return () => (held && held.until > settings.clock.now() ? Promise.resolve(held.metadata) : (flight ??= load()));
}

async function discover({ issuer, fetch, timeoutMs }: Settings): Promise<ServerMetadata> {
  const { status, body } = await requestJson(fetch, wellKnown('oauth-authorization-server', issuer), { timeoutMs });
  const metadata = ServerMetadata.safeParse(body);
  if (status !== 200 || !metadata.success)
    throw new AgentError('bad_answer', 'the issuer publishes no usable metadata');
  // RFC 8414 section 3.3: identical, or somebody else's document is being read.
  if (metadata.data.issuer !== issuer) throw new AgentError('bad_answer', 'the metadata names another issuer');
  return metadata.data;
}
