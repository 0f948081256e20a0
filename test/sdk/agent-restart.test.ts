import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { compileSource } from '../support/compiled.js';
import { Deferrals } from '../support/deferrals.js';
import { TestIssuer } from '../support/issuer.js';

const compiled = compileSource();
afterAll(() => {
  compiled.remove();
});
const RESOURCE = 'https://mcp1.example/files';
let issuer: TestIssuer;
let deferrals: Deferrals;
let folder: string;
beforeEach(async () => {
  issuer = await TestIssuer.start();
  deferrals = issuer.deferrals = new Deferrals();
  folder = mkdtempSync(join(tmpdir(), 'writ-agent-'));
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await issuer.close();
});

type Said = { waiting?: { id: string }; token?: { accessToken: string; tokenType: string } };

/** A process of an agent, and what it says next. */
function start(settings: object): { child: ChildProcess; next(): Promise<Said> } {
  const child = spawn(process.execPath, [join('test', 'support', 'waiting-agent.mjs')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const file = join(folder, 'deferrals.json');
  child.stdin.end(
    JSON.stringify({ directory: compiled.directory, file, issuer: issuer.url, resource: RESOURCE, ...settings }),
  );
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return { child, next: async () => JSON.parse(String((await lines.next()).value)) as Said };
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

describe('an agent that is killed while it waits for a person', () => {
  it.each([false, true])(
    'gets its token when it is started anew, with what it had kept alone (DPoP %p)',
    async (bound) => {
      const key = await issuer.register('agt_planner');
      const dpop = bound ? await issuer.register('a key that proves possession') : undefined;
      const settings = { key, dpop, subjectToken: 'the.first.token' };
      const first = start(settings);
      const { waiting } = await first.next();
      await kill(first.child);
      const kept = readFileSync(join(folder, 'deferrals.json'), 'utf8');
      expect(JSON.parse(kept)).toMatchObject([{ id: waiting?.id, tool: 'write_file' }]);
      expect([kept.includes('the.first.token'), kept.includes('/a')]).toEqual([false, false]);
      expect(statSync(join(folder, 'deferrals.json')).mode & 0o077).toBe(0);
      deferrals.decide('granted');
      const second = start(settings);
      expect(await second.next()).toMatchObject({ waiting: { id: waiting?.id } });
      const { token } = await second.next();
      expect(token?.tokenType).toBe(bound ? 'DPoP' : 'Bearer');
      expect(decodeJwt(token?.accessToken ?? '')).toMatchObject({ aud: RESOURCE });
      await once(second.child, 'exit');
      expect(JSON.parse(readFileSync(join(folder, 'deferrals.json'), 'utf8'))).toEqual([]);
      expect(issuer.forms.filter((form) => form.has('completion_mode'))).toHaveLength(1);
    },
  );

  it('asks anew where its key for proofs died with it, since nobody else could redeem what it kept', async () => {
    const key = await issuer.register('agt_planner');
    const settings = { key, dpop: true, subjectToken: 'the.first.token' };
    const first = start(settings);
    await first.next();
    await kill(first.child);
    deferrals.decide('over');
    const second = start(settings);
    await second.next();
    expect(issuer.forms.filter((form) => form.has('completion_mode'))).toHaveLength(2);
    deferrals.decide('granted');
    expect((await second.next()).token?.tokenType).toBe('DPoP');
    await once(second.child, 'exit');
  });
});
