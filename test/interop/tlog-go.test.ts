import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { type LogSource, verifyLog } from '../../src/sdk/auditor/index.js';
import { parseVerifierKey } from '../../src/tlog/index.js';
import { LogBook } from '../support/log-book.js';

const TESSERA = 'github.com/transparency-dev/tessera@v1.0.0';
const GO = process.env['WRIT_TEST_GO'] ?? 'go';
const folder = mkdtempSync(join(tmpdir(), 'writ-go-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const go = (...args: string[]) =>
  spawnSync(GO, args, {
    cwd: folder,
    encoding: 'utf8',
    timeout: 120_000,
    env: { ...process.env, GOTOOLCHAIN: 'local' },
  });
/** Where Go keeps a module that it has or can fetch. */
const moduleAt = (name: string): string | undefined => {
  const { status, stdout } = go('mod', 'download', '-json', name);
  return status === 0 ? z.object({ Dir: z.string() }).parse(JSON.parse(stdout)).Dir : undefined;
};
writeFileSync(join(folder, 'go.mod'), 'module writ.example/interop\n\ngo 1.21\n');
const tessera = moduleAt(TESSERA);
const hasNote = tessera !== undefined && go('get', 'golang.org/x/mod@v0.24.0').status === 0;

const OPEN = `package main

import ("fmt"; "os"; "golang.org/x/mod/sumdb/note")

func main() {
	text, _ := os.ReadFile(os.Args[2])
	verifier, err := note.NewVerifier(os.Args[1])
	if err == nil {
		var opened *note.Note
		if opened, err = note.Open(text, note.VerifierList(verifier)); err == nil { fmt.Print(opened.Text); return }
	}
	fmt.Println("refused:", err)
}
`;

if (tessera !== undefined) {
  describe('the log that Tessera publishes as test data', () => {
    const vkey = /LOG_PUBLIC_KEY="([^"]+)"/.exec(readFileSync(join(tessera, 'testdata', 'build_log.sh'), 'utf8'))?.[1];
    const file = (path: string): Buffer | undefined => {
      try {
        return readFileSync(join(tessera, 'testdata', 'log', path));
      } catch {
        return undefined;
      }
    };

    it('is proved at every size, and continues each of its checkpoints', async () => {
      const key = parseVerifierKey(vkey ?? '');
      if (!key.ok) throw new Error(key.error);
      const copies = Array.from({ length: 10 }, (_, size) => file(`checkpoint.${size}`)).filter(
        (note) => note !== undefined,
      );
      expect(copies.length).toBeGreaterThan(3);
      const source: LogSource = { hasEntries: true, read: (path) => Promise.resolve(file(path)) };
      const origin = file('checkpoint')?.toString('utf8').split('\n', 1)[0];
      const verdict = await verifyLog(source, { keys: [key.value], origin, copies });
      expect(verdict.problems).toEqual([]);
      expect(verdict.entries.included).toBeGreaterThan(5);
    });
  });
}

if (hasNote) {
  describe('sumdb/note of golang.org/x/mod', () => {
    it('opens a checkpoint of ours, and refuses it changed', () => {
      const log = new LogBook().fill(5);
      const note = log.sign();
      writeFileSync(join(folder, 'main.go'), OPEN);
      const opened = (text: string): string => {
        writeFileSync(join(folder, 'note'), text);
        return go('run', '.', log.options.keys[0]?.text ?? '', 'note').stdout;
      };
      expect(opened(note)).toBe(note.slice(0, note.lastIndexOf('\n\n') + 1));
      expect(opened(note.replace('\n5\n', '\n6\n'))).toContain('refused: invalid signature');
    }, 180_000);
  });
}

if (tessera === undefined || !hasNote) {
  process.stderr.write(
    'Go, or a module of it, was not found: what it verifies was left out. WRIT_TEST_GO may name another.\n',
  );
  it('is left out where there is no Go', () => {
    expect(tessera === undefined || !hasNote).toBe(true);
  });
}
