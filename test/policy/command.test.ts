import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { run } from '../../src/cli/index.js';
import { readTextFile } from '../../src/config/index.js';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'writ-policy-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

async function writ(...args: string[]): Promise<{ code: number; out: string[]; err: string[] }> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await run(args, {
    env: {},
    readFile: readTextFile,
    makePrivateFile: () => false,
    readStdin: () => Promise.resolve(''),
    out: (text) => out.push(text),
    err: (text) => err.push(text),
  });
  return { code, out, err };
}

const REGISTRY = join('config', 'examples', 'registry.yaml');

describe('writ policy check', () => {
  it('names the policies that can never apply, and the tools that nobody may call', async () => {
    writeFileSync(
      join(directory, 'a.cedar'),
      `@id("files") permit(principal, action in Action::"read", resource == Server::"https://mcp.example.com/files");
@id("gone") permit(principal, action, resource == Server::"https://mcp.example.com/old");
@id("pay") forbid(principal, action in Action::"pay", resource);
@id("moot") permit(principal, action == Action::"https://mcp.example.com/files#write_file", resource);
@id("stop") forbid(principal, action in Action::"write", resource);
`,
    );
    const { code, out, err } = await writ('policy', 'check', directory, '--registry', REGISTRY);
    expect({ code, err }).toEqual({ code: 0, err: [] });
    expect(out).toEqual([
      'a.cedar:2:1: gone: names Server::"https://mcp.example.com/old", of which no reviewed tool is known',
      'a.cedar:3:1: pay: takes in no reviewed tool: Action::"pay"',
      'a.cedar:4:1: moot: permits what "stop" forbids without condition',
      'no policy permits https://mcp.example.com/mail#send_mail to anybody',
      expect.stringMatching(/^5 policies, sha256:[\w-]{43}$/),
    ]);
  });

  it('says nothing of what policies take in without the tools that they are for', async () => {
    writeFileSync(join(directory, 'a.cedar'), '@id("pay") forbid(principal, action in Action::"pay", resource);');
    expect(await writ('policy', 'check', directory)).toEqual({
      code: 0,
      out: [
        expect.stringMatching(/^1 policies, sha256:[\w-]{43}$/),
        'Which of them can never apply, and what nobody may call, is found with --registry.',
      ],
      err: [],
    });
    const [json] = (await writ('policy', 'check', directory, '--json')).out;
    expect(JSON.parse(json ?? '')).toMatchObject({ policies: 1, flaws: [], findings: null });
  });

  it('answers 1 with line and column for a set that is refused', async () => {
    writeFileSync(join(directory, 'a.cedar'), '@id("a")\n  permt(principal, action, resource);');
    expect(await writ('policy', 'check', directory)).toEqual({
      code: 1,
      out: ['a.cedar:2:3: invalid policy effect: permt (effect must be either `permit` or `forbid`)'],
      err: ['writ: the set is refused'],
    });
  });

  it('answers 2 where there is nothing to check', async () => {
    expect(await writ('policy', 'check', join(directory, 'none'))).toMatchObject({ code: 2 });
    expect(await writ('policy', 'check', 'src')).toMatchObject({ code: 2, err: ['writ: there is no *.cedar in src'] });
  });
});

describe('writ policy test', () => {
  it('runs the cases beside the policies', async () => {
    const { code, out } = await writ('policy', 'test', join('config', 'policies'), '-r', REGISTRY);
    expect({ code, last: out.at(-1) }).toEqual({ code: 0, last: '14 cases are as wanted' });
  });

  it('answers 1 and says what is otherwise', async () => {
    writeFileSync(join(directory, 'a.cedar'), '@id("a") permit(principal is Person, action, resource);');
    writeFileSync(
      join(directory, 'a.test.yaml'),
      `cases: [{ name: reads, request: { tool: 'https://mcp.example.com/files#read_file' }, decision: allow }]`,
    );
    expect(await writ('policy', 'test', directory, '-r', REGISTRY)).toEqual({
      code: 1,
      out: [
        'FAIL a.test.yaml: reads\n       decision: wanted "allow", got "deny"; the record is {"policies":[],"reason":"not_permitted","term":"agent","verdict":"deny"}',
      ],
      err: ['writ: 1 of 1 cases are not as wanted'],
    });
  });
});
