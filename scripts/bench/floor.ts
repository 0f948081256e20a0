// The floor: the least that any server in Node.js must do for one exchange. No framework, no record, no rules beyond the
// signatures and the claims that tie them together. `remember` keeps the verdict on a subject token that came before.
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID, verify } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { signJwt } from './jwt.js';

type Claims = Readonly<Record<string, unknown>>;
type Setup = Readonly<{ port: number; issuer: string; remember: boolean; agent: object; company: object }>;

const setup = JSON.parse(process.argv[2] ?? '') as Setup;
const keyOf = (jwk: object): KeyObject => createPublicKey({ key: { ...jwk }, format: 'jwk' });
const [agent, company] = [keyOf(setup.agent), keyOf(setup.company)];
const own = { key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, kid: 'floor' };
const remembered = new Map<string, Claims>();

createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    answer(request, new URLSearchParams(Buffer.concat(chunks).toString('utf8')), response);
  });
}).listen(setup.port, '127.0.0.1', () => {
  console.log('ready');
});

function answer(request: IncomingMessage, form: URLSearchParams, response: ServerResponse): void {
  const now = Math.floor(Date.now() / 1_000);
  const client = check(form.get('client_assertion') ?? '', agent);
  const person = subjectOf(form.get('subject_token') ?? '');
  const proof = request.headers['dpop'];
  const jkt = typeof proof === 'string' ? thumbprintOf(proof) : undefined;
  const isGood = client?.['aud'] === setup.issuer && person?.['aud'] === setup.issuer && Number(person['exp']) > now;
  if (!isGood) {
    response.writeHead(400).end();
    return;
  }
  const details: unknown = JSON.parse(form.get('authorization_details') ?? 'null');
  const body = JSON.stringify({
    access_token: token(client, person, { now, jkt, details }),
    token_type: 'Bearer',
    expires_in: 180,
  });
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }).end(body);
}

/** As large as the token that Writ makes of the same request. */
function token(
  client: Claims,
  person: Claims,
  made: Readonly<{ now: number; jkt: string | undefined; details: unknown }>,
): string {
  const { now, jkt, details } = made;
  return signJwt(
    own,
    { typ: 'txnat+jwt' },
    {
      iss: setup.issuer,
      aud: 'https://mcp.example/files',
      sub: person['sub'],
      client_id: client['sub'],
      iat: now,
      exp: now + 180,
      jti: randomUUID(),
      txn: randomUUID(),
      scope: 'files:read',
      authorization_details: details,
      tctx: { call_chain: [{ wl: client['sub'] }, { wl: 'https://mcp.example/files', tool: 'read_file' }] },
      rctx: {},
      ...(jkt === undefined ? {} : { cnf: { jkt } }),
      act: { sub: client['sub'], iss: setup.issuer, sub_profile: 'ai_agent' },
      writ: { decision: randomUUID(), policy: 'floor/1', session: randomUUID(), seen: 0, leaf: 'A'.repeat(43) },
    },
  );
}

function subjectOf(jwt: string): Claims | undefined {
  if (!setup.remember) return check(jwt, company);
  const hash = createHash('sha256').update(jwt).digest('base64url');
  const known = remembered.get(hash);
  if (known !== undefined) return known;
  const claims = check(jwt, company);
  if (claims !== undefined) remembered.set(hash, claims);
  return claims;
}

function check(jwt: string, key: KeyObject): Claims | undefined {
  const [head = '', body = '', tail = ''] = jwt.split('.');
  const header = read(head);
  if (header['alg'] !== 'ES256') return undefined;
  const signature = Buffer.from(tail, 'base64url');
  const good = verify('sha256', Buffer.from(`${head}.${body}`), { key, dsaEncoding: 'ieee-p1363' }, signature);
  return good ? read(body) : undefined;
}

function thumbprintOf(proof: string): string | undefined {
  const jwk = read(proof.split('.')[0] ?? '')['jwk'] as Record<string, string>;
  const claims = check(proof, keyOf(jwk));
  if (claims?.['htm'] !== 'POST') return undefined;
  const { crv, kty, x, y } = jwk;
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
}

const read = (part: string): Claims => JSON.parse(Buffer.from(part, 'base64url').toString('utf8')) as Claims;
