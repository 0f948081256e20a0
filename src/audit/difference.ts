import { canonicalize, digest, isObject, type Json } from '../protocol/index.js';

/** Both sides fit into one entry of the log below this; a longer change is told by its digests and by what differs. */
const MOST_BYTES = 48_000;

type Change = Readonly<{
  before?: Json;
  after?: Json;
  before_sha256: string | null;
  after_sha256: string | null;
  changed: string[];
}>;

/** A change of an object as a record has it: both sides where there is room, their digests, and the members that differ. */
export function changeOf(before: Json, after: Json): Change {
  const [was, is] = [membersOf(before), membersOf(after)];
  const changed = [...new Set([...was.keys(), ...is.keys()])].filter((name) => was.get(name) !== is.get(name)).sort();
  const isShort = Buffer.byteLength(JSON.stringify([before, after])) <= MOST_BYTES;
  const sides = isShort ? { before, after } : {};
  return { ...sides, before_sha256: digestOf(before), after_sha256: digestOf(after), changed };
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
