import { randomBytes } from 'node:crypto';
import { closeRecord, recordHead } from '../../src/audit/index.js';

/** A record about the size of a permitted exchange of a real agent. */
export function record(i: number): Buffer {
  const head = recordHead('exchange', 1_795_305_600, {
    request: `req_${randomBytes(16).toString('base64url')}`,
    trace: null,
    client: { id: 'agt_writer', kind: 'agent', method: 'private_key_jwt', key: randomBytes(32).toString('base64url') },
    person: 'prs_7Hq4bYpZ2mWcVt9x',
    actors: [
      { sub: 'agt_writer', iss: 'https://writ.example' },
      { sub: 'agt_planner', iss: 'https://writ.example' },
    ],
    target: { kind: 'server', resource: 'https://mcp.example/files' },
    tools: [{ name: 'write_file', arguments_sha256: randomBytes(32).toString('base64url'), max_uses: 1 }],
    ...{ scope: 'files:write', task: 'T-1182', purpose: 'publish-report', authn: 'urn:phr' },
    decision: `dec_${randomBytes(16).toString('base64url')}`,
    policy: `sha256:${randomBytes(32).toString('base64url')}`,
    policies: ['reads-and-changes-within-scope'],
    registry: 12,
    txn: randomBytes(16).toString('base64url'),
    token: {
      hash: randomBytes(32).toString('base64url'),
      typ: 'txnat+jwt',
      key: 'k1',
      exp: 1_795_305_780,
      bound: null,
    },
  });
  const sequence = 1 + Math.floor(i / 1_000);
  return closeRecord(head, { decision: 'permit', reason: 'permitted', session: `ses_${i % 1_000}`, sequence, seen: 0 });
}
