// Counts for continuous integration: one JSON file a run, in the folder that WRIT_TEST_RESULTS names.
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export default class ResultsReporter {
  onRunComplete(_contexts, { numPassedTests, numFailedTests, numFailedTestSuites }) {
    const folder = process.env.WRIT_TEST_RESULTS;
    if (!folder) return;
    const counts = { numPassedTests, numFailedTests, numFailedTestSuites };
    writeFileSync(join(folder, `${randomUUID()}.json`), JSON.stringify(counts));
  }
}
