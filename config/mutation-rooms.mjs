/** The files of the corridor that only a server can judge. */
const CORRIDOR = ['endpoint', 'exchange', 'settle', 'story'].map((name) => `src/exchange/${name}.ts`);

/** What is mutated, and the tests that have to notice. Narrow on purpose: each mutant runs all that reach it. */
export const rooms = {
  delegation: {
    mutate: ['src/delegation/*.ts'],
    tests: ['unit/delegate'],
  },
  approval: {
    mutate: ['src/approval/*.ts', '!src/approval/index.ts'],
    tests: ['unit/approval-binding', 'unit/approval-transition'],
  },
  client: {
    mutate: ['src/client/*.ts'],
    tests: ['unit/authenticate', 'unit/assertion', 'unit/secret', 'unit/remote-keys'],
  },
  token: {
    mutate: ['src/token/*.ts'],
    tests: ['unit/prepare', 'unit/keyring', 'unit/keys-admin'],
  },
  // Everything of the corridor that can be judged without a server; the rest, with the server that the suites start.
  exchange: {
    mutate: ['src/exchange/*.ts', '!src/exchange/index.ts', ...CORRIDOR.map((path) => `!${path}`)],
    tests: [
      'unit/actor',
      'unit/subject',
      'unit/request',
      'unit/remembered',
      'unit/refusal',
      'unit/exchange-record',
      'unit/exchange-parts',
    ],
  },
  corridor: {
    mutate: CORRIDOR,
    tests: [
      'spec/exchange',
      'spec/commit',
      'spec/derived',
      'spec/dpop-exchange',
      'spec/policy-exchange',
      'spec/decision-points',
      'spec/governed-session',
      'spec/transaction-handle',
      'spec/policy-replay',
      'spec/keys-in-motion',
      'spec/session-facts',
      'spec/exchange-traces',
      'spec/agent-keys',
      'spec/revocations',
      'spec/foreign-session',
      'spec/consent',
      'spec/budgets',
      'spec/audit-erasure',
      'abuse/tl',
    ],
  },
  committer: {
    mutate: ['src/storage/committer.ts'],
    tests: ['contract/commit-clauses', 'contract/committer'],
  },
};
