import { err, ok, type Result } from '../../base/index.js';
import { isPlainText } from '../../protocol/index.js';
import { flawAt, type PolicyFile, type PolicyFlaw, type PolicyText } from './flaw.js';

/** What a whole set and one policy may measure. */
const MAX_SET = 4_194_304;
const MAX_POLICIES = 5_000;
const MAX_FILES = 500;
const MAX_BRACKETS = 20;
const MAX_SYMBOLS = 500;

/**
 * Cuts files into policies, each of which ends with a semicolon. Cedar's parser recurses, and a stack that overflows
 * leaves the whole engine unusable until a restart: so what nests too deep or runs on too long never gets there.
 */
export function splitFiles(files: readonly PolicyFile[]): Result<readonly PolicyText[], readonly PolicyFlaw[]> {
  const beyond = tooMuch(files);
  if (beyond !== undefined) return err([beyond]);
  const policies = files.flatMap(split);
  const [first] = policies;
  if (first !== undefined && policies.length > MAX_POLICIES)
    return err([flawAt(first, `the set has more than ${String(MAX_POLICIES)} policies`)]);
  const flaws = policies.flatMap(tangled);
  return flaws.length > 0 ? err(flaws) : ok(policies);
}

function tooMuch(files: readonly PolicyFile[]): PolicyFlaw | undefined {
  const seen = new Set<string>();
  let size = 0;
  for (const file of files) {
    const whole: PolicyText = { file, start: 0, text: file.text };
    size += file.text.length;
    if (size > MAX_SET) return flawAt(whole, `the set is larger than ${String(MAX_SET)} characters`);
    if (!file.path.endsWith('.cedar')) return flawAt(whole, 'is not a .cedar file');
    if (seen.has(file.path)) return flawAt(whole, 'is in the set twice');
    if (seen.add(file.path).size > MAX_FILES) return flawAt(whole, `the set has more than ${String(MAX_FILES)} files`);
    if (!isPlainText(file.path) || !file.text.isWellFormed() || file.text.includes('\u0000'))
      return flawAt(whole, 'is not plain Unicode text');
  }
  return undefined;
}

/** Cedar's comments, strings and the rest. A string that does not close runs to the end, and the engine refuses it. */
const TOKEN = /(?<comment>\/\/[^\n\r]*)|(?<space>\s+)|(?<text>"(?:\\.|[^"\\])*"?)|(?<word>\w+)|(?<symbol>[^])/gu;

function split(file: PolicyFile): readonly PolicyText[] {
  const policies: PolicyText[] = [];
  let start: number | undefined;
  for (const { 0: token, index, groups } of file.text.matchAll(TOKEN)) {
    if (groups?.['comment'] === undefined && groups?.['space'] === undefined) start ??= index;
    if (start === undefined || groups?.['symbol'] !== ';') continue;
    policies.push({ file, start, text: file.text.slice(start, index + token.length) });
    start = undefined;
  }
  return start === undefined ? policies : [...policies, { file, start, text: file.text.slice(start) }];
}

function tangled(policy: PolicyText): readonly PolicyFlaw[] {
  let [depth, symbols] = [0, 0];
  for (const { index, groups } of policy.text.matchAll(TOKEN)) {
    const { symbol, word } = groups ?? {};
    if (symbol !== undefined && '([{'.includes(symbol)) depth++;
    if (symbol !== undefined && ')]}'.includes(symbol)) depth--;
    if (word === 'if' || (symbol !== undefined && !',;:@'.includes(symbol))) symbols++;
    const offset = Buffer.byteLength(policy.text.slice(0, index));
    if (depth > MAX_BRACKETS) return [flawAt(policy, 'nests too deep', { offset })];
    if (symbols > MAX_SYMBOLS) return [flawAt(policy, 'is too long: write several policies, or a set', { offset })];
  }
  return [];
}
