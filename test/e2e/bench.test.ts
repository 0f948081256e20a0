import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { inChromium } from '../support/chromium.js';

const BENCH = 'dist/scripts/bench.js';

beforeAll(() => {
  if (!existsSync(BENCH)) throw new Error('npm run build comes first');
});

describe('the bench of the decision', () => {
  it('measures policies that Writ takes, in each size of set, and says so in JSON', async () => {
    const args = ['--only', 'decision', '--rounds', '1', '--seconds', '0.02', '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, [BENCH, ...args], { timeout: 110_000 });
    const [last = ''] = stdout.trimEnd().split('\n').slice(-1);
    expect(JSON.parse(last)).toMatchObject({
      'decision.p50_ms': expect.any(Number),
      'decision.p99_ms': expect.any(Number),
      'decision.ratio_to_cedar': expect.any(Number),
    });
  }, 120_000);
});

describe('the bench of the log', () => {
  it('measures what the log costs, how fast it grows, its size and its proofs, and says so in JSON', async () => {
    const args = ['--only', 'audit', '--rounds', '1', '--seconds', '0.1', '--entries', '3000', '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, [BENCH, ...args], { timeout: 230_000 });
    const [last = ''] = stdout.trimEnd().split('\n').slice(-1);
    expect(JSON.parse(last)).toMatchObject({
      'audit.cost_ratio': expect.any(Number),
      'audit.sequenced_per_s': expect.any(Number),
      'audit.queue_us': expect.any(Number),
      'audit.bytes_per_entry': expect.any(Number),
      'audit.proof_p99_ms': expect.any(Number),
      'audit.proof_entries': 3000,
      'audit.verified_per_s': expect.any(Number),
    });
  }, 240_000);
});

describe('the bench of the feed', () => {
  it('measures what a verifier keeps of it, and says so in JSON', async () => {
    const args = ['--only', 'feed', '--rounds', '1', '--seconds', '0.02', '--entries', '3000', '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, [BENCH, ...args], { timeout: 110_000 });
    const [last = ''] = stdout.trimEnd().split('\n').slice(-1);
    expect(JSON.parse(last)).toMatchObject({
      'feed.entries': 3000,
      'feed.bytes_per_entry': expect.any(Number),
      'feed.miss_ns': expect.any(Number),
      'feed.token_us': expect.any(Number),
      'feed.followers': 30,
      'feed.behind': 0,
      'feed.refusals': 3,
      'feed.missed': 0,
      'feed.refused_p99_ms': expect.any(Number),
      'feed.snapshot_longest_block_ms': expect.any(Number),
    });
  }, 120_000);
});

describe('the bench of deciding over again', () => {
  it('measures a preview and the work on tokens that live, half of which end, and says so in JSON', async () => {
    const args = ['--only', 'reevaluation', '--rounds', '1', '--seconds', '1', '--entries', '200', '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, [BENCH, ...args], { timeout: 110_000 });
    const [last = ''] = stdout.trimEnd().split('\n').slice(-1);
    expect(JSON.parse(last)).toMatchObject({
      'reevaluation.lost': 100,
      'reevaluation.undecided': 0,
      'reevaluation.preview_ms': expect.any(Number),
      'reevaluation.work_ms': expect.any(Number),
      'reevaluation.work_p99_ms': expect.any(Number),
    });
  }, 120_000);
});

inChromium('the bench of the pages', () => {
  it('measures each page that people decide on beside its bytes alone, and says so in JSON', async () => {
    const args = ['--only', 'pages', '--rounds', '1', '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, [BENCH, ...args], { timeout: 110_000 });
    const [last = ''] = stdout.trimEnd().split('\n').slice(-1);
    const figures = JSON.parse(last) as Record<string, number>;
    expect(Object.keys(figures).sort()).toEqual(
      ['approvals', 'consents', 'history', 'one_call', 'passkey', 'sign_in', 'slowest', 'slowest_p95']
        .map((name) => `pages.${name}_ms`)
        .concat('pages.most_bytes', 'pages.most_ratio_to_its_bytes')
        .sort(),
    );
    expect(figures['pages.most_bytes']).toBeLessThan(30_000);
  }, 120_000);
});
