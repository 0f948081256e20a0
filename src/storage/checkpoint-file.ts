import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CheckpointMemory, Remembered } from '../audit/index.js';

/**
 * The last checkpoint, in files of the data directory: they outlive the process, and nobody who writes to the database
 * reaches them. What cannot be written is tried again with the next; `onLoss` hears of the first failure of a row. A file that
 * cannot be read is not written over.
 */
export function openCheckpointFile(dataDir: string, onLoss: (thrown: unknown) => void): CheckpointMemory {
  const files = { checkpoint: join(dataDir, 'checkpoint'), recovery: join(dataDir, 'checkpoint.recovery') } as const;
  let [isLost, isUnreadable] = [false, false];
  let owed: Partial<Remembered> = {};
  const lose = (thrown: unknown): void => {
    if (!isLost) onLoss(thrown);
    isLost = true;
  };
  const unreadable = (thrown: unknown): void => {
    isUnreadable = true;
    lose(thrown);
  };
  return {
    recall: () => ({ checkpoint: read(files.checkpoint, unreadable), recovery: read(files.recovery, unreadable) }),
    keep: (remembered) => {
      owed = { ...owed, ...remembered };
      if (isUnreadable) return;
      try {
        for (const name of NAMES) if (name in owed) write(files[name], owed[name]);
        [owed, isLost] = [{}, false];
      } catch (thrown) {
        lose(thrown);
      }
    },
  };
}

/**
 * DANGER: in this order, each on the disk before the next. A recovery beside the checkpoint that it overrules would count as
 * obeyed already, and that checkpoint would halt the log anew.
 */
const NAMES: readonly (keyof Remembered)[] = ['checkpoint', 'recovery'];

function read(file: string, onLoss: (thrown: unknown) => void): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (thrown) {
    const isMissing = typeof thrown === 'object' && thrown !== null && 'code' in thrown && thrown.code === 'ENOENT';
    if (!isMissing) onLoss(thrown);
    return undefined;
  }
}

/**
 * Whole or as it was, after a power cut too: processes that share the directory write drafts of their own. A rename that is
 * lost leaves the file of before, which is as good; a removal must last.
 */
function write(file: string, text: string | undefined): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  if (text === undefined) {
    rmSync(file, { force: true });
    synced(dirname(file), 'r');
    return;
  }
  const draft = `${file}.${process.pid}`;
  synced(draft, 'w', text);
  renameSync(draft, file);
}

function synced(path: string, flags: 'r' | 'w', text?: string): void {
  const opened = openSync(path, flags, 0o600);
  try {
    if (text !== undefined) writeFileSync(opened, text);
    fsyncSync(opened);
  } finally {
    closeSync(opened);
  }
}
