import { freeze, type Frozen } from '../../src/approval/index.js';
import { compilePolicySet, policyTools } from '../../src/policy/index.js';
import { digest, type JsonObject, sha256 } from '../../src/protocol/index.js';

export const NOW = 1_795_305_617;
export const DEFINITION = sha256('a definition');
export const TEXT = sha256('the text of a policy');
export const OTHER_TEXT = sha256('another text');

const SET = compilePolicySet(
  [{ path: 'all.cedar', text: '@id("all") permit(principal, action, resource);' }],
  policyTools([]),
);
if (!SET.ok) throw new Error('the policy set does not compile');

/** The arguments of a call, with their digest. */
export function anArguments(args: JsonObject) {
  const hashed = digest(args);
  if (!hashed.ok) throw new Error(hashed.error);
  return { arguments: args, argumentsSha256: hashed.value };
}

/** A request that a policy asks the person about, with one thing different. */
export const aBinding = (change: object = {}, call: object = {}) => ({
  version: 1,
  call: {
    person: 'prs_alice',
    chain: ['agt_a', 'agt_b'],
    session: 'ses_1',
    server: 'https://mcp.example/files',
    tool: 'delete',
    definition: DEFINITION,
    ...anArguments({ path: '/tmp/x' }),
    ...call,
  },
  policySet: SET.value.hash,
  demands: [{ policy: 'deletions', text: TEXT, approvers: [] as string[] }],
  expiresAt: NOW + 600,
  ...change,
});

/** {@link aBinding}, frozen. */
export function frozen(binding: object = aBinding()): Frozen {
  const result = freeze(binding);
  if (!result.ok) throw new Error(result.error);
  return result.value;
}
