import { parse as parseYamlValue } from 'yaml';
import { z } from 'zod';
import type { Seconds } from '../base/index.js';
import type { AdminApi } from './api.js';
import { withBudgets } from './budgets.js';
import { Failure, type Io } from './io.js';
import { newKey, readPublicKeys } from './key-material.js';

/** An object of the registry as it is being written; what is wrong with it Writ says. */
export type Draft = Readonly<Record<string, unknown>>;

/** What the flags of `create` and `change` say. Lists that are not given are absent. */
export type Flags = Readonly<{
  name?: string;
  owner?: string;
  sponsor?: string;
  purpose?: string;
  status?: string;
  clientId?: string;
  newKey?: string;
  jwks?: string;
  jwksUri?: string;
  secret?: boolean;
  redirectUri?: readonly string[];
  handOverTo?: readonly string[];
  allow?: readonly string[];
  disallow?: readonly string[];
  tool?: readonly string[];
  scope?: readonly string[];
  accept?: readonly string[];
  audience?: readonly string[];
  agent?: readonly string[];
  expires?: string;
  dpop?: boolean;
  budget?: readonly Draft[];
  set?: readonly string[];
}>;

/** `later` is done when Writ has found nothing wrong with the object, and before it is registered. */
export type Drafting = Readonly<{ api: AdminApi; io: Io; now: Seconds; later(work: () => void): void }>;

/** What the flags say, put into the object; what they do not speak of stays. */
export type Fill = (flags: Flags, before: Draft, drafting: Drafting) => Promise<Draft>;

export const fillAgent: Fill = async (flags, before, drafting) =>
  withSet(flags, {
    ...before,
    ...plainFields(flags),
    ...present('authentication', authenticationOf(flags, drafting)),
    ...present('redirect_uris', flags.redirectUri),
    ...present('hand_over_to', flags.handOverTo),
    ...present('budgets', flags.budget && withBudgets(before['budgets'], flags.budget)),
    ...present('allow', await allowOf(flags, before, drafting.api)),
    ...present('expires_at', flags.expires === undefined ? undefined : instantOf(flags.expires, drafting.now)),
  });

export const fillServer: Fill = async (flags, before, drafting) => {
  const tools = flags.tool === undefined ? undefined : merged(before['tools'], flags.tool.map(toolOf), 'name');
  return withSet(flags, {
    ...before,
    ...plainFields(flags),
    ...present('authentication', authenticationOf(flags, drafting)),
    ...present('tools', tools),
    ...present('scopes', scopesOf(flags, before, tools)),
    ...present('allow', await allowOf(flags, before, drafting.api)),
  });
};

export const fillIssuer: Fill = (flags, before, { io }) => {
  if (flags.jwks !== undefined && flags.jwksUri !== undefined)
    throw new Failure(2, 'give one of --jwks and --jwks-uri');
  const isMoved = flags.jwks !== undefined || flags.jwksUri !== undefined;
  const kept = Object.entries(before).filter(([field]) => !(isMoved && ['jwks', 'jwks_uri'].includes(field)));
  return Promise.resolve(
    withSet(flags, {
      ...Object.fromEntries(kept),
      ...plainFields(flags),
      ...present('jwks_uri', flags.jwksUri),
      ...present('jwks', flags.jwks === undefined ? undefined : readPublicKeys(flags.jwks, io)),
      ...present('agents', flags.agent),
      ...present(
        'accepts',
        flags.accept?.map((kind) => acceptedOf(kind, flags)),
      ),
    }),
  );
};

const present = (field: string, value: unknown): Draft => (value === undefined ? {} : { [field]: value });

const plainFields = ({ name, owner, sponsor, purpose, status, clientId, dpop }: Flags): Draft => ({
  ...present('name', name),
  ...present('owner', owner),
  ...present('sponsor', sponsor),
  ...present('purpose', purpose),
  ...present('status', status),
  ...present('client_id', clientId),
  ...present('dpop_required', dpop),
});

function authenticationOf({ newKey: file, jwks, jwksUri, secret }: Flags, { io, later }: Drafting): Draft | undefined {
  const ways = [file, jwks, jwksUri, secret].filter((way) => way !== undefined);
  if (ways.length > 1) throw new Failure(2, 'give one of --new-key, --jwks, --jwks-uri and --secret');
  const method = 'private_key_jwt';
  if (file !== undefined) {
    const { publicJwk, save } = newKey(file, io);
    later(save);
    return { method, jwks: { keys: [publicJwk] } };
  }
  if (jwks !== undefined) return { method, jwks: readPublicKeys(jwks, io) };
  if (jwksUri !== undefined) return { method, jwks_uri: jwksUri };
  return secret === true ? { method: 'client_secret_basic' } : undefined;
}

const Named = z.array(z.looseObject({}));

/** A list of things with names: the new ones in the place of those that they replace, or at its end. */
function merged(list: unknown, news: readonly Draft[], name: string): readonly Draft[] {
  const old: readonly Draft[] = Named.catch([]).parse(list);
  const replaced = old.map((one) => ({ ...one, ...news.find((other) => other[name] === one[name]) }));
  return [...replaced, ...news.filter((one) => !old.some((other) => other[name] === one[name]))];
}

/** `<name>:<tier>[:<action>:<data>]=<scope>[,<scope>…]` */
function toolOf(text: string): Draft {
  const [, name, tier, action, data, scopes] = /^([^:=]+):(\w+)(?::(\w+):(\w+))?=(.+)$/.exec(text) ?? [];
  if (scopes === undefined)
    throw new Failure(2, `--tool ${text}: write <name>:<tier>[:<action>:<data>]=<scope>[,<scope>], as in --help`);
  return { name, tier, ...present('action', action), ...present('data', data), scopes: scopes.split(',') };
}

const Scoped = z.array(z.object({ name: z.string().optional(), scopes: z.array(z.string()).catch([]) }));

/** The scopes of a server: those that it has, that are given, and that its tools need. */
function scopesOf({ scope }: Flags, before: Draft, tools: readonly Draft[] | undefined): readonly string[] | undefined {
  if (scope === undefined && tools === undefined) return undefined;
  const known = z.array(z.string()).catch([]).parse(before['scopes']);
  const needed = Scoped.catch([])
    .parse(tools ?? [])
    .flatMap(({ scopes }) => scopes);
  return [...new Set([...known, ...(scope ?? []), ...needed])];
}

/** `<resource>[#<tool>[,<tool>…]]`: a resource has no fragment, so what follows one can only be tools. */
async function allowOf(
  { allow, disallow }: Flags,
  before: Draft,
  api: AdminApi,
): Promise<readonly Draft[] | undefined> {
  if (allow === undefined && disallow === undefined) return undefined;
  const wanted = await Promise.all((allow ?? []).map((text) => ceilingOf(text, api)));
  return merged(before['allow'], wanted, 'resource').filter(
    ({ resource }) => disallow?.includes(String(resource)) !== true,
  );
}

const Server = z.object({ scopes: z.array(z.string()), tools: Scoped });

async function ceilingOf(text: string, api: AdminApi): Promise<Draft> {
  const [resource = '', names] = text.split('#');
  const { scopes, tools } = Server.parse(await api.get(`/servers/${encodeURIComponent(resource)}`));
  if (names === undefined || names === '*') return { resource, scopes, tools: '*' };
  const named = names.split(',');
  const needed = tools.filter(({ name }) => named.includes(name ?? '')).flatMap((tool) => tool.scopes);
  return { resource, scopes: [...new Set(needed)], tools: named };
}

const TOKEN_TYPES = {
  id_token: { token_type: 'urn:ietf:params:oauth:token-type:id_token', typ: null },
  access_token: { token_type: 'urn:ietf:params:oauth:token-type:access_token', typ: 'at+jwt' },
  jwt: { token_type: 'urn:ietf:params:oauth:token-type:jwt', typ: null },
} as const;
const TokenKind = z.enum(['id_token', 'access_token', 'jwt']);

function acceptedOf(kind: string, { audience, scope }: Flags): Draft {
  const known = TokenKind.safeParse(kind);
  if (!known.success) throw new Failure(2, `--accept ${kind}: is not one of id_token, access_token and jwt`);
  return { ...TOKEN_TYPES[known.data], ...present('audiences', audience), ...present('scopes', scope) };
}

/** An instant, a day, or so many days from now. */
export function instantOf(text: string, now: Seconds): string {
  const [, days] = /^(\d{1,5})d$/.exec(text) ?? [];
  const at = days === undefined ? Date.parse(text) : (now + Number(days) * 86_400) * 1000;
  if (Number.isNaN(at)) throw new Failure(2, `--expires ${text}: write a number of days such as 90d, or an instant`);
  return new Date(at).toISOString();
}

/** `<field>[.<field>…]=<YAML>` for everything that has no flag of its own. */
function withSet({ set = [] }: Flags, draft: Draft): Draft {
  return set.reduce((done, text) => {
    const at = text.indexOf('=');
    if (at < 1) throw new Failure(2, `--set ${text}: write <field>=<value>`);
    return setIn(done, text.slice(0, at).split('.'), valueOf(text, at));
  }, draft);
}

function valueOf(text: string, at: number): unknown {
  try {
    return parseYamlValue(text.slice(at + 1));
  } catch (cause) {
    throw new Failure(2, `--set ${text}: the value is not YAML`, { cause });
  }
}

function setIn(draft: Draft, [field = '', ...rest]: readonly string[], value: unknown): Draft {
  if (['', '__proto__', 'constructor', 'prototype'].includes(field))
    throw new Failure(2, `--set: ${field} is no field`);
  if (rest.length === 0) return { ...draft, [field]: value };
  return { ...draft, [field]: setIn(z.looseObject({}).catch({}).parse(draft[field]), rest, value) };
}
