// A directory for what test workers share in one run, such as the PostgreSQL server that the first of them starts.
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export default function setUp() {
  const directory = mkdtempSync(join(tmpdir(), 'writ-run-'));
  // PostgreSQL does not run as root, and its account has to get to its own directory inside.
  chmodSync(directory, 0o711);
  process.env.WRIT_TEST_RUN_DIR = directory;
}
