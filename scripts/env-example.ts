// Writes .env.example from the configuration schema; with --check it only says whether the file is current.
import { readFileSync, writeFileSync } from 'node:fs';
import { environmentExample } from '../src/config/index.js';

const FILE = '.env.example';
const wanted = environmentExample();

if (!process.argv.includes('--check')) {
  writeFileSync(FILE, wanted);
} else if (readFileSync(FILE, 'utf8') !== wanted) {
  console.error(`${FILE} is out of date: run npm run env-example`);
  process.exitCode = 1;
}
