import { err, ok, type Result, type Seconds } from '../base/index.js';
import { type FormRequest, type Jws, JWT_BEARER_ASSERTION, parseJws } from '../protocol/index.js';
import { isUsable, type RegistrySnapshot } from '../registry/index.js';
import type { AgentKeys } from './agent-keys.js';
import { type SignedKind, verifyAssertion } from './assertion.js';
import type { Caller, ClientRefusal } from './caller.js';
import type { KeySource } from './keys.js';
import { DUMMY_SECRET_HASH, verifySecret } from './secret.js';

export type AuthenticationDeps = Readonly<{
  issuer: string;
  registry: RegistrySnapshot;
  keys: KeySource;
  agentKeys: Pick<AgentKeys, 'endOf'>;
  /** When the client signed something else than an assertion. */
  instead?: SignedKind | undefined;
  now: Seconds;
  skew: Seconds;
  /** Before a secret is checked: the seconds to wait, or `undefined`. */
  admitClaim(clientId: string): Promise<Seconds | undefined>;
}>;

type Credentials =
  | Readonly<{ method: 'private_key_jwt'; clientId: string; jws: Jws }>
  | Readonly<{ method: 'client_secret_basic' | 'client_secret_post'; clientId: string; secret: string }>;

/** RFC 6749 section 2.3: who is calling, by exactly one method, the one that the registry has for that client. */
export async function authenticateClient(
  request: FormRequest,
  deps: AuthenticationDeps,
): Promise<Result<Caller, ClientRefusal>> {
  const usedHeader = request.header('authorization').length > 0;
  const refuse = (reason: ClientRefusal['reason'], knownClient?: string, wait?: Seconds) =>
    err({ reason, knownClient, usedHeader, wait });
  const read = readCredentials(request);
  if (!read.ok) return refuse(read.error);
  const credentials = read.value;
  const party = findParty(deps.registry, credentials.clientId);
  const known = party === undefined ? undefined : credentials.clientId;
  const isSecret = credentials.method !== 'private_key_jwt';
  const wait = isSecret ? await deps.admitClaim(credentials.clientId) : undefined;
  if (wait !== undefined) return refuse('too_many_claims', known, wait);
  const checked = await check(credentials, party, deps);
  if (!checked.ok) return refuse(checked.error, known);
  if (party === undefined) return refuse('unknown_client');
  const usable = party.kind === 'agent' ? isUsable(party.agent, deps.now) : party.server.status === 'active';
  if (!usable) return refuse('unusable_client', known);
  const { keyThumbprint } = checked.value;
  if (party.kind === 'agent' && keyThumbprint !== undefined) {
    const end = await deps.agentKeys.endOf(party.agent, keyThumbprint, deps.now);
    if (end !== undefined) return refuse(end, known);
  }
  return ok({ clientId: credentials.clientId, party, method: credentials.method, ...checked.value });
}

type Checked = Pick<Caller, 'keyId' | 'keyThumbprint' | 'spends'>;

/** Does the same work whether the client exists or not, so that time does not tell (CA-16). */
async function check(
  credentials: Credentials,
  party: Caller['party'] | undefined,
  deps: AuthenticationDeps,
): Promise<Result<Checked, ClientRefusal['reason']>> {
  const client = party === undefined ? undefined : party.kind === 'agent' ? party.agent : party.server;
  if (credentials.method === 'private_key_jwt') {
    const keys = await deps.keys.keysOf(client?.authentication, credentials.jws);
    const { clientId, jws } = credentials;
    const { issuer, instead, now, skew } = deps;
    const verified = verifyAssertion(jws, { clientId, issuer, instead, now, skew, keys });
    if (client === undefined) return err('unknown_client');
    if (client.authentication.method !== 'private_key_jwt') return err('wrong_method');
    if (!verified.ok) return verified;
    const { replayKey, expiresAt, keyId, keyThumbprint } = verified.value;
    return ok({ keyId, keyThumbprint, spends: [{ what: 'assertion', key: replayKey, expiresAt }] });
  }
  const right = await verifySecret(credentials.secret, client?.secretHash ?? DUMMY_SECRET_HASH);
  if (client === undefined) return err('unknown_client');
  if (client.authentication.method !== credentials.method) return err('wrong_method');
  return right && client.secretHash !== undefined ? ok({ keyId: undefined, spends: [] }) : err('wrong_secret');
}

function findParty(registry: RegistrySnapshot, clientId: string): Caller['party'] | undefined {
  const agent = registry.agent(clientId);
  if (agent) return { kind: 'agent', agent };
  const server = registry.serverByClientId(clientId);
  return server && { kind: 'server', server };
}

function readCredentials(request: FormRequest): Result<Credentials, ClientRefusal['reason']> {
  const one = (name: string) => request.form.get(name)?.[0];
  const headers = request.header('authorization');
  const [secret, assertion, type, clientId] = [
    'client_secret',
    'client_assertion',
    'client_assertion_type',
    'client_id',
  ].map(one);
  const methods = [headers.length > 0, secret !== undefined, assertion !== undefined || type !== undefined];
  // RFC 6749 section 2.3: more than one method in a request is refused.
  if (methods.filter(Boolean).length > 1) return err('several_methods');
  // RFC 9110 section 5.3: Authorization is no list, so which of two was meant is nobody's to guess.
  if (headers.length > 1) return err('malformed_credentials');
  if (headers[0] !== undefined) return readBasic(headers[0], clientId);
  if (secret !== undefined) {
    return clientId === undefined ? err('no_credentials') : ok({ method: 'client_secret_post', clientId, secret });
  }
  if (assertion === undefined || type !== JWT_BEARER_ASSERTION)
    return err(type === undefined && assertion === undefined ? 'no_credentials' : 'malformed_credentials');
  const jws = parseJws(assertion);
  if (!jws.ok) return err('assertion_malformed');
  const issuedBy = jws.value.payload['sub'];
  if (typeof issuedBy !== 'string') return err('assertion_malformed');
  // RFC 7521 section 4.2: a client_id beside the assertion must name the same client.
  if (clientId !== undefined && clientId !== issuedBy) return err('assertion_wrong_subject');
  return ok({ method: 'private_key_jwt', clientId: issuedBy, jws: jws.value });
}

/** RFC 7617 with RFC 6749 section 2.3.1: both halves form-encoded, exact, no second reading. */
function readBasic(header: string, bodyClientId: string | undefined): Result<Credentials, ClientRefusal['reason']> {
  const text = /^Basic ([A-Za-z0-9+/]+={0,2})$/.exec(header)?.[1];
  if (text === undefined) return err('malformed_credentials');
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) return err('malformed_credentials');
  const decoded = bytes.toString('utf8');
  const colon = decoded.indexOf(':');
  if (colon < 1 || decoded.includes('\uFFFD')) return err('malformed_credentials');
  const [clientId, secret] = [formDecode(decoded.slice(0, colon)), formDecode(decoded.slice(colon + 1))];
  if (clientId === undefined || secret === undefined) return err('malformed_credentials');
  if (bodyClientId !== undefined && bodyClientId !== clientId) return err('malformed_credentials');
  return ok({ method: 'client_secret_basic', clientId, secret });
}

function formDecode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}
