// Counts for continuous integration: one JSON file a run, in the folder that WRIT_TEST_RESULTS names.
import { writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';

export default class ResultsReporter {
  onRunComplete(_contexts, { testResults, startTime }) {
    const folder = process.env.WRIT_TEST_RESULTS;
    if (!folder) return;
    const suites = testResults.map(({ testFilePath, numPassingTests, numFailingTests, failureMessage }) => ({
      suite: relative(process.cwd(), testFilePath),
      passed: numPassingTests,
      // A suite that could not even be loaded has no test that failed.
      failed: failureMessage && numFailingTests === 0 ? 1 : numFailingTests,
    }));
    writeFileSync(join(folder, `${startTime}-${process.pid}.json`), JSON.stringify(suites));
  }
}
