import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CheckpointMemory, Remembered } from '../audit/index.js';

/**
 * The last checkpoint, in files of the data directory: they outlive the process, and nobody who writes to the database
 * reaches them. Where the directory cannot be read or written it is kept in memory alone, and `onLoss` hears of it once.
 */
export function openCheckpointFile(dataDir: string, onLoss: (thrown: unknown) => void): CheckpointMemory {
  const files = { checkpoint: join(dataDir, 'checkpoint'), recovery: join(dataDir, 'checkpoint.recovery') } as const;
  let isLost = false;
  const lose = (thrown: unknown): void => {
    if (!isLost) onLoss(thrown);
    isLost = true;
  };
  return {
    recall: () => ({ checkpoint: read(files.checkpoint, lose), recovery: read(files.recovery, lose) }),
    keep: (remembered) => {
      try {
        for (const name of NAMES) if (!isLost && name in remembered) write(files[name], remembered[name]);
      } catch (thrown) {
        lose(thrown);
      }
    },
  };
}

const NAMES: readonly (keyof Remembered)[] = ['recovery', 'checkpoint'];

function read(file: string, onLoss: (thrown: unknown) => void): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (thrown) {
    const isMissing = typeof thrown === 'object' && thrown !== null && 'code' in thrown && thrown.code === 'ENOENT';
    if (!isMissing) onLoss(thrown);
    return undefined;
  }
}

/** Whole or as it was: processes that share the directory write drafts of their own. */
function write(file: string, text: string | undefined): void {
  if (text === undefined) {
    rmSync(file, { force: true });
    return;
  }
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, file);
}
