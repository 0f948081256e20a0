// Planted faults in the statement that is the verdict (src/storage/commit-sql.ts): each condition made false and true,
// each word of it turned into its opposite, one at a time, and the contract suite of the commit has to notice.
// `npm run mutation:sql`; `-- --list` names the faults, `-- TEXT …` plants those whose name has one of these texts.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { TestStatus } from '@stryker-mutator/api/test-runner';
import { Tests } from '../config/mutation-tests.mjs';
import { equivalent } from '../config/mutation-sql-equivalent.mjs';
import setUp from '../test/support/global-setup.mjs';
import tearDown from '../test/support/global-teardown.mjs';

/** What is replaced by what, wherever it stands. */
const OPERATORS = [
  [
    /(?<=WHEN )[^\n]+?(?= THEN)|(?<=WHEN )EXISTS \(SELECT 1 FROM revocation r WHERE r.target = ANY[^\n]+/g,
    ['false', 'true'],
  ],
  [/(?<=^\s*WHERE )[^\n]+?(?= ORDER BY|$)/gm, ['true']],
  [/(?<=\w WHERE )(?:[^()\n]|\([^()]*\))+?(?=\))/g, ['true']],
  [/(?<=HAVING )[^\n]+/g, ['true']],
  [/\bAND\b/g, ['OR']],
  [/\bOR\b/g, ['AND']],
  [/\bIS NOT NULL\b/g, ['IS NULL']],
  [/\bIS NULL\b/g, ['IS NOT NULL']],
  [/\bIS DISTINCT FROM\b/g, ['=']],
  [/\bNOT (?=i\.opens|coalesce)/g, ['']],
  [/ <> /g, [' = ']],
  [/ < /g, [' > ', ' <= ']],
  [/ > /g, [' < ', ' >= ']],
  [/(?<=ON [^\n]+) = /g, [' <> ']],
  [/\bLEFT JOIN\b/g, ['JOIN']],
  [/'(stale|clock|session_expired|session_ended)'(?=, )/g, ["'nothing'"]],
  [/, '(clock|session_expired|session_ended)'(?=\))/g, ['']],
  [/\bDISTINCT (?=unnest)/g, ['']],
  [/ ORDER BY [^)\n]+/g, ['']],
  [/ FILTER \(WHERE opens\)/g, ['']],
  [/\bcount\(\*\)(?=,)/g, ['1']],
  [/(?<=sequence) \+ /g, [' - ']],
  [/ \+ row_number/g, [' - row_number']],
  [/PARTITION BY j.run/g, ['']],
  [/\bmin\(/g, ['max(']],
  [/\bmax\(/g, ['min(']],
  [/abs\(([^)]+)\)/g, ['($1)']],
  [/ \|\| \('key:' \|\| i\.kid\)/g, ['']],
  [/coalesce\(parent\.lineage, ARRAY\[\]::text\[\]\) \|\| /g, ['']],
  [/ \|\| string_to_array\(i\.lineage, ' '\)/g, ['']],
  [/, last_used_at = clock_timestamp\(\)/g, ['']],
  [/'(?:token|session|txn):' \|\| (?:token_hash|session|txn), /g, ['']],
  [/, 'key:' \|\| kid/g, ['']],
];

function faultsOf(sql) {
  const faults = new Map();
  for (const [pattern, replacements] of OPERATORS) {
    for (const found of sql.matchAll(pattern)) {
      for (const replacement of replacements) {
        const plain = replacement.replace('$1', found[1] ?? '');
        // PostgreSQL wants to know the type of a parameter that is used nowhere.
        const wanted = found[0].includes('$19') ? `$19::int IS ${plain === 'true' ? 'NOT ' : ''}NULL` : plain;
        const changed = sql.slice(0, found.index) + wanted + sql.slice(found.index + found[0].length);
        const line = sql.slice(0, found.index).split('\n').length;
        const column = found.index - sql.lastIndexOf('\n', found.index);
        const name = `${line}:${column} ${short(around(found))} -> ${short(wanted) || 'nothing'}`;
        if (changed !== sql) faults.set(name, changed);
      }
    }
  }
  return faults;
}
/** An operator alone names nothing: it stands between its neighbours. */
const around = ({ 0: text, input, index }) => {
  if (text.trim().length > 4) return text;
  const [before] = /\S*$/.exec(input.slice(0, index));
  const [after] = /^\S*/.exec(input.slice(index + text.length));
  return `${before}${text}${after}`;
};
const short = (text) => (text.length > 60 ? `${text.slice(0, 57).trim()}...` : text.trim());

setUp();
const tests = new Tests(['contract/commit-clauses'], {
  file: 'src/storage/commit-sql.ts',
  replace: 'export const COMMIT_SQL',
  by: 'export let COMMIT_SQL',
  append: '\nglobalThis.commitSql = { text: COMMIT_SQL, set: (text) => { COMMIT_SQL = text; } };\n',
});
await tests.load();
const { databaseKinds, freshDatabase } = await import(
  pathToFileURL(join(process.cwd(), 'test/support/databases.ts')).href
);
const { text, set } = globalThis.commitSql;
const only = process.argv.slice(2).filter((word) => !word.startsWith('-'));
const faults = [...faultsOf(text)].filter(([name]) => only.length === 0 || only.some((text) => name.includes(text)));
if (process.argv.includes('--list')) {
  for (const [name] of faults) console.log(name);
  await tearDown();
  process.exit(0);
}
const all = (await tests.run(undefined)).filter(({ id }) => id !== '');
const kind = all.some(({ id }) => id.includes('(server)')) ? '(server)' : '(embedded)';
const ids = all.map(({ id }) => id).filter((id) => id.includes(kind));
const broken = all.filter(({ status }) => status === TestStatus.Failed);
if (broken.length > 0) throw new Error(`fails without a fault: ${broken[0].id}\n${broken[0].failureMessage}`);

const empty = await freshDatabase(databaseKinds.at(-1));
const NOTHING = Array.from({ length: 24 }, (_, index) => (index === 18 ? 30 : []));
/** What PostgreSQL does not even plan (SQLSTATE 42…) is no fault that could be shipped, so nothing has noticed it. */
const isInvalid = async (sql) => {
  try {
    await empty.database.rows(sql, NOTHING);
    return false;
  } catch (error) {
    return String(error?.code).startsWith('42');
  }
};
if ((await empty.database.rows(text, NOTHING)).length > 0) throw new Error('something was committed for nobody');

const counts = { killed: 0, survived: 0, equivalent: 0, invalid: 0 };
const isFailed = ({ status }) => status === TestStatus.Failed;
for (const [name, sql] of faults) {
  if (await isInvalid(sql)) {
    counts.invalid += 1;
    console.log(`invalid    ${name}`);
    continue;
  }
  let failed = await tried(sql);
  // What fails without the fault too was spoilt by an earlier one, or by this one for those after it.
  if (failed !== undefined && (await tests.run([failed.id])).some(isFailed)) {
    await tests.dispose();
    failed = await tried(sql);
    await tests.dispose();
  }
  const known = Object.entries(equivalent).find(([part]) => name.includes(part));
  const verdict = failed !== undefined ? 'killed' : known !== undefined ? 'equivalent' : 'survived';
  counts[verdict] += 1;
  const by = verdict === 'killed' ? failed.id.replace(/^.*\) /, '') : verdict === 'equivalent' ? known[1] : '';
  console.log(`${verdict.padEnd(10)} ${name}${by && ` | ${by}`}`);
}
await tests.dispose();
await empty.drop();
await tearDown();

async function tried(sql) {
  set(sql);
  const results = await tests.run(ids, undefined, true);
  set(text);
  return results.find(isFailed);
}

const score = (100 * counts.killed) / Math.max(1, counts.killed + counts.survived);
console.log(`${JSON.stringify({ ...counts, score: Number(score.toFixed(1)) })}`);
process.exit(counts.survived === 0 ? 0 : 1);
