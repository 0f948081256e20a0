import type { Cast } from '../drill/cast.js';
import { type Case, type Material } from './material.js';
import { mutateJson, mutateText } from './mutate.js';
import type { Random } from './random.js';
import type { Headers } from './wire.js';

type Slot = Readonly<{
  route: string;
  /** The parameter, or the header `DPoP`, that carries the token. */
  parameter: string;
  signer: keyof Cast['signers'];
  sound(material: Material): string;
}>;

const text = (value: string | undefined): string => value ?? '';

const SLOTS: readonly [Slot, ...Slot[]] = [
  {
    route: '/token',
    parameter: 'subject_token',
    signer: 'directory',
    sound: ({ cast }) => text(cast.exchange('bob')['subject_token']),
  },
  {
    route: '/token',
    parameter: 'actor_token',
    signer: 'agt_planner',
    sound: ({ cast }) => text(cast.actor()['actor_token']),
  },
  { route: '/token', parameter: 'client_assertion', signer: 'agt_planner', sound: agentAssertion },
  { route: '/token', parameter: 'DPoP', signer: 'proofs', sound: ({ cast }) => text(cast.proof('/token')['dpop']) },
  {
    route: '/introspect',
    parameter: 'client_assertion',
    signer: 'srv_files',
    sound: ({ cast }) => text(cast.authentication('srv_files')['client_assertion']),
  },
  { route: '/introspect', parameter: 'token', signer: 'directory', sound: issuedToken },
  { route: '/revoke', parameter: 'token', signer: 'directory', sound: issuedToken },
  { route: '/revoke', parameter: 'client_assertion', signer: 'agt_planner', sound: agentAssertion },
  { route: '/request', parameter: 'client_assertion', signer: 'agt_planner', sound: agentAssertion },
  { route: '/request', parameter: 'request', signer: 'agt_planner', sound: agentAssertion },
  { route: '/request', parameter: 'DPoP', signer: 'proofs', sound: ({ cast }) => text(cast.proof('/request')['dpop']) },
];

function agentAssertion({ cast }: Material): string {
  return text(cast.authentication('agt_planner')['client_assertion']);
}

function issuedToken({ issued }: Material): string {
  return issued[0] ?? 'a.b.c';
}

/** A token whose header or payload is broken and signed all the same, or whose text or signature is. */
export function jwtCase(material: Material, random: Random): Case {
  const slot = random.of(SLOTS);
  const token = breakToken(slot.sound(material), material.signer(slot.signer), random);
  const form = { ...formOf(slot, material), ...(slot.parameter === 'DPoP' ? {} : { [slot.parameter]: token }) };
  const headers: Headers =
    slot.parameter === 'DPoP' ? [['DPoP', token.replaceAll(/[^\x21-\x7e]/g, '').slice(0, 30_000)]] : [];
  const body = new URLSearchParams(form).toString();
  return material.post(slot.route, body, headers);
}

function formOf({ route, parameter }: Slot, material: Material): Readonly<Record<string, string>> {
  const { cast } = material;
  const agent = cast.authentication('agt_planner');
  switch (route) {
    case '/introspect':
      return { ...cast.authentication('srv_files'), token: issuedToken(material) };
    case '/revoke':
      return { ...agent, token: 'a.b.c' };
    case '/request':
      return { ...agent, ...cast.pushed('x'.repeat(43)) };
    default:
      return { ...material.exchange(), ...(parameter === 'actor_token' ? cast.actor() : {}) };
  }
}

function breakToken(token: string, signer: Cast['signers']['directory'], random: Random): string {
  const [header = '', payload = '', tail = ''] = token.split('.');
  const read = (part: string): unknown => {
    try {
      return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    } catch {
      return {};
    }
  };
  const plain = (part: string): string => Buffer.from(part, 'base64url').toString('utf8');
  switch (random.below(8)) {
    case 0:
      return mutateText(token, random);
    case 1:
      return `${header}.${payload}.${mutateText(tail, random)}`;
    case 2:
      return signer.sign(breakHeader(read(header), random), plain(payload));
    case 3:
      return signer.sign(mutateJson(read(header), random), plain(payload));
    case 4:
      return signer.sign(plain(header), mutateText(plain(payload), random));
    default:
      return signer.sign(plain(header), mutateJson(read(payload), random));
  }
}

/** What attackers write into headers. */
function breakHeader(header: unknown, random: Random): string {
  const sound = typeof header === 'object' && header !== null ? header : {};
  return JSON.stringify({
    ...sound,
    ...random.of<object>([
      { alg: random.of(['none', 'None', 'HS256', 'RS256', 'ES384', 'PS256', 'EdDSA', '']) },
      {
        typ: random.of([
          'JWT',
          'at+jwt',
          'application/at+jwt',
          'txnat+jwt',
          'txntoken+jwt',
          'dpop+jwt',
          'X'.repeat(300),
        ]),
      },
      { kid: random.of(['', '../../etc/passwd', "' OR 1=1", '\0', 'x'.repeat(5_000)]) },
      { b64: false, crit: ['b64'] },
      { crit: random.of<unknown>([[], ['exp'], 'b64', {}]) },
      {
        jwk: { kty: random.of(['EC', 'RSA', 'oct', 'OKP', 'x']), crv: 'P-256', x: 'AA', y: 'AA', n: 'AQAB', e: 'AQAB' },
      },
      { jwk: { kty: 'RSA', n: 'w'.repeat(1_400), e: random.of(['AQAB', 'AA', '', 'w'.repeat(16)]) } },
      {
        jwk: {
          kty: 'EC',
          crv: random.of(['P-256', 'P-521', 'secp256k1', 'Ed25519']),
          x: 'A'.repeat(43),
          y: 'A'.repeat(43),
        },
      },
      { jwk: { kty: 'OKP', crv: 'Ed25519', x: random.of(['A'.repeat(43), 'AA', '']) } },
      { jku: 'http://127.0.0.1:9/x', x5u: 'http://127.0.0.1:9/x', x5c: ['AA'] },
      { zip: 'DEF', enc: 'A256GCM', cty: 'JWT' },
    ]),
  });
}
