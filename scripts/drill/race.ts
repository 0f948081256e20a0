import { setTimeout as pause } from 'node:timers/promises';
import { challengeOf, Person, refreshForm } from './code-flow.js';
import { type Arena, type Contest, isActive, somebody, succeeded, type Use, used } from './contest.js';
import { Following } from './following.js';
import { type Form, textOf } from './line.js';
import { SESSION_CONTESTS } from './race-sessions.js';
import { type Bounds, openRig, type Rig } from './rig.js';
import { note, raceFlaws, type Tally } from './verdicts.js';

type Twice = (rig: Rig, person: Person) => Promise<readonly [Use, Use]>;

export type RaceResult = Tally & Readonly<{ seconds: number; things: Readonly<Record<string, Tally>> }>;

const LANES = 8;

/** Two processes, one database: each one-time thing is used twice at the same time, and exactly one use may win. */
export async function race({ rounds, seconds, say }: Bounds): Promise<RaceResult> {
  const rig = await openRig({ database: 'postgres', servers: 2 });
  const arena: Arena = { ...rig, verifiers: [new Following(rig, 0), new Following(rig, 1)] };
  try {
    await pause(1_500); // until the second process has read the registry that the first was given
    const things = Object.fromEntries(Object.keys(CONTESTS).map((name): [string, Tally] => [name, newTally()]));
    const began = performance.now();
    const elapsed = (): number => (performance.now() - began) / 1_000;
    let begun = 0;
    const lane = async (): Promise<void> => {
      const person = new Person(rig.cast);
      while (begun < rounds && elapsed() < seconds) {
        const [name, contest] = CONTEST_LIST[begun++ % CONTEST_LIST.length] ?? NONE;
        const tally = things[name] ?? newTally();
        const { winners, said } = await contest(arena, person);
        if (!note(winners, tally)) say(`${name}: ${winners} winners: ${said}`);
        if (total(things).rounds % 500 === 0) say(progress(total(things), elapsed()));
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    const result = { ...total(things), seconds: Math.round(elapsed()), things };
    for (const flaw of raceFlaws(result)) say(flaw);
    return result;
  } finally {
    await Promise.all(arena.verifiers.map((verifier) => verifier.close()));
    await rig.closing.close();
  }
}

/** The loser of an exchange is refused in the commit, of a request to the engine before its work. */
const USES: Readonly<Record<string, Twice>> = {
  assertion_on_one_route: ({ cast }) => {
    const form = { ...cast.exchange(somebody()), ...cast.authentication('agt_planner') };
    return both({ path: '/token', form, won: succeeded });
  },
  assertion_on_token_and_introspect: ({ cast }) => {
    const authentication = cast.authentication('agt_planner');
    return Promise.resolve([
      { path: '/token', form: { ...cast.exchange(somebody()), ...authentication }, won: succeeded },
      { path: '/introspect', form: { token: 'unknown', ...authentication }, won: succeeded },
    ]);
  },
  assertion_on_token_and_par: ({ cast }) => {
    const authentication = cast.authentication('agt_planner');
    return Promise.resolve([
      { path: '/token', form: { ...cast.exchange(somebody()), ...authentication }, won: succeeded },
      { path: '/request', form: { ...cast.pushed(challengeOf('verifier')), ...authentication }, won: succeeded },
    ]);
  },
  code: async ({ cast }, person) => {
    const form = await person.codeForm();
    return twice(() => ({ path: '/token', form: { ...form, ...cast.authentication('agt_planner') }, won: succeeded }));
  },
  refresh_token: async ({ cast, servers }, person) => {
    const form = { ...(await person.codeForm()), ...cast.authentication('agt_planner') };
    const refresh = refreshForm(textOf(await servers[0].line.post('/token', form), 'refresh_token'));
    return twice(() => ({
      path: '/token',
      form: { ...refresh, ...cast.authentication('agt_planner') },
      won: succeeded,
    }));
  },
  dpop_proof: ({ cast }) => {
    const headers = cast.proof('/token');
    const form = (): Form => ({ ...cast.exchange(somebody()), ...cast.authentication('agt_planner') });
    return Promise.resolve(twice(() => ({ path: '/token', form: form(), headers, won: succeeded })));
  },
  actor_token: ({ cast }) => {
    const actor = cast.actor();
    const form = (): Form => ({ ...cast.exchange(somebody()), ...actor, ...cast.authentication('agt_planner') });
    return Promise.resolve(twice(() => ({ path: '/token', form: form(), won: succeeded })));
  },
  use_of_a_token: async ({ cast, servers }) => {
    const form = { ...cast.exchange(somebody()), ...cast.authentication('agt_planner') };
    const token = textOf(await servers[0].line.post('/token', form), 'access_token');
    const use = (): Form => ({ token, consume: 'write_file', ...cast.authentication('srv_files') });
    return twice(() => ({ path: '/introspect', form: use(), won: isActive }));
  },
};
const CONTESTS: Readonly<Record<string, Contest>> = {
  ...Object.fromEntries(
    Object.entries(USES).map(([name, uses]): [string, Contest] => [
      name,
      async (arena, person) => used(arena, await uses(arena, person)),
    ]),
  ),
  ...SESSION_CONTESTS,
};
const CONTEST_LIST = Object.entries(CONTESTS);
const NONE: [string, Contest] = ['none', () => Promise.reject(new Error('there is no contest'))];

const both = (use: Use): Promise<readonly [Use, Use]> => Promise.resolve([use, use]);
const twice = (make: () => Use): readonly [Use, Use] => [make(), make()];

const newTally = (): Tally => ({ rounds: 0, double_wins: 0, no_winner: 0 });

function total(things: Readonly<Record<string, Tally>>): Tally {
  const sum = newTally();
  for (const { rounds, double_wins, no_winner } of Object.values(things)) {
    sum.rounds += rounds;
    sum.double_wins += double_wins;
    sum.no_winner += no_winner;
  }
  return sum;
}

const progress = ({ rounds, double_wins, no_winner }: Tally, elapsed: number): string =>
  `${rounds} rounds in ${Math.round(elapsed)} s, ${double_wins} double wins, ${no_winner} without a winner`;
