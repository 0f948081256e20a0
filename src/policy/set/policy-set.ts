import { err, ok, type Result } from '../../base/index.js';
import { digest, sha256 } from '../../protocol/index.js';
import { findAbsences } from './absence.js';
import type { Application, EntityQuestion, EntityVerdict } from './application.js';
import { compileApplications, decideEntities, splitApplications } from './applications.js';
import { Bounded } from './bounded.js';
import type { EngineError, Question } from './engine.js';
import type { DecisionInput } from './facts.js';
import { flawAt, type PolicyFile, type PolicyFlaw } from './flaw.js';
import { covers, factsOf, fingerprintOf, type KeptInput, keptInput } from './kept.js';
import type { Mentions } from './mentions.js';
import { type Policy, readPolicy } from './policy.js';
import { projectArguments } from './projection.js';
import { type ShelvedTool, ToolShelf, validateAll } from './schema.js';
import { type Answer, type Seen, type Slice, Slices } from './slices.js';
import { splitFiles } from './source.js';
import { actionOf, type PolicyTool } from './tool.js';
import { ask, deny, unique, type Verdict } from './verdict.js';

/** `onBroken` is told whenever the engine did not decide cleanly. */
type PolicySetOptions = Readonly<{ remember?: number; onBroken?: (errors: readonly EngineError[]) => void }>;

/** A set of policies that was read, validated against the tools and found whole; else every flaw, and no set. */
export function compilePolicySet(
  files: readonly PolicyFile[],
  tools: readonly PolicyTool[],
  { remember = 10_000, onBroken = () => undefined }: PolicySetOptions = {},
): Result<PolicySet, readonly PolicyFlaw[]> {
  const split = splitApplications(files);
  const applications = compileApplications(split);
  if (!applications.ok) return applications;
  const policies = readAll(split.rest);
  if (!policies.ok) return policies;
  const shelf = new ToolShelf(tools);
  const invalid = validateAll(policies.value, shelf);
  if (invalid.length > 0) return err(invalid);
  const absences = findAbsences(policies.value, shelf);
  return absences.length > 0
    ? err(absences)
    : ok(new PolicySet(files, policies.value, { shelf, remember, onBroken, applications: applications.value }));
}

function readAll(files: readonly PolicyFile[]): Result<readonly Policy[], readonly PolicyFlaw[]> {
  const texts = splitFiles(files);
  if (!texts.ok) return texts;
  const policies: Policy[] = [];
  const flaws: PolicyFlaw[] = [];
  const seen = new Map<string, PolicyFlaw>();
  for (const text of texts.value) {
    const read = readPolicy(text);
    if (!read.ok) {
      flaws.push(...read.error);
      continue;
    }
    const { id } = read.value;
    const first = seen.get(id);
    const here = flawAt(text, '', { policy: id });
    if (first === undefined) seen.set(id, here);
    else flaws.push({ ...here, problem: `has the @id of the policy at ${first.path}:${String(first.line)}` });
    policies.push(read.value);
  }
  return flaws.length > 0 ? err(flaws) : ok(policies);
}

type PolicySetParts = Readonly<Required<PolicySetOptions>> &
  Readonly<{ shelf: ToolShelf; applications: readonly Application[] }>;

/** One version of the policies, ready to decide. It holds no state but what it remembers of its own answers. */
export class PolicySet {
  /** The name of this version: what stands in records and tokens. */
  readonly hash: string;
  readonly policies: readonly Policy[];
  /** Whether some policy wants to know of the agent session: where none does, nobody has to look. */
  readonly looksAtSession: boolean;
  /** The policies that a person's grant may lift, each with the SHA-256 of its text: what was granted, was granted of this text. */
  readonly texts: ReadonlyMap<string, string>;
  readonly #shelf: ToolShelf;
  readonly #applications: readonly Application[];
  readonly #slices: Slices;
  readonly #byId: ReadonlyMap<string, Policy>;
  readonly #remembered: Bounded<Verdict> | undefined;
  readonly #onBroken: (errors: readonly EngineError[]) => void;
  readonly #keepable = new WeakMap<ShelvedTool, Keepable>();

  constructor(
    files: readonly PolicyFile[],
    policies: readonly Policy[],
    { shelf, remember, onBroken, applications }: PolicySetParts,
  ) {
    this.hash = hashOf(files);
    this.policies = policies;
    this.looksAtSession = policies.some(({ looks }) => looks.context.members.has('session'));
    const liftable = policies.filter(({ demand }) => demand?.requires === 'approval');
    this.texts = new Map(liftable.map(({ id, source }) => [id, sha256(source.text)]));
    this.#shelf = shelf;
    this.#onBroken = onBroken;
    this.#applications = applications;
    this.#slices = new Slices(policies);
    this.#byId = new Map(policies.map((policy) => [policy.id, policy]));
    this.#remembered = remember > 0 ? new Bounded(remember) : undefined;
  }

  /** The same for entities that are not ours: applications are files of the set with a schema of their own. */
  decideEntities(question: EntityQuestion): EntityVerdict {
    const answer = decideEntities(this.#applications, question);
    if (answer.verdict === 'broken') this.#onBroken([{ kind: 'policy_failed' }]);
    return answer;
  }

  /** Whether this person, by this agent, may have this tool called: a pure function of the set, its tools and the input. */
  decide(input: DecisionInput): Verdict {
    const tool = this.#shelf.at(actionOf(input.tool));
    if (tool === undefined) return deny('unknown_tool', 'server');
    const without = this.#discharged(input.discharged);
    const slice = this.#slices.slice(tool, input, without);
    const seen = input.arguments && projectArguments(input.arguments, tool.type, slice.arguments);
    if (seen?.ok === false) return deny('unreadable_arguments', 'request', { argument: seen.error });
    return this.#decide(input, { tool, arguments: seen?.value }, { slice, without });
  }

  /** What may be kept of an input that this set decided over; nothing of a tool that it does not know. */
  keep(input: DecisionInput, verdict: Verdict): KeptInput | undefined {
    const tool = this.#shelf.at(actionOf(input.tool));
    if (tool === undefined) return undefined;
    const { fingerprint, named } = this.#keepableOf(tool);
    const lifted = Object.fromEntries(input.discharged.map((id) => [id, this.texts.get(id) ?? '']));
    return fingerprint === undefined ? undefined : keptInput(input, verdict, { tool, named, fingerprint, lifted });
  }

  /** What this set would have decided. Where a value that it looks at was not kept, it does not say. */
  redecide(kept: KeptInput): Redecided {
    const tool = this.#shelf.at(actionOf(kept.tool));
    if (tool === undefined) return { undecidable: 'tool_gone' };
    return this.knowsToolOf(kept) ? this.#redecide(kept, tool) : { undecidable: 'tool_changed' };
  }

  /** What this set would have decided had the tool been in its classes of now. DANGER: its definition has to be the same. */
  redecideAsClassed(kept: KeptInput): Redecided {
    const tool = this.#shelf.at(actionOf(kept.tool));
    return tool === undefined ? { undecidable: 'tool_gone' } : this.#redecide(kept, tool);
  }

  /** Whether the tool is what it was: its classes and the reviewed schema of its arguments. */
  knowsToolOf({ tool, fingerprint }: Pick<KeptInput, 'tool' | 'fingerprint'>): boolean {
    const known = this.#shelf.at(actionOf(tool));
    return known !== undefined && this.#keepableOf(known).fingerprint === fingerprint;
  }

  #redecide(kept: KeptInput, tool: ShelvedTool): Redecided {
    const [input, args] = [{ ...factsOf(kept), discharged: this.#stillLifted(kept) }, kept.arguments];
    if (args !== undefined && 'problem' in args) {
      // Whether a number fits depends on whether a policy reads it; every other flaw is one for any set.
      return args.problem === 'out_of_range' ? NOT_KEPT : deny('unreadable_arguments', 'request');
    }
    const without = this.#discharged(input.discharged);
    const slice = this.#slices.slice(tool, input, without);
    if (args !== undefined && !covers(args.covered, slice.arguments)) return NOT_KEPT;
    if (slice.looksAtSession && input.session === undefined) return NOT_KEPT;
    return this.#decide(input, { tool, arguments: args?.seen }, { slice, without });
  }

  #decide(
    input: DecisionInput,
    projected: Seen,
    { slice, without }: Readonly<{ slice: Slice; without: ReadonlySet<string> }>,
  ): Verdict {
    const { tool } = projected;
    const question = slice.question(input, projected);
    const lifted = (ids: readonly string[]): Slice => this.#slices.slice(tool, input, new Set([...without, ...ids]));
    const key = this.#remembered && `${String(slice.number)}\n${JSON.stringify(question)}`;
    const known = key === undefined ? undefined : this.#remembered?.get(key);
    if (known !== undefined) return known;
    const verdict = this.#judge(question, slice, lifted);
    if (verdict.verdict === 'broken') this.#onBroken(verdict.errors);
    if (key !== undefined && key.length <= MAX_KEY && verdict.verdict !== 'broken') this.#remembered?.set(key, verdict);
    return verdict;
  }

  #keepableOf(tool: ShelvedTool): Keepable {
    const known = this.#keepable.get(tool);
    if (known !== undefined) return known;
    const made = { fingerprint: fingerprintOf(tool), named: this.#slices.argumentsOf(tool) };
    this.#keepable.set(tool, made);
    return made;
  }

  /** A human's grant discharges what needs an approval; the agent itself meets the other demands, or does not. */
  #discharged(ids: readonly string[]): ReadonlySet<string> {
    return new Set(ids.filter((id) => this.#byId.get(id)?.demand?.requires === 'approval'));
  }

  /** What a person granted of a text of before lifts no other. */
  #stillLifted({ discharged, lifted = {} }: KeptInput): readonly string[] {
    return discharged.filter((id) => this.texts.has(id) && lifted[id] === this.texts.get(id));
  }

  /** DESIGN 5: ask only if every policy that said no can be lifted, and with exactly those lifted both may. */
  #judge(question: Question, slice: Slice, lifted: (ids: readonly string[]) => Slice): Verdict {
    const first = slice.answer(question);
    if (first.kind !== 'forbidden') return verdictOf(first);
    const deciding = first.policies.map((id) => this.#byId.get(id));
    const demands = deciding.flatMap((policy) => policy?.demand ?? []);
    if (demands.length < deciding.length) {
      const final = deciding.filter((policy) => policy?.demand === undefined);
      const messages = unique(final.flatMap((policy) => policy?.reason ?? []));
      return deny('forbidden', 'policy', { policies: first.policies, messages });
    }
    const second = lifted(first.policies).answer(question);
    if (second.kind === 'allowed') return ask(demands);
    return second.kind === 'forbidden' ? deny('forbidden', 'policy', { policies: second.policies }) : verdictOf(second);
  }
}

type Redecided = Verdict | Readonly<{ undecidable: Undecidable }>;

/** Why a decision cannot be made again: what it would look at is not there, or not what it was. */
export type Undecidable = 'not_kept' | 'tool_gone' | 'tool_changed' | 'unreadable';

const NOT_KEPT = { undecidable: 'not_kept' } as const;

type Keepable = Readonly<{ fingerprint: string | undefined; named: Mentions | undefined }>;

/** Longer inputs are decided anew, so that what is remembered stays within 40 MB. */
const MAX_KEY = 2_048;

function verdictOf(answer: Answer): Verdict {
  switch (answer.kind) {
    case 'allowed':
      return { verdict: 'allow', policies: answer.policies };
    case 'missing':
      return deny('not_permitted', answer.term);
    case 'broken':
      return { verdict: 'broken', errors: answer.errors };
    case 'forbidden':
      return deny('forbidden', 'policy', { policies: answer.policies });
  }
}

/** Over the RFC 8785 form of the files by their paths. */
function hashOf(files: readonly PolicyFile[]): string {
  const hashed = digest(Object.fromEntries(files.map(({ path, text }) => [path, text])));
  // Well-formed text, which splitFiles made sure of, has an RFC 8785 form.
  if (!hashed.ok) throw new TypeError(`a policy set cannot be hashed: ${hashed.error}`);
  return `sha256:${hashed.value}`;
}
