import { perObject } from '../base/index.js';
import { importKey, type Jwks, type KeyFlaw, thumbprint } from '../protocol/index.js';
import type { Contents, ObjectKind } from './contents.js';
import { at, type Flaw, isSafeUrl, SAFE } from './flaw.js';

/** Whoever signs something for us: a client, or an issuer of tokens about people. */
type Signer = Readonly<{ kind: ObjectKind; id: string; path: string; jwks: Jwks | undefined; uri: string | undefined }>;

/**
 * Every signer that changes has keys that Writ can use, and no key is shared: one key for two clients is one identity
 * for two workloads (OWASP NHI9), and a client with an issuer's key could speak for people.
 */
export function keyFlaws(after: Contents, touched: ReadonlySet<string>): readonly Flaw[] {
  const isTouched = ({ kind, id }: Signer): boolean => touched.has(`${kind} ${id}`);
  const signers = signersOf(after);
  const changed = signers.filter(isTouched);
  // The changed ones come last, so that they are the ones at fault.
  const inTurn = [...signers.filter((signer) => !isTouched(signer)), ...changed];
  return [...changed.flatMap(sourceFlaws), ...sharedKeys(inTurn)];
}

function sharedKeys(signers: readonly Signer[]): readonly Flaw[] {
  const owners = new Map<string, Signer>();
  return signers.flatMap((signer) =>
    keysOf(signer).flatMap(({ name, path }) => {
      const owner = owners.get(name) ?? signer;
      owners.set(name, owner);
      const message = `is used by ${owner.kind} ${owner.id} too; everyone needs a key of their own`;
      return owner === signer ? [] : [at(signer.kind, signer.id)(path, message)];
    }),
  );
}

const keysOf = ({ path, jwks, uri }: Signer): readonly Readonly<{ name: string; path: string }>[] => [
  ...(jwks?.keys ?? []).map((key, i) => ({ name: thumbprintOf(key), path: `${path}jwks.keys.${i}` })),
  ...(uri === undefined ? [] : [{ name: uri, path: `${path}jwks_uri` }]),
];

/** A registry has many keys, and all but a few are those of its last change. */
const thumbprintOf = perObject(thumbprint);

function signersOf({ agent, server, issuer }: Contents): readonly Signer[] {
  const clients = [
    ...[...agent.values()].map(({ client_id: id, authentication }) => ({ kind: 'agent', id, authentication }) as const),
    ...[...server.values()].map(
      ({ resource: id, authentication }) => ({ kind: 'server', id, authentication }) as const,
    ),
  ].flatMap(({ kind, id, authentication: auth }) =>
    auth.method === 'private_key_jwt'
      ? [{ kind, id, path: 'authentication.', jwks: auth.jwks, uri: auth.jwks_uri }]
      : [],
  );
  const issuers = [...issuer.values()].map(({ issuer: id, jwks, jwks_uri }) => {
    return { kind: 'issuer', id, path: '', jwks, uri: jwks_uri } as const;
  });
  return [...clients, ...issuers];
}

function sourceFlaws({ kind, id, path, jwks, uri }: Signer): readonly Flaw[] {
  const flaw = at(kind, id);
  const keys = jwks?.keys ?? [];
  const kids = keys.map(({ kid }) => kid);
  return [
    ...(jwks?.keys.length === 0 ? [flaw(`${path}jwks.keys`, 'must hold at least one key')] : []),
    ...(uri === undefined || isSafeUrl(uri) ? [] : [flaw(`${path}jwks_uri`, SAFE)]),
    ...keys.flatMap((key, i) => {
      const imported = importKey(key);
      return imported.ok ? [] : [flaw(`${path}jwks.keys.${i}`, WORDS[imported.error])];
    }),
    ...kids.flatMap((kid, i) =>
      kid !== undefined && kids.indexOf(kid) < i
        ? [flaw(`${path}jwks.keys.${i}.kid`, 'is the kid of another key too')]
        : [],
    ),
  ];
}

const WORDS: Readonly<Record<KeyFlaw, string>> = {
  unsupported_key: 'must be a key for ES256 (P-256), EdDSA (Ed25519), RS256 or PS256',
  weak_key: 'is an RSA key of less than 2048 bits',
  malformed_key: 'is not a valid public key',
  misspelled_key:
    'must have its numbers in base64url without padding, in exactly as many bytes as RFC 7518 section 6 says',
};
