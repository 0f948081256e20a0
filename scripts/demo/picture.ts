import { flattenAct, TransactionalAccessToken } from 'writ/protocol';
import { decodeJwt } from 'jose';

/** Names for people to read, by the ids that tokens and records have. */
export type Names = Readonly<Record<string, string>>;

/** What a token says. Looked at, not verified: the MCP servers do that. */
export const claimsOf = (token: string): Record<string, unknown> => ({ ...decodeJwt(token) });

/** The delegation in a token as a picture: from the person through every agent to the tool, and its bounds. */
export function pictureOf(token: string, names: Names): readonly string[] {
  const claims = TransactionalAccessToken.parse(claimsOf(token));
  const agents = flattenAct(claims.act).toReversed();
  const steps = [
    { who: claims.sub, note: 'asked for it' },
    ...agents.map(({ sub }, i) => ({ who: sub, note: i === agents.length - 1 ? 'acts' : 'handed over' })),
    { who: claims.aud, note: 'runs it' },
  ];
  const chain = steps.map(({ who, note }, depth) => {
    const branch = depth === 0 ? '' : `${'   '.repeat(depth - 1)}└─ `;
    return `${(branch + (names[who] ?? who)).padEnd(30)}${who.padEnd(36)}${note}`;
  });
  const indent = '   '.repeat(steps.length - 1);
  return [...chain, ...boundsOf(claims).map((line) => `${indent}${line}`)];
}

function boundsOf({ authorization_details: calls = [], iat, exp }: TransactionalAccessToken): readonly string[] {
  const seconds = exp - iat;
  return [
    ...calls.map(({ identifier, max_uses, arguments_sha256: digest }) => {
      const uses = max_uses === 1 ? 'once' : `${max_uses} times`;
      const exact = digest === undefined ? '' : `, only with the arguments of digest ${digest.slice(0, 8)}…`;
      return `tool   ${identifier}, ${uses}${exact}`;
    }),
    `until  ${new Date(exp * 1000).toISOString().slice(11, 19)} UTC, ${seconds} s in all`,
  ];
}
