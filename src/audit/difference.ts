import { canonicalize, digest, isObject, type Json } from '../protocol/index.js';

/** The digests of what was and what is, and the members of it that differ; nothing where there was nothing. */
export function differenceOf(
  before: Json,
  after: Json,
): Readonly<{ before_sha256: string | null; after_sha256: string | null; changed: string[] }> {
  const [was, is] = [membersOf(before), membersOf(after)];
  const changed = [...new Set([...was.keys(), ...is.keys()])].filter((name) => was.get(name) !== is.get(name)).sort();
  return { before_sha256: digestOf(before), after_sha256: digestOf(after), changed };
}

function digestOf(value: Json): string | null {
  const hashed = value === null ? undefined : digest(value);
  return hashed?.ok === true ? hashed.value : null;
}

const membersOf = (value: Json): ReadonlyMap<string, string> =>
  new Map(isObject(value) ? Object.entries(value).map(([name, member]) => [name, textOf(member)]) : []);

/** In one form, whatever order the keys are stored in. */
function textOf(value: Json): string {
  const canonical = canonicalize(value);
  return canonical.ok ? canonical.value : JSON.stringify(value);
}
