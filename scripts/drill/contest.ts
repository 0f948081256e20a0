import { setTimeout as pause } from 'node:timers/promises';
import type { Person } from './code-flow.js';
import type { Following } from './following.js';
import type { Form, Line, Reply } from './line.js';
import type { Rig } from './rig.js';

/** Where a race is held: two processes, and a verifier that follows the feed of each. */
export type Arena = Rig & Readonly<{ verifiers: readonly Following[] }>;

/** How many won what one alone may win; `said` is what there was to see. */
export type Verdict = Readonly<{ winners: number; said: string }>;
export type Contest = (arena: Arena, person: Person) => Promise<Verdict>;

/** Something to be done over the connections to one process. */
export type Act<T> = (line: Line) => Promise<T>;

/** Both at the same time, each at another process, whichever. */
export async function atOnce<A, B>({ servers }: Rig, one: Act<A>, other: Act<B>): Promise<readonly [A, B]> {
  const [first, second = first] = servers;
  const [at, elsewhere] = Math.random() < 0.5 ? [first, second] : [second, first];
  const soon = async <T>(act: Act<T>, line: Line): Promise<T> => {
    if (Math.random() < 0.5) await pause(Math.random() * 3);
    return act(line);
  };
  return Promise.all([soon(one, at.line), soon(other, elsewhere.line)]);
}

/** One use of a thing that can be used once: sent to one of two servers while the other use is on its way to the other. */
export type Use = Readonly<{ path: string; form: Form; headers?: Form; won: (reply: Reply) => boolean }>;

/** Each one-time thing is used twice at the same time, and exactly one use may win. */
export async function used(arena: Arena, uses: readonly [Use, Use]): Promise<Verdict> {
  const act =
    ({ path, form, headers }: Use): Act<Reply> =>
    (line) =>
      line.post(path, form, headers);
  const replies = await atOnce(arena, act(uses[0]), act(uses[1]));
  return { winners: replies.filter((reply, n) => uses[n]?.won(reply) === true).length, said: saidBy(replies) };
}

export const saidBy = (replies: readonly Reply[]): string =>
  replies.map(({ status, body, why }) => `${status} ${why ?? JSON.stringify(body)}`).join(' | ');

export const succeeded = ({ status }: Reply): boolean => status >= 200 && status < 300;
export const isActive = ({ status, body }: Reply): boolean => status === 200 && body['active'] === true;
export const somebody = (): string => `person-${Math.floor(Math.random() * 50)}`;
