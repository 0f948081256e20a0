import { type Case, type Material } from './material.js';
import { mutateText } from './mutate.js';
import type { Random } from './random.js';
import { requestBytes } from './wire.js';

type Pair = readonly [name: string, value: string];

/** Parameters lost, doubled, swapped, renamed and broken; and bodies that are no forms. */
export function formCase(material: Material, random: Random): Case {
  const forms = material.forms(random.of(material.issued) ?? 'a.b.c');
  const [route, form] = forms[random.below(forms.length)] ?? (['/token', {}] as const);
  let pairs: readonly Pair[] = Object.entries(form);
  for (let n = 1 + random.below(3); n > 0; n--) pairs = mutatePairs(pairs, random);
  const text = pairs.map(([name, value]) => `${encode(name, random)}=${encode(value, random)}`).join('&');
  if (route === '/auth') {
    const headers = material.headers();
    const target = `/auth?${text}`.slice(0, 20_000).replaceAll(/[\s\0]/g, '');
    return { route, bytes: requestBytes({ method: 'GET', target, headers }), isWhole: true };
  }
  return material.post(route, random.chance(0.1) ? breakBytes(text, random) : text);
}

function mutatePairs(pairs: readonly Pair[], random: Random): readonly Pair[] {
  const at = random.below(Math.max(pairs.length, 1));
  const [name, value] = pairs[at] ?? ['a', 'b'];
  const others = pairs.filter((_, n) => n !== at);
  switch (random.below(7)) {
    case 0:
      return others;
    case 1:
      return [...pairs, [name, random.chance(0.5) ? value : mutateText(value, random)]];
    case 2:
      return [...others, [mutateText(name, random).slice(0, 2_000), value]];
    case 3:
      return [...pairs, [random.of(UNKNOWN), mutateText(random.of(['a', '{}', '[]', 'a.b.c']), random)]];
    case 4:
      return [...others, [name, random.of(pairs)?.[1] ?? '']];
    default:
      return [...others, [name, mutateText(value, random)]];
  }
}

const UNKNOWN: readonly [string, ...string[]] = [
  'actor_token',
  'actor_token_type',
  'requested_token_type',
  'request_details',
  'request_context',
  'request',
  'request_uri',
  'claims',
  'resource',
  'audience',
  'dpop_jkt',
  'client_id',
  'client_secret',
  'id_token_hint',
  'login_hint',
  'max_age',
  'prompt',
  'ui_locales',
  'registration',
  'response_mode',
  'nonce',
  '__proto__',
  'constructor',
  'consume',
];

/** As a form has it, or carelessly. */
function encode(text: string, random: Random): string {
  if (random.chance(0.95)) return encodeURIComponent(text.toWellFormed());
  return random.chance(0.5) ? text.replaceAll(' ', '+') : `${encodeURIComponent(text.toWellFormed())}%`;
}

function breakBytes(text: string, random: Random): Buffer {
  const bytes = Buffer.from(text);
  for (let n = 1 + random.below(4); n > 0 && bytes.length > 0; n--)
    bytes[random.below(bytes.length)] = random.below(256);
  return random.chance(0.2) ? Buffer.concat(Array.from({ length: 1 + random.below(60) }, () => bytes)) : bytes;
}
