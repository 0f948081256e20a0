// results.mjs failed FOLDER: the suites that failed in the last run of each, one a line.
// results.mjs count FOLDER STATUS: the line that ends continuous integration.
import { readdirSync, readFileSync } from 'node:fs';

const [what, folder, status] = process.argv.slice(2);
const last = new Map();
const again = new Set();
for (const file of readdirSync(folder).sort()) {
  for (const result of JSON.parse(readFileSync(`${folder}/${file}`, 'utf8'))) {
    if (last.has(result.suite)) again.add(result.suite);
    last.set(result.suite, result);
  }
}
const results = [...last.values()];
const sum = (of) => results.reduce((total, result) => total + of(result), 0);

if (what === 'failed') {
  for (const { suite, failed } of results) if (failed > 0) console.log(suite);
} else {
  for (const suite of again) console.log(`NEEDED A SECOND RUN: ${suite} (what failed in the first is above)`);
  const passed = sum((result) => result.passed);
  const failed = sum((result) => result.failed) || (status === '0' ? 0 : 1);
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}
