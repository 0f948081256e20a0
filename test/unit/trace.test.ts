import { describe, expect, it } from '@jest/globals';
import { drawMermaid, drawText, Trace, type Traced, traceOf } from '../../src/audit/index.js';

const HASH = 'h'.repeat(43);
const ISS = 'https://writ.example';
const outcome = (decision: 'permit' | 'refuse' | 'done', reason: string, session: string | null = 'ses_1') => ({
  ...{ decision, reason, session, sequence: null, seen: 0 },
});

const permit = (
  token: string,
  actors: string[],
  tool = 'write_file',
  server = 'https://mcp.example/files',
): Traced => ({
  kind: 'exchange',
  at: 1_795_305_600,
  leafHash: HASH,
  facts: {
    client: { id: actors[0] ?? '', kind: 'agent', method: 'private_key_jwt', key: 'k1' },
    person: 'prs_1',
    actors: actors.map((sub) => ({ sub, iss: ISS })),
    target: { kind: 'server', resource: server },
    tools: [{ name: tool, arguments_sha256: null, max_uses: 1 }],
    policies: ['agents', 'people'],
    approval: null,
    token: { hash: token, typ: 'txnat+jwt', key: 'k', exp: 1, bound: null },
  },
  outcome: outcome('permit', 'permitted'),
});
const later = (
  kind: 'introspection' | 'outcome',
  token: string,
  facts: Record<string, string | number | null>,
): Traced => ({
  kind,
  at: 1_795_305_601,
  leafHash: HASH,
  facts: { what: 'x', client: 'srv_files', token, tool: 'write_file', ...facts },
  outcome: outcome('done', kind === 'outcome' ? 'reported' : 'used'),
});

const records = [
  permit('t1', ['agt_planner']),
  permit('t2', ['agt_writer', 'agt_planner']),
  later('introspection', 't2', { max_uses: 1 }),
  later('outcome', 't2', { server: 'https://mcp.example/files', outcome: 'executed', duration_ms: 12, error: null }),
  { ...permit('t3', ['agt_writer', 'agt_planner'], 'delete_repo'), outcome: outcome('refuse', 'policy_forbids') },
];

describe('one transaction as it is drawn', () => {
  const about = { txn: 'txn-1', complete: true, expected: new Map() };
  const trace = traceOf(about, records);

  it('has what became of a token under the chain that it was permitted to', () => {
    expect(Trace.parse(trace)).toEqual(trace);
    expect(trace).toMatchObject({ txn: 'txn-1', person: 'prs_1', sessions: ['ses_1'], records: 5, complete: true });
    expect(
      trace.chains.map(({ agents, target, calls }) => [
        agents,
        target,
        calls.map(({ tool, events }) => [tool, events.length]),
      ]),
    ).toEqual([
      [['agt_planner'], 'https://mcp.example/files', [['write_file', 1]]],
      [
        ['agt_planner', 'agt_writer'],
        'https://mcp.example/files',
        [
          ['write_file', 3],
          ['delete_repo', 1],
        ],
      ],
    ]);
  });

  it('is a tree from the person to what came of each call', () => {
    expect(drawText(trace)).toBe(`transaction txn-1, 5 records
person prs_1
└─ agent agt_planner
   ├─ at https://mcp.example/files
   │  └─ tool write_file
   │     └─ 2026-11-22T00:00:00.000Z  decision  permit: permitted (policies agents, people)
   └─ agent agt_writer
      └─ at https://mcp.example/files
         ├─ tool write_file
         │  ├─ 2026-11-22T00:00:00.000Z  decision  permit: permitted (policies agents, people)
         │  ├─ 2026-11-22T00:00:01.000Z  use  done: used
         │  └─ 2026-11-22T00:00:01.000Z  outcome  executed in 12 ms
         └─ tool delete_repo
            └─ 2026-11-22T00:00:00.000Z  decision  refuse: policy_forbids (policies agents, people)`);
  });

  it('says when there is more than it shows', () => {
    expect(drawText(traceOf({ ...about, complete: false }, records))).toMatch(
      /^transaction txn-1, 5 records and more\n/,
    );
  });

  it('says when retention may have removed some of it', () => {
    const old = traceOf({ ...about, prunedBefore: 1_795_305_660 }, records);
    expect([old.complete, old.pruned_before]).toEqual([false, '2026-11-22T00:01:00.000Z']);
    expect(drawText(old)).toMatch(/\nwhat was written before 2026-11-22T00:01:00\.000Z was removed\n/);
    expect(traceOf({ ...about, prunedBefore: 1_795_200_000 }, records)).toMatchObject({
      complete: true,
      pruned_before: null,
    });
  });

  it.each([
    [true, 'no outcome so far'],
    [false, 'no outcome, and none is expected: this server does not report'],
  ])('says what it means that a permitted call has no outcome: expected %s', (isExpected, line) => {
    const told = traceOf({ ...about, expected: new Map([['https://mcp.example/files', isExpected]]) }, records);
    expect(told.chains.flatMap(({ calls }) => calls.map(({ outcome }) => outcome))).toEqual([
      isExpected ? 'none_so_far' : 'none_expected',
      'reported',
      null,
    ]);
    expect(
      drawText(told)
        .split('\n')
        .filter((drawn) => drawn.includes('no outcome')),
    ).toEqual([`   │     └─ ${line}`]);
  });

  it('is a Mermaid flowchart', () => {
    const lines = drawMermaid(trace).split('\n');
    expect(lines[0]).toBe('flowchart LR');
    for (const line of lines.slice(1)) expect(line).toMatch(/^ {2}n\d+(\["([A-Za-z0-9 _.,:/-]|#\d+;)*"\]| --> n\d+)$/);
    expect(lines).toContain('  n1["person prs_1"]');
  });
});

describe('AU-01: a name that is made to break out', () => {
  const HOSTILE = [
    'a\r\nperson prs_evil',
    'a\u2028b\u000b\f\u0000',
    '\u001b[2J\u009b31m\u202eevil',
    'x"] --> n0["y',
    '</script><img src=x onerror=alert(1)>',
    'end; click n1 "javascript:alert(1)" %%{init: {}}%%',
    '`**bold**`',
  ];
  it.each(HOSTILE)('stays one label in one line: %j', (name) => {
    const trace = traceOf({ txn: name, complete: true, expected: new Map() }, [permit('t', [name], name, name)]);
    const lines = drawText(trace).split('\n');
    expect(lines).toHaveLength(6);
    expect(lines.join('')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/);
    const mermaid = drawMermaid(trace).split('\n');
    expect(mermaid).toHaveLength(10);
    for (const line of mermaid.slice(1))
      expect(line).toMatch(/^ {2}n\d+(\["([A-Za-z0-9 _.,:/-]|#\d+;)*"\]| --> n\d+)$/);
  });
});
