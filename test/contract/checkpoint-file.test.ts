import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { CheckpointMemory } from '../../src/audit/index.js';
import { openCheckpointFile } from '../../src/storage/index.js';

const NOTHING = { checkpoint: undefined, recovery: undefined };

describe('the last checkpoint in the data directory', () => {
  let directory = '';
  let losses: unknown[] = [];
  const open = (dataDir = directory): CheckpointMemory => openCheckpointFile(dataDir, (thrown) => losses.push(thrown));

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'writ-checkpoint-'));
    losses = [];
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  it('outlives the process, and what is not named stays as it was', () => {
    open().keep({ checkpoint: 'one', recovery: 'word' });
    open().keep({ checkpoint: 'two' });
    expect(open().recall()).toEqual({ checkpoint: 'two', recovery: 'word' });
    expect(readdirSync(directory).sort()).toEqual(['checkpoint', 'checkpoint.recovery']);
    expect(losses).toEqual([]);
  });

  it('is forgotten when it is said to be, and none at first', () => {
    expect(open(join(directory, 'not', 'yet')).recall()).toEqual(NOTHING);
    open().keep({ checkpoint: 'one', recovery: undefined });
    open().keep({ checkpoint: undefined });
    expect(open().recall()).toEqual(NOTHING);
    expect(losses).toEqual([]);
  });

  it('tells once of a directory that it cannot write, and lets the log go on', () => {
    writeFileSync(join(directory, 'file'), '');
    const memory = open(join(directory, 'file'));
    memory.keep({ checkpoint: 'one' });
    memory.keep({ checkpoint: 'two' });
    expect(losses).toEqual([expect.objectContaining({ code: expect.stringMatching(/^E(EXIST|NOTDIR)$/) })]);
  });

  it('is written again as soon as that is possible, with everything that was to be kept meanwhile', () => {
    const place = join(directory, 'file');
    writeFileSync(place, '');
    const memory = open(place);
    memory.keep({ checkpoint: undefined, recovery: 'word' });
    memory.keep({ checkpoint: 'one' });
    rmSync(place);
    memory.keep({ checkpoint: 'two' });
    expect(open(place).recall()).toEqual({ checkpoint: 'two', recovery: 'word' });
    rmSync(place, { recursive: true });
    writeFileSync(place, '');
    memory.keep({ checkpoint: 'three' });
    expect(losses).toHaveLength(2);
  });

  it('is gone before the recovery that overrules it is there', () => {
    open().keep({ checkpoint: 'overruled' });
    mkdirSync(join(directory, 'checkpoint.recovery', 'in the way'), { recursive: true });
    open().keep({ checkpoint: undefined, recovery: 'word' });
    expect(losses).toHaveLength(1);
    expect(readdirSync(directory)).not.toContain('checkpoint');
  });

  it('tells of a file that is there and cannot be read, and is not silent as if there were none', () => {
    mkdirSync(join(directory, 'checkpoint'));
    expect(open().recall()).toEqual(NOTHING);
    expect(losses).toEqual([expect.objectContaining({ code: 'EISDIR' })]);
  });

  it('leaves the file whole when a draft of another process lies beside it', () => {
    writeFileSync(join(directory, 'checkpoint.1'), 'half of a no');
    open().keep({ checkpoint: 'whole' });
    expect(readFileSync(join(directory, 'checkpoint'), 'utf8')).toBe('whole');
  });
});
