import { err, ok, type Result } from '../../base/index.js';
import {
  type Application,
  type ApplicationFiles,
  compileApplication,
  type EntityQuestion,
  type EntityVerdict,
} from './application.js';
import { flawAt, type PolicyFile, type PolicyFlaw } from './flaw.js';
import { unique } from './verdict.js';

const SCHEMA = '.cedarschema';
const ENTITIES = '.entities.json';

/** The files of a set: those of its applications, and the rest, which is about tools. */
export type Split = Readonly<{ applications: readonly ApplicationFiles[]; rest: readonly PolicyFile[] }>;

/** A schema takes the policies and entities of its own name: `todo.cedarschema`, `todo.cedar`, `todo.entities.json`. */
export function splitApplications(files: readonly PolicyFile[]): Split {
  const named = (path: string): PolicyFile | undefined => files.find((file) => file.path === path);
  const applications = files
    .filter(({ path }) => path.endsWith(SCHEMA))
    .map((schema) => {
      const name = schema.path.slice(0, -SCHEMA.length);
      return { schema, policies: named(`${name}.cedar`), entities: named(`${name}${ENTITIES}`) };
    });
  const taken = new Set(applications.flatMap(({ schema, policies, entities }) => [schema, policies, entities]));
  return { applications, rest: files.filter((file) => !taken.has(file)) };
}

/** All applications of a set, or every flaw of them. */
export function compileApplications({ applications }: Split): Result<readonly Application[], readonly PolicyFlaw[]> {
  const flaws: PolicyFlaw[] = [];
  const compiled: Application[] = [];
  const seen = new Set<string>();
  for (const files of applications) {
    if (seen.has(files.schema.path))
      flaws.push(flawAt({ file: files.schema, start: 0, text: '' }, 'is in the set twice'));
    seen.add(files.schema.path);
    const one = compileApplication(files);
    if (one.ok) compiled.push(one.value);
    else flaws.push(...one.error);
  }
  return flaws.length > 0 ? err(flaws) : ok(compiled);
}

/** Every application that knows the question has to say yes; that nobody knows it is no answer at all. */
export function decideEntities(applications: readonly Application[], question: EntityQuestion): EntityVerdict {
  const known = applications.map((one) => one.decide(question)).filter(({ verdict }) => verdict !== 'unknown');
  const [first] = known;
  if (first === undefined) return { verdict: 'unknown', policies: [], messages: [] };
  const no = known.find(({ verdict }) => verdict !== 'allow');
  return no ?? { ...first, policies: unique(known.flatMap(({ policies }) => policies)) };
}
