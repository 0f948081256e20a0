import { z } from 'zod';
import { Act, flattenAct, McpToolCalls } from '../protocol/index.js';

const Claims = z.object({
  iss: z.string().optional(),
  sub: z.string().optional(),
  aud: z.union([z.string(), z.array(z.string())]).optional(),
  scope: z.string().optional(),
  exp: z.number().int().nonnegative().max(253_402_300_799).optional().catch(undefined),
  act: Act.optional(),
  authorization_details: McpToolCalls.optional(),
});

/** A step of a delegation: who, and as what. */
export type ChainStep = Readonly<{ who: string; as: string }>;

/** From the person through every agent, the first one first, to where the token is good. Verifies nothing. */
export function delegationChain(claims: unknown): readonly ChainStep[] {
  const parsed = Claims.safeParse(claims);
  if (!parsed.success) return [];
  const { sub, aud, act } = parsed.data;
  const actors = flattenAct(act).toReversed();
  return [
    { who: sub ?? '?', as: 'person' },
    ...actors.map(({ sub: who, sub_profile }, i) => {
      const what = sub_profile === 'service' ? 'service' : 'agent';
      return { who, as: i === actors.length - 1 ? `${what}, acts now` : what };
    }),
    ...(aud === undefined ? [] : [{ who: [aud].flat().join(', '), as: 'audience' }]),
  ];
}

/** The delegation as a picture in text: who lets whom act, where, for what and until when. */
export function delegationPicture(claims: unknown): string {
  const lines = delegationChain(claims).map(({ who, as }, depth) => {
    const branch = depth === 0 ? '' : `${'   '.repeat(depth - 1)}└─ `;
    return `${branch}${who}  (${as})`;
  });
  const bounds = boundsOf(claims).map((line) => `${'   '.repeat(Math.max(lines.length - 1, 0))}   ${line}`);
  return [...lines, ...bounds].join('\n');
}

function boundsOf(claims: unknown): readonly string[] {
  const parsed = Claims.safeParse(claims);
  if (!parsed.success) return [];
  const { scope, exp, authorization_details: calls } = parsed.data;
  return [
    ...(calls ?? []).map(({ identifier, max_uses, arguments_sha256 }) => {
      const exact = arguments_sha256 === undefined ? '' : ', with exactly the approved arguments';
      return `tool ${identifier}, ${max_uses === 1 ? 'once' : `${max_uses} times`}${exact}`;
    }),
    ...(scope === undefined || scope === '' ? [] : [`scope ${scope}`]),
    ...(exp === undefined ? [] : [`until ${new Date(exp * 1000).toISOString()}`]),
  ];
}
