import { setFlagsFromString } from 'node:v8';
import {
  type AuthorizationAnswer,
  type CedarValueJson,
  checkParseEntities,
  type DetailedError,
  type EntityJson,
  isAuthorized,
  type PolicyJson,
  policyToJson,
  preparsePolicySet,
  type Schema,
  type SchemaJson,
  schemaToJsonWithResolvedTypes,
  type StatefulAuthorizationCall,
  statefulIsAuthorized,
  type Type,
  type TypeAndId,
  validate,
} from '@cedar-policy/cedar-wasm/nodejs';
import { err, ok, type Result } from '../../base/index.js';

// Node.js 20 dies ("unreachable code" in its deoptimizer) when optimised JavaScript that calls WebAssembly is thrown away
// while the call runs and the call gives back an object, as every one of the engine does. Not inlining such calls avoids it.
setFlagsFromString('--no-turbo-inline-js-wasm-calls');

// The one door to the engine. Nothing that it may say, and nothing that it may throw, gets past here as a yes.

export type { CedarValueJson as CedarValue, EntityJson, PolicyJson, Schema, SchemaJson, Type as CedarType, TypeAndId };

/** What the engine found wrong, at a UTF-8 offset of the policy's text. */
export type EngineFlaw = Readonly<{ policy: string | undefined; problem: string; offset: number | undefined }>;

/** One policy as the engine reads it. */
export function parsePolicy(text: string): Result<PolicyJson, readonly EngineFlaw[]> {
  return guarded(() => {
    const answer = policyToJson(text);
    return answer.type === 'success' ? ok(answer.json) : err(answer.errors.map((error) => flaw(undefined, error)));
  });
}

/** Strict validation. A warning is a flaw too: a policy that cannot apply is one that its author trusts in vain. */
export function validatePolicies(
  policies: Readonly<Record<string, string>>,
  schema: Schema,
): Result<undefined, readonly EngineFlaw[]> {
  return guarded(() => {
    const answer = validate({ schema, policies: { staticPolicies: policies }, validationSettings: { mode: 'strict' } });
    if (answer.type === 'failure') return err(answer.errors.map((error) => flaw(undefined, error)));
    const found = [...answer.validationErrors, ...answer.validationWarnings].map((one) =>
      flaw(one.policyId, one.error),
    );
    const others = answer.otherWarnings.map((error) => flaw(undefined, error));
    return found.length + others.length > 0 ? err([...found, ...others]) : ok(undefined);
  });
}

/** A schema as its author wrote it, with every type by its full name. */
export function parseSchema(text: string): Result<SchemaJson<string>, readonly EngineFlaw[]> {
  return guarded(() => {
    const answer = schemaToJsonWithResolvedTypes(text);
    const found = answer.type === 'success' ? answer.warnings : answer.errors;
    return answer.type === 'success' && found.length === 0
      ? ok(answer.json)
      : err(found.map((error) => flaw(undefined, error)));
  });
}

/** Whether these are entities as the schema describes them. */
export function validateEntities(
  entities: readonly EntityJson[],
  schema: Schema,
): Result<undefined, readonly EngineFlaw[]> {
  return guarded(() => {
    const answer = checkParseEntities({ entities: [...entities], schema });
    return answer.type === 'success' ? ok(undefined) : err(answer.errors.map((error) => flaw(undefined, error)));
  });
}

/** One question to policies with a schema of their own; what does not fit the schema is `engine_refused`. */
export function evaluateBySchema(
  question: Question,
  { schema, policies }: Readonly<{ schema: Schema; policies: Readonly<Record<string, PolicyJson>> }>,
): Evaluation {
  try {
    return judge(isAuthorized({ ...question, schema, policies: { staticPolicies: policies }, validateRequest: true }));
  } catch {
    return { kind: 'broken', errors: [{ kind: 'engine_threw' }] };
  }
}

function guarded<T>(step: () => Result<T, readonly EngineFlaw[]>): Result<T, readonly EngineFlaw[]> {
  try {
    return step();
  } catch {
    return err([{ policy: undefined, problem: 'the policy engine failed on it', offset: undefined }]);
  }
}

function flaw(policy: string | undefined, { message, help, sourceLocations }: DetailedError): EngineFlaw {
  const plain = message.replace(/^for policy `[^`]*`, /, '').replace(/^failed to parse policy from string: /, '');
  return { policy, problem: help === null ? plain : `${plain} (${help})`, offset: sourceLocations?.[0]?.start };
}

/** The engine's word. What it says of an error names argument values, so of that we keep the kind alone. */
export type Evaluation =
  | Readonly<{ kind: 'allow' | 'deny'; policies: readonly string[] }>
  | Readonly<{ kind: 'broken'; errors: readonly EngineError[] }>;
export type EngineError = Readonly<{
  kind: 'policy_failed' | 'engine_refused' | 'engine_warned' | 'engine_threw';
  policy?: string;
}>;

/** The question to one prepared set. */
export type Question = Pick<StatefulAuthorizationCall, 'principal' | 'action' | 'resource' | 'context' | 'entities'>;

/**
 * Policies that the engine keeps parsed. It never forgets a name, so names are used again: what is held at one time is
 * bounded, and a set that lost its place is parsed once more when it is asked.
 */
export class PreparedPolicies {
  static readonly #held = new Map<PreparedPolicies, string>();
  static readonly #free: string[] = [];
  static #names = 0;
  static #weight = 0;
  readonly #policies: Record<string, PolicyJson>;
  readonly #size: number;

  constructor(policies: Readonly<Record<string, PolicyJson>>) {
    this.#policies = { ...policies };
    this.#size = Object.keys(policies).length + 1;
  }

  evaluate(question: Question): Evaluation {
    try {
      const name = this.#place();
      if (name === undefined) return { kind: 'broken', errors: [{ kind: 'engine_refused' }] };
      return judge(statefulIsAuthorized({ ...question, preparsedPolicySetId: name, validateRequest: false }));
    } catch {
      return { kind: 'broken', errors: [{ kind: 'engine_threw' }] };
    }
  }

  #place(): string | undefined {
    const held = PreparedPolicies.#held;
    const name = held.get(this) ?? this.#prepare();
    if (name === undefined) return undefined;
    held.delete(this);
    held.set(this, name);
    return name;
  }

  #prepare(): string | undefined {
    const held = PreparedPolicies.#held;
    while (held.size > 0 && (held.size >= MAX_HELD || PreparedPolicies.#weight + this.#size > MAX_WEIGHT)) {
      for (const oldest of held.keys()) {
        oldest.#leave();
        break;
      }
    }
    const name = PreparedPolicies.#free.pop() ?? `held-${String(PreparedPolicies.#names++)}`;
    if (preparsePolicySet(name, { staticPolicies: this.#policies }).type !== 'success') {
      PreparedPolicies.#free.push(name);
      return undefined;
    }
    PreparedPolicies.#weight += this.#size;
    return name;
  }

  #leave(): void {
    const name = PreparedPolicies.#held.get(this);
    if (name === undefined) return;
    preparsePolicySet(name, {});
    PreparedPolicies.#held.delete(this);
    PreparedPolicies.#free.push(name);
    PreparedPolicies.#weight -= this.#size;
  }
}

/** Sets at a time, and policies in them together: about 90 MB. */
const MAX_HELD = 4_096;
const MAX_WEIGHT = 40_000;

/** Cedar skips a policy that errs, forbids included: so any error, failure or warning is a refusal and an alarm. */
export function judge(answer: AuthorizationAnswer): Evaluation {
  if (answer.type !== 'success') return { kind: 'broken', errors: [{ kind: 'engine_refused' }] };
  if (answer.warnings.length > 0) return { kind: 'broken', errors: [{ kind: 'engine_warned' }] };
  const { decision, diagnostics } = answer.response;
  if (diagnostics.errors.length > 0) {
    return {
      kind: 'broken',
      errors: diagnostics.errors.map(({ policyId }) => ({ kind: 'policy_failed', policy: policyId })),
    };
  }
  return { kind: decision, policies: [...diagnostics.reason].sort() };
}
