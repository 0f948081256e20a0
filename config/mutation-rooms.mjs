/** What is mutated, and the tests that have to notice. Narrow on purpose: each mutant runs all that reach it. */
export const rooms = {
  delegation: {
    mutate: ['src/delegation/*.ts'],
    tests: ['unit/delegate'],
  },
  client: {
    mutate: ['src/client/*.ts'],
    tests: ['unit/authenticate', 'unit/assertion', 'unit/secret', 'unit/remote-keys'],
  },
  token: {
    mutate: ['src/token/*.ts'],
    tests: ['unit/prepare', 'unit/keyring', 'unit/keys-admin'],
  },
};
