import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  candidates,
  canonicalize,
  clientAssertion,
  type ClientKey,
  dpopProof,
  flattenAct,
  formatScope,
  importClientKey,
  importKey,
  type Json,
  memberText,
  nestAct,
  parseArguments,
  parseJws,
  parseScope,
  parseStrict,
  PrivateJwk,
  sha256,
  thumbprint,
  verifyProof,
  verifySignature,
} from '../../src/protocol/index.js';
import { NOW } from '../support/delegations.js';

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const RESERVED = ['__proto__', 'constructor', 'prototype'];

/** What JSON keeps of a value: no -0, and numbers that every parser reads alike where `safe`. */
const json = (safe: boolean): fc.Arbitrary<Json> =>
  fc
    .letrec<{ value: Json }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.constantFrom<Json>(null, true, false),
        fc.string({ unit: 'grapheme' }),
        fc.string({ unit: 'binary' }),
        safe
          ? fc.oneof(fc.maxSafeInteger(), fc.double({ noNaN: true, max: 1e15, min: -1e15, noInteger: true }))
          : fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.array(tie('value'), { maxLength: 5 }),
        fc.dictionary(fc.string({ unit: 'binary' }), tie('value'), { maxKeys: 5, noNullPrototype: true }),
      ),
    }))
    .value.filter((value) => !RESERVED.some((name) => JSON.stringify(value).includes(`"${name}"`)))
    .map(plain);
const plain = (value: Json): Json => JSON.parse(JSON.stringify(value)) as Json;
const object = fc.dictionary(
  fc.string({ unit: 'grapheme' }).filter((key) => !RESERVED.includes(key)),
  json(true),
  { maxKeys: 5, noNullPrototype: true },
);

const readOf = (text: string): unknown => {
  const parsed = parseStrict(text);
  return parsed.ok ? parsed.value : parsed.error;
};
const canonicalOf = (value: Json): string => {
  const canonical = canonicalize(value);
  if (!canonical.ok) throw new Error(canonical.error);
  return canonical.value;
};

/** JSON text as somebody else might write it: members in another order, space between tokens, characters escaped. */
const spelled = (value: Json, random: () => number): string => {
  const space = (): string => ['', '', ' ', '\n', '\t \r\n'][Math.floor(random() * 5)] ?? '';
  if (typeof value === 'string')
    return `"${value.replace(/[^]/g, (unit) =>
      random() < 0.3 || unit < ' ' || unit === '"' || unit === '\\'
        ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
        : unit,
    )}"`;
  if (Array.isArray(value))
    return `[${space()}${value.map((one: Json) => spelled(one, random)).join(`${space()},${space()}`)}${space()}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).sort(() => random() - 0.5);
    const text = members.map(
      ([name, member]) => `${spelled(name, random)}${space()}:${space()}${spelled(member, random)}`,
    );
    return `{${space()}${text.join(`${space()},${space()}`)}${space()}}`;
  }
  return JSON.stringify(value);
};
const randomOf = (seed: number): (() => number) => {
  let state = seed;
  return () => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32;
};

describe('strict JSON', () => {
  it('reads what was written', () => {
    fc.assert(
      fc.property(json(false), (value) => {
        expect(readOf(JSON.stringify(value))).toEqual(value);
      }),
      { numRuns: 2_000 },
    );
  });

  it('reads it the same however it is spelled', () => {
    fc.assert(
      fc.property(json(true), fc.nat(), (value, seed) => {
        expect(readOf(spelled(value, randomOf(seed)))).toEqual(value);
      }),
      { numRuns: 2_000 },
    );
  });

  it('reads no text otherwise than JSON.parse does, and throws at none', () => {
    const broken = fc
      .tuple(json(false), fc.nat(), fc.string({ maxLength: 2 }), fc.nat({ max: 3 }))
      .map(([value, at, put, cut]) => {
        const text = JSON.stringify(value);
        const from = at % (text.length + 1);
        return text.slice(0, from) + put + text.slice(from + cut);
      });
    const tokens = fc
      .array(fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', '"a"', '"b"', '1', 'null', ' ', '\\u0061'))
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(broken, tokens, fc.string({ unit: 'binary' })), (text) => {
        const parsed = parseStrict(text);
        if (parsed.ok) expect(parsed.value).toEqual(JSON.parse(text));
      }),
      { numRuns: 5_000 },
    );
  });

  it('refuses a member that is named twice, wherever it is and however it is spelled', () => {
    const inside = fc.tuple(object, json(true), fc.nat(), fc.constantFrom('list', 'member', 'top'));
    fc.assert(
      fc.property(inside, ([value, again, seed, place]) => {
        const random = randomOf(seed);
        const [name = 'a'] = Object.keys(value);
        const text = spelled({ ...value, [name]: value[name] ?? null }, random);
        const twice = text.replace(/\s*\}$/, () => `,${spelled(name, random)}:${spelled(again, random)}}`);
        const whole = { list: `[0,${twice}]`, member: `{"x":${twice}}`, top: twice }[place];
        expect(readOf(whole)).toBe('duplicate_key');
      }),
      { numRuns: 1_000 },
    );
  });

  it('cuts out of an object the text of each member, to the byte', () => {
    fc.assert(
      fc.property(object, fc.nat(), (value, seed) => {
        const text = spelled(value, randomOf(seed));
        for (const [name, member] of Object.entries(value)) {
          const cut = memberText(text, name);
          expect(text).toContain(cut);
          expect(readOf(cut ?? '')).toEqual(member);
        }
        expect(memberText(text, `${Object.keys(value).join('')}~`)).toBeUndefined();
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('RFC 8785', () => {
  const wellFormed = json(true).filter((value) => canonicalize(value).ok);

  it('is a fixed point: the canonical form reads back as the value, and its canonical form is itself', () => {
    fc.assert(
      fc.property(wellFormed, (value) => {
        const text = canonicalOf(value);
        expect(readOf(text)).toEqual(value);
        expect(canonicalOf(JSON.parse(text) as Json)).toBe(text);
      }),
      { numRuns: 2_000 },
    );
  });

  it('gives one digest to every spelling of arguments, and another to other arguments', () => {
    const hashOf = (text: string): unknown => {
      const read = parseArguments(text);
      return read.ok ? read.value.sha256 : read.error;
    };
    const one = object.filter((value) => canonicalize(value).ok);
    fc.assert(
      fc.property(one, one, fc.nat(), (value, other, seed) => {
        const hash = sha256(canonicalOf(value));
        expect(hashOf(spelled(value, randomOf(seed)))).toBe(hash);
        expect(hashOf(JSON.stringify(other)) === hash).toBe(canonicalOf(other) === canonicalOf(value));
      }),
      { numRuns: 1_000 },
    );
  });
});

const keyOf = (more: object, pair: ReturnType<typeof generateKeyPairSync>): ClientKey => {
  const key = importClientKey(PrivateJwk.parse({ ...pair.privateKey.export({ format: 'jwk' }), ...more }));
  if (!key.ok) throw new Error(key.error);
  return key.value;
};
const ec = keyOf({ kid: 'ec' }, generateKeyPairSync('ec', { namedCurve: 'P-256' }));
const keys: readonly ClientKey[] = [
  ec,
  keyOf({ kid: 'ed' }, generateKeyPairSync('ed25519')),
  keyOf({ kid: 'rs' }, generateKeyPairSync('rsa', { modulusLength: 2_048 })),
  keyOf({ kid: 'ps', alg: 'PS256' }, generateKeyPairSync('rsa', { modulusLength: 2_048 })),
];
const published = keys.map(({ kid, alg, publicJwk }) => {
  const key = importKey({ ...publicJwk, alg, ...(kid === undefined ? {} : { kid }) });
  if (!key.ok) throw new Error(key.error);
  return key.value;
});
const isSound = (token: string): boolean => {
  const jws = parseJws(token);
  return jws.ok && candidates(jws.value, published).some((key) => verifySignature(jws.value, key));
};
/** The token with one character of it another one, of the alphabet of tokens or of any. */
const changed = (token: string, at: number, to: number): string => {
  const place = at % token.length;
  const alphabet = to % 3 === 0 ? '.=+/ \n~\u00e9\u0100' : BASE64URL;
  const put = alphabet.charAt(to % alphabet.length);
  return token.charAt(place) === put ? '' : token.slice(0, place) + put + token.slice(place + 1);
};

describe('a signed token', () => {
  it('reads as it was made', () => {
    const asked = fc.tuple(fc.constantFrom(...keys), fc.stringMatching(/^[\w.~-]{1,128}$/), fc.webUrl());
    fc.assert(
      fc.property(asked, ([key, clientId, issuer]) => {
        const jws = parseJws(clientAssertion(key, { clientId, issuer, now: NOW }));
        expect(jws).toMatchObject({
          ok: true,
          value: {
            alg: key.alg,
            kid: key.kid,
            typ: 'client-authentication+jwt',
            payload: { iss: clientId, sub: clientId, aud: issuer, iat: NOW, exp: NOW + 60 },
          },
        });
      }),
      { numRuns: 200 },
    );
  });

  it.each(keys.map((key) => [key.alg, key] as const))(
    '(%s) is sound as it is, and with any one character changed, dropped or doubled it is not',
    (_, key) => {
      const token = clientAssertion(key, { clientId: 'agt_a', issuer: 'https://writ.example', now: NOW });
      expect(isSound(token)).toBe(true);
      fc.assert(
        fc.property(fc.nat(), fc.nat(), (at, to) => {
          const place = at % token.length;
          const broken = [
            changed(token, at, to),
            token.slice(0, place) + token.slice(place + 1),
            token.slice(0, place) + token.charAt(place) + token.slice(place),
            token.slice(0, place),
          ];
          for (const one of broken) expect([one, isSound(one)]).toEqual([one, false]);
        }),
        { numRuns: 500 },
      );
    },
  );

  it('is never sound with the parts of two', () => {
    const made = (n: number): string =>
      clientAssertion(keys[n % keys.length] ?? ec, {
        clientId: `agt_${n}`,
        issuer: 'https://writ.example',
        now: NOW,
      });
    const tokens = Array.from({ length: 8 }, (_, n) => made(n).split('.'));
    const part = fc.nat({ max: tokens.length - 1 });
    fc.assert(
      fc.property(part, part, part, (a, b, c) => {
        const mixed = [tokens[a]?.[0], tokens[b]?.[1], tokens[c]?.[2]].join('.');
        expect(isSound(mixed)).toBe(mixed === tokens[c]?.join('.'));
      }),
      { numRuns: 512 },
    );
  });
});

describe('a DPoP proof', () => {
  const url = fc
    .tuple(fc.constantFrom('https://writ.example', 'http://127.0.0.1:4455'), fc.webPath())
    .map((parts) => parts.join(''));
  const method = fc.constantFrom('GET', 'POST', 'PUT');
  const seconds = fc.integer({ min: -60, max: 60 });

  it('is good for its own request, near its own time, with its own token, and tells its key', () => {
    fc.assert(
      fc.property(fc.constantFrom(...keys), method, url, seconds, fc.string(), (key, htm, uri, late, accessToken) => {
        const proof = dpopProof(key, { method: htm, url: uri, now: NOW, accessToken });
        const verdict = verifyProof(proof, { method: htm, uri, now: NOW + late, accessToken });
        expect(verdict).toMatchObject({ ok: true, value: { jkt: thumbprint(key.publicJwk), iat: NOW } });
      }),
      { numRuns: 200 },
    );
  });

  it('is good for no other method, path, time or token', () => {
    const far = fc.oneof(fc.integer({ min: 61, max: 1e9 }), fc.integer({ min: -1e9, max: -61 }));
    fc.assert(
      fc.property(method, url, far, fc.string(), (htm, uri, late, accessToken) => {
        const proof = dpopProof(ec, { method: htm, url: uri, now: NOW, accessToken });
        const right = { method: htm, uri, now: NOW, accessToken };
        const flaw = (wrong: Partial<typeof right>): unknown => {
          const verdict = verifyProof(proof, { ...right, ...wrong });
          return verdict.ok ? 'good' : verdict.error;
        };
        expect(flaw({})).toBe('good');
        expect(flaw({ method: htm === 'GET' ? 'POST' : 'GET' })).toBe('wrong_method');
        expect(flaw({ uri: `${uri}/x` })).toBe('wrong_uri');
        expect(flaw({ uri: `https://other.example${new URL(uri).pathname}` })).toBe('wrong_uri');
        expect(flaw({ now: NOW + late })).toBe('stale');
        expect(flaw({ accessToken: `${accessToken}x` })).toBe('wrong_token');
      }),
      { numRuns: 200 },
    );
  });

  it('is good with no character changed', () => {
    const right = { method: 'POST', uri: 'https://writ.example/token', now: NOW };
    const proof = dpopProof(ec, { method: 'POST', url: right.uri, now: NOW });
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (at, to) => {
        const broken = changed(proof, at, to);
        expect([broken, verifyProof(broken, right).ok]).toEqual([broken, false]);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('claims that have two forms', () => {
  const actor = fc.record(
    {
      sub: fc.string({ minLength: 1 }),
      iss: fc.webUrl(),
      sub_profile: fc.constantFrom('ai_agent' as const, 'service' as const),
    },
    { requiredKeys: ['sub', 'iss'], noNullPrototype: true },
  );
  it('a chain of actors, nested and flat again, is the chain', () => {
    fc.assert(
      fc.property(fc.array(actor, { maxLength: 20 }), (actors) => {
        expect(flattenAct(nestAct(actors))).toEqual(actors);
      }),
    );
  });

  it('a scope, written and read again, is the same set, and its text does not depend on the order', () => {
    const scope = fc.uniqueArray(fc.stringMatching(/^[\x21\x23-\x5B\x5D-\x7E]{1,32}$/), {
      minLength: 1,
      maxLength: 50,
    });
    fc.assert(
      fc.property(scope, (scopes) => {
        const text = formatScope(scopes);
        expect(parseScope(text)).toEqual([...scopes].sort());
        expect(formatScope([...scopes].reverse())).toBe(text);
      }),
    );
  });
});
