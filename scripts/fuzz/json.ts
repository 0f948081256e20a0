import { TokenType } from 'writ/protocol';
import { type Case, type Material, RESOURCE, without } from './material.js';
import { mutateJson, mutateText } from './mutate.js';
import type { Random } from './random.js';
import { requestBytes } from './wire.js';

type Call = Readonly<{ method: string; route: string; target: string; body: unknown }>;

/** Bodies of the admin API, its paths and queries, and the JSON that forms carry. */
export function jsonCase(material: Material, random: Random): Case {
  return random.chance(0.35) ? embedded(material, random) : admin(material, random);
}

/** `authorization_details`, `request_details` and the rest, broken as JSON. */
function embedded(material: Material, random: Random): Case {
  const detail = {
    type: 'mcp_tool_call',
    locations: [RESOURCE],
    actions: ['tools/call'],
    identifier: 'write_file',
    arguments: { path: '/a', size: 1.5, deep: [{ b: null }] },
    max_uses: 1,
  };
  const [name, value] = random.of<[string, unknown]>([
    ['authorization_details', [detail]],
    ['authorization_details', [detail, { ...detail, identifier: 'read_file' }]],
    ['request_details', { task: 'T-1', purpose: 'p', txn: 'x' }],
    ['request_context', { txn: 'x' }],
    ['claims', { id_token: { acr: { essential: true } } }],
  ]);
  const form = { ...without(material.exchange(), name), [name]: mutateJson(value, random) };
  if (name !== 'claims') return material.post('/token', new URLSearchParams(form).toString());
  const pushed = {
    ...material.cast.authentication('agt_planner'),
    ...material.cast.pushed('x'.repeat(43)),
    claims: form[name] ?? '',
  };
  return material.post('/request', new URLSearchParams(pushed).toString());
}

function admin(material: Material, random: Random): Case {
  const calls = callsOf(material, random);
  const { method, route, target, body } = calls[random.below(calls.length)] ?? {
    method: 'GET',
    route: '/',
    target: '/',
    body: undefined,
  };
  const text = body === undefined ? '' : mutateJson(body, random);
  const headers = material.headers([
    ['Authorization', `Bearer ${material.adminToken}`],
    ...(random.chance(0.1)
      ? ([['If-Match', mutateText('"abc"', random).replaceAll(/[^\x20-\x7e]/g, '')]] as const)
      : []),
    ...(body === undefined
      ? []
      : ([
          ['Content-Type', 'application/json'],
          ['Content-Length', String(Buffer.byteLength(text))],
        ] as const)),
  ]);
  return { route: `${method} ${route}`, bytes: requestBytes({ method, target, headers }, text), isWhole: true };
}

/** Of objects of the fuzzer's own, so that the rest of the registry stays sound; some of the calls are meant to succeed. */
function callsOf(material: Material, random: Random): readonly Call[] {
  const { agents, servers } = material.registry();
  const [resource, issuer] = ['https://fuzz.example/mcp', 'https://fuzz.example'];
  const authentication = { method: 'client_secret_basic' };
  const agent = { ...agents[1], client_id: 'agt_fuzz', redirect_uris: ['https://fuzz.example/cb'] };
  const server = { ...servers[0], resource, client_id: 'srv_fuzz', authentication };
  const trusted = {
    name: 'Fuzz',
    accepts: [{ token_type: TokenType.idToken, typ: null, scopes: ['a'] }],
    agents: ['agt_fuzz'],
    issuer,
    jwks_uri: 'https://fuzz.example/jwks',
    client_ids: { a: 'agt_fuzz' },
    claims: { email: 'email' },
  };
  const id = (known: string): string =>
    encodeURIComponent((random.chance(0.3) ? mutateText(known, random) : known).toWellFormed());
  const query = (): string =>
    random.chance(0.5)
      ? ''
      : `?${encodeURI(mutateText('limit=5&after=0&kind=exchange', random).toWellFormed())}`.slice(0, 8_000);
  const at = (route: string, known: string, rest = ''): Pick<Call, 'route' | 'target'> => ({
    route: `${route}/:id${rest}`,
    target: `${route}/${id(known)}${rest}`,
  });
  const list = (route: string): Call => ({
    method: 'GET',
    route,
    target: `${route}${query()}`.replaceAll(/\s/g, ''),
    body: undefined,
  });
  return [
    { method: 'PUT', ...at('/admin/v1/agents', 'agt_fuzz'), body: agent },
    { method: 'PUT', ...at('/admin/v1/servers', resource), body: server },
    { method: 'PUT', ...at('/admin/v1/issuers', issuer), body: trusted },
    {
      method: 'POST',
      route: '/admin/v1/apply',
      target: '/admin/v1/apply',
      body: { agents: [agent], servers: [server], issuers: [trusted] },
    },
    {
      method: 'POST',
      route: '/admin/v1/apply',
      target: '/admin/v1/apply?dry_run=true',
      body: { ...material.registry(), prune: true },
    },
    { method: 'POST', ...at('/admin/v1/agents', 'agt_fuzz', '/secret'), body: {} },
    { method: 'POST', ...at('/admin/v1/sessions', 'ses_x', '/end'), body: { reason: 'test' } },
    { method: 'POST', ...at('/admin/v1/keys', 'kid', '/withdraw'), body: { reason: 'test' } },
    { method: 'DELETE', ...at('/admin/v1/agents', 'agt_fuzz'), body: undefined },
    { method: 'DELETE', ...at('/admin/v1/servers', resource), body: undefined },
    { method: 'GET', ...at('/admin/v1/agents', 'agt_fuzz'), body: undefined },
    { method: 'GET', ...at('/admin/v1/sessions', 'ses_x'), body: undefined },
    ...['agents', 'servers', 'issuers', 'sessions', 'log', 'keys'].map((name) => list(`/admin/v1/${name}`)),
  ];
}
