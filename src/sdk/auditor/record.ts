import { isObject, type JsonObject, parseObject } from '../../protocol/index.js';
import { textOf } from './lines.js';

/** What the auditor looks at in a record. `facts` only of the few kinds that matter to a proof. */
export type Seen = Readonly<{
  kind: string;
  session: string | undefined;
  sequence: number | undefined;
  decision: string;
  facts: JsonObject | undefined;
}>;

// The form that Writ writes records in. The bytes are proved to be the log's before this is read, and a quotation mark
// inside a string is always escaped, so that neither pattern can match within one; anything else is parsed as a whole.
const HEAD = /^\{"v":1,"salt":"[\w-]{0,64}","kind":"(\w{1,32})",/;
const TAIL =
  /^,"outcome":\{"decision":"(\w{1,16})","reason":"[^"\\]*","session":(?:null|"([^"\\]{1,128})"),"sequence":(?:null|(\d{1,15})),"seen":\d{1,15}\}\}$/;
const OUTCOME = Buffer.from(',"outcome":{"decision":', 'latin1');
const MET = Buffer.from('"met":"', 'latin1');
const MATTERS = new Set(['key', 'session', 'retention']);

/** Reads a leaf as far as a proof needs it; `undefined` when it is no record of a version that this build knows. */
export function seenIn(leaf: Buffer): Seen | undefined {
  const kind = HEAD.exec(leaf.toString('latin1', 0, 128))?.[1];
  const at = leaf.lastIndexOf(OUTCOME);
  const tail = kind === undefined || at < 0 || MATTERS.has(kind) ? null : TAIL.exec(leaf.toString('utf8', at));
  if (kind === undefined || tail === null || leaf.includes(MET)) return parsed(leaf);
  const [, decision = '', session, sequence] = tail;
  return { kind, decision, session, sequence: sequence === undefined ? undefined : Number(sequence), facts: undefined };
}

function parsed(leaf: Buffer): Seen | undefined {
  const text = textOf(leaf);
  const read = text === undefined ? undefined : parseObject(text);
  if (read?.ok !== true || read.value['v'] !== 1) return undefined;
  const { kind, facts, outcome } = read.value;
  if (typeof kind !== 'string' || !isObject(facts) || !isObject(outcome)) return undefined;
  const { decision, session, sequence } = outcome;
  if (typeof decision !== 'string') return undefined;
  return {
    ...{ kind, decision, facts },
    session: typeof session === 'string' ? session : undefined,
    sequence: typeof sequence === 'number' && Number.isSafeInteger(sequence) ? sequence : undefined,
  };
}
