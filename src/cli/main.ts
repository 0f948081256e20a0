#!/usr/bin/env node
import { existsSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { readTextFile } from '../config/index.js';
import { run } from './index.js';

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  readFile: readTextFile,
  makePrivateFile,
  readStdin: () => text(process.stdin),
  out: (line) => process.stdout.write(`${line}\n`),
  err: (line) => process.stderr.write(`${line}\n`),
});

function makePrivateFile(path: string, content: string): boolean {
  if (existsSync(path)) return false;
  writeFileSync(path, content, { mode: 0o600, flag: 'wx' });
  return true;
}
