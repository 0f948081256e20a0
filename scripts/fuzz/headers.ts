import type { Case, Material } from './material.js';
import { mutateText } from './mutate.js';
import type { Random } from './random.js';
import { type Headers, requestBytes } from './wire.js';

type Request = Readonly<{ method: string; target: string; headers: Headers; body: string }>;
type Change = (request: Request, random: Random, material: Material) => Request;

/** The head of a request broken: credentials, types, lengths, encodings, repeats, sizes, the request line. */
export function headerCase(material: Material, random: Random): Case {
  let request = soundRequest(material, random);
  for (let n = 1 + random.below(3); n > 0; n--) request = random.of(CHANGES)(request, random, material);
  const headers = request.headers.map(([name, value]) => [clean(name), clean(value)] as const);
  const bytes = requestBytes({ ...request, headers }, request.body);
  const cut = random.chance(0.03) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
  return { route: request.target.split('?')[0] ?? '', bytes: cut, isWhole: false };
}

/** A line break in a value would only make other headers, and those come by themselves. */
const clean = (text: string): string => text.replaceAll(/[\r\n]/g, ' ').slice(0, 60_000);

function soundRequest(material: Material, random: Random): Request {
  const [route, form] = material.forms(random.of(material.issued) ?? 'a.b.c')[random.below(14)] ?? ['/token', {}];
  const body = new URLSearchParams(form).toString();
  const type = random.chance(0.85) ? 'application/x-www-form-urlencoded' : 'application/json';
  const headers = material.headers([
    ['Content-Type', type],
    ['Content-Length', String(Buffer.byteLength(body))],
    ...(random.chance(0.3) ? ([['DPoP', material.cast.proof(route)['dpop'] ?? '']] as const) : []),
  ]);
  if (random.chance(0.75)) return { method: 'POST', target: route, headers, body };
  return { method: 'GET', target: random.of(READS), headers: material.headers(), body: '' };
}

const READS: readonly [string, ...string[]] = [
  '/jwks',
  '/livez',
  '/readyz',
  '/metrics',
  '/.well-known/oauth-authorization-server',
  '/.well-known/openid-configuration',
  '/admin/v1/agents',
  '/admin/v1/log?limit=1',
  '/auth/x',
  '/interaction/x',
  '/interaction/callback?state=x',
  '/nothing',
];

const put = (request: Request, name: string, value: string): Request => ({
  ...request,
  headers: [...request.headers.filter(([known]) => known.toLowerCase() !== name.toLowerCase()), [name, value]],
});
const add = (request: Request, name: string, value: string): Request => ({
  ...request,
  headers: [...request.headers, [name, value]],
});

const CHANGES: readonly [Change, ...Change[]] = [
  (request, random, material) => put(request, 'Authorization', authorization(random, material)),
  (request, random, material) => add(request, 'Authorization', authorization(random, material)),
  (request, random, material) => add(request, 'DPoP', mutateText(material.cast.proof('/token')['dpop'] ?? '', random)),
  (request, _random, material) => add(request, 'DPoP', material.cast.proof('/token')['dpop'] ?? ''),
  (request, random) =>
    put(request, 'Content-Type', mutateText('application/x-www-form-urlencoded; charset=utf-8', random)),
  (request, random) =>
    put(request, 'Content-Type', random.of(['application/json', 'multipart/form-data', 'text/plain', ''])),
  (request, random) =>
    put(request, 'Content-Length', random.of(['0', '1', '-1', '99999999999', 'x', '', '1e3', '0x10', '+5', '5, 5'])),
  (request) => add(request, 'Content-Length', '3'),
  (request, random) => chunked(request, random),
  (request, random) => add(request, 'Transfer-Encoding', random.of(['chunked', 'gzip, chunked', 'identity', 'x'])),
  (request, random) => put(request, 'Content-Encoding', random.of(['gzip', 'identity', 'br, gzip', 'x'])),
  (request, random) => put(request, 'Host', mutateText(`127.0.0.1`, random)),
  (request, random) => add(request, 'Host', random.of(['evil.example', ''])),
  (request, random) => add(request, random.of(FORWARDED), mutateText('evil.example:fake@127.0.0.1', random)),
  (request, random) => add(request, 'Cookie', mutateText('_session=a; _interaction=b; _session.sig=c', random)),
  (request, random) =>
    add(request, random.of(HARMLESS), mutateText('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', random)),
  (request, random) => add(request, `x-${'a'.repeat(random.below(2_000))}`, 'b'.repeat(random.below(40_000))),
  (request, random) => ({
    ...request,
    headers: [...request.headers, ...Array.from({ length: random.below(3_000) }, (_, n) => [`x-${n}`, '1'] as const)],
  }),
  (request, random) => add(request, mutateText('x-header', random), 'a'),
  (request, random) => ({
    ...request,
    method: random.of(['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'QUERY', 'get', 'X']),
  }),
  (request, random) => ({ ...request, target: target(mutateText(request.target, random)) }),
  (request, random) => ({ ...request, target: `${request.target}?${target(mutateText('a=b&scope=x', random))}` }),
  (request, random) => ({
    ...request,
    target: random.of([
      '*',
      '//evil.example/token',
      'http://evil.example/token',
      'http://',
      'http://[::1',
      'http://a:b@c/token',
      '/%2e%2e/token',
      '/token/',
      '/TOKEN',
      '/token;x',
      '/%00',
    ]),
  }),
  (request, random) => add(request, 'Expect', random.of(['100-continue', 'x'])),
  (request, random) =>
    add(request, random.of(['Connection', 'Upgrade']), random.of(['websocket', 'h2c', 'keep-alive', 'Upgrade'])),
  (request, random) =>
    add(request, random.of(['If-Match', 'If-None-Match', 'Range']), mutateText('"abc", W/"def", *', random)),
];

const FORWARDED: readonly [string, ...string[]] = [
  'X-Forwarded-Host',
  'X-Forwarded-Proto',
  'X-Forwarded-For',
  'Forwarded',
  'X-Original-URL',
  'X-HTTP-Method-Override',
];
const HARMLESS: readonly [string, ...string[]] = [
  'traceparent',
  'X-Request-Id',
  'Accept',
  'Accept-Language',
  'Origin',
  'Referer',
  'User-Agent',
  'Txn-Token',
];

const target = (text: string): string => text.replaceAll(/[\s\0]/g, '').slice(0, 40_000) || '/';

function authorization(random: Random, { adminToken }: Material): string {
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
  switch (random.below(5)) {
    case 0:
      return basic(mutateText('agt_writer:secret', random));
    case 1:
      return mutateText(basic('agt_writer:secret'), random);
    case 2:
      return mutateText(`Bearer ${adminToken}`, random);
    case 3:
      return `DPoP ${mutateText('a.b.c', random)}`;
    default:
      return basic(`${mutateText('agt_planner', random)}:%zz`);
  }
}

/** RFC 9112 section 7.1, mostly. */
function chunked(request: Request, random: Random): Request {
  const { body } = request;
  const at = random.below(body.length + 1);
  const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
  const sound = `${chunk(body.slice(0, at))}${chunk(body.slice(at))}0\r\n\r\n`.replaceAll(
    /(?:^|(?<=\r\n))0\r\n\r\n(?=[0-9a-f])/g,
    '',
  );
  const headers = request.headers.filter(([name]) => name.toLowerCase() !== 'content-length');
  return {
    ...request,
    headers: [...headers, ['Transfer-Encoding', 'chunked']],
    body: random.chance(0.5) ? sound : mutateText(sound, random),
  };
}
