#!/usr/bin/env node
import { text } from 'node:stream/consumers';
import { readTextFile } from '../config/index.js';
import { run } from './index.js';

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  readFile: readTextFile,
  readStdin: () => text(process.stdin),
  out: (line) => process.stdout.write(`${line}\n`),
  err: (line) => process.stderr.write(`${line}\n`),
});
