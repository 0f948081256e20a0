import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { err, newId, ok, type Result, type Seconds } from '../base/index.js';
import { copyJson, digest, type Json, type JsonObject, parseObject } from '../protocol/index.js';
import type { Evaluation } from './request.js';

/** What a denial and the request for what it denied have to have in common beside the question. */
export type Denial = Readonly<{ evaluation: string; client: string; agents: readonly string[] }>;

/**
 * ARAP, binding token integrity: makes and reads the proof that this server denied this question. It is a JWS by HS256:
 * whoever made it is the one who reads it, and no key that signs tokens touches it.
 */
export type BindingTokens = Readonly<{
  /** `undefined`: the question has no RFC 8785 form. */
  give(denial: Denial, question: Evaluation, now: Seconds): Readonly<{ token: string; expiresAt: string }> | undefined;
  read(token: string, asked: Asked, now: Seconds): Result<Readonly<{ evaluation: string; jti: string }>, BindingFlaw>;
}>;

type Asked = Readonly<{ question: Evaluation; client: string; agents: readonly string[]; expiresAt: string }>;
export type BindingFlaw = 'invalid_denial_binding' | 'expired_denial';

/** For how long a person may be asked to approve what was just denied. */
export const REQUESTABLE: Seconds = 300;

/** AR-02: what of the context a decision looks at. More beside it is a note; more or less of it is another question. */
const RELEVANT = new Set([
  ...['agent', 'txn', 'task', 'purpose', 'arguments', 'args_sha256'],
  ...['acr', 'auth_time', 'ip', 'cnf'],
]);

export function bindingTokens(issuer: string, encryptionKeys: readonly [Uint8Array, ...Uint8Array[]]): BindingTokens {
  const keys = encryptionKeys.map((key) => Buffer.from(hkdfSync('sha256', key, '', 'writ access request', 32)));
  const [current = Buffer.alloc(0)] = keys;
  return {
    give: ({ evaluation, client, agents }, question, now) => {
      const bound = bindingHash(question);
      if (bound === undefined) return undefined;
      const expiresAt = instant(now + REQUESTABLE);
      const claims: z.infer<typeof Claims> = {
        iss: issuer,
        aud: issuer,
        iat: now,
        exp: now + REQUESTABLE,
        jti: newId('bnd'),
        denial_expires_at: expiresAt,
        evaluation_id: evaluation,
        client,
        agents: [...agents],
        binding_context_members: Object.keys(relevant(question.context)).sort(),
        binding_hash: bound,
      };
      const input = `${HEADER}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
      return { token: `${input}.${mac(input, current).toString('base64url')}`, expiresAt };
    },
    read: (token, { question, client, agents, expiresAt }, now) => {
      const claims = verified(token, keys);
      if (claims?.iss !== issuer || claims.aud !== issuer) return err('invalid_denial_binding');
      const isTheirs = claims.client === client && claims.agents.join(' ') === agents.join(' ');
      const isSame = claims.binding_hash === bindingHash(question) && claims.denial_expires_at === expiresAt;
      if (!isTheirs || !isSame) return err('invalid_denial_binding');
      return now < claims.exp ? ok({ evaluation: claims.evaluation_id, jti: claims.jti }) : err('expired_denial');
    },
  };
}

const HEADER = Buffer.from(JSON.stringify({ alg: 'HS256', typ: 'writ-binding+jwt' })).toString('base64url');

const Claims = z.strictObject({
  iss: z.string(),
  aud: z.string(),
  iat: z.number(),
  exp: z.number(),
  jti: z.string(),
  denial_expires_at: z.string(),
  evaluation_id: z.string(),
  client: z.string(),
  agents: z.array(z.string()),
  binding_context_members: z.array(z.string()),
  binding_hash: z.string(),
});

/** Nothing of it is read before its signature is ours. */
function verified(token: string, keys: readonly Uint8Array[]): z.infer<typeof Claims> | undefined {
  const [header, body, signature, ...rest] = token.split('.');
  if (header !== HEADER || body === undefined || signature === undefined || rest.length > 0) return undefined;
  const given = Buffer.from(signature, 'base64url');
  // Another spelling of the same bytes would be the same token under another name.
  if (given.toString('base64url') !== signature) return undefined;
  const isOurs = keys.some((key) => {
    const right = mac(`${header}.${body}`, key);
    return right.length === given.length && timingSafeEqual(right, given);
  });
  const read = isOurs ? parseObject(Buffer.from(body, 'base64url').toString('utf8')) : undefined;
  return read?.ok === true ? Claims.safeParse(read.value).data : undefined;
}

const mac = (input: string, key: Uint8Array): Buffer => createHmac('sha256', key).update(input).digest();

/** ARAP, hashed binding claims: the four objects without the actor, which a caller may say elsewhere. */
function bindingHash({ subject, resource, action, context }: Evaluation): string | undefined {
  const bound = {
    subject: { ...subject, properties: without(subject.properties, 'act') },
    resource,
    action,
    context: relevant(context),
  };
  const hashed = digest(copyJson(bound));
  return hashed.ok ? hashed.value : undefined;
}

const relevant = (context: JsonObject): Readonly<Record<string, Json>> =>
  Object.fromEntries(Object.entries(context).filter(([name]) => RELEVANT.has(name)));

export const without = (object: JsonObject, member: string): Record<string, Json> =>
  Object.fromEntries(Object.entries(object).filter(([name]) => name !== member));

export const instant = (at: Seconds): string => new Date(at * 1000).toISOString();
