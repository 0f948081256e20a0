// The table of rooms: who may import whom. The build fails when it is broken. Arrows point one way.
const below = ['base', 'protocol'];
const corridor = [...below, 'registry', 'delegation', 'session', 'approval', 'policy', 'token', 'audit', 'client'];
const may = {
  base: [],
  protocol: ['base'],
  tlog: ['base'],
  registry: below,
  delegation: below,
  session: below,
  approval: below,
  policy: [...below, 'delegation', 'registry'],
  token: [...below, 'policy'],
  audit: [...below, 'registry', 'client', 'http', 'tlog'],
  client: [...below, 'registry'],
  exchange: corridor,
  mcp: [...below, 'registry'],
  drift: [...below, 'client', 'registry'],
  introspection: [...below, 'client', 'registry', 'session', 'token', 'audit'],
  config: [...below, 'policy', 'tlog'],
  notice: [...below, 'client', 'registry'],
  storage: corridor.concat('tlog', 'exchange', 'introspection', 'signals', 'authzen', 'oauth', 'human', 'admin', 'notice'),
  http: below,
  telemetry: [...below, 'http'],
  authzen: [...below, 'client', 'policy', 'registry', 'session', 'audit', 'http'],
  signals: [...below, 'client', 'registry', 'token', 'http'],
  human: [...below, 'approval', 'registry', 'session', 'audit', 'http', 'notice'],
  oauth: [...below, 'registry', 'client', 'human', 'http'],
  admin: [...below, 'registry', 'policy', 'approval', 'session', 'audit', 'token', 'http'],
  'sdk/verifier': below,
  'sdk/agent': below,
  'sdk/auditor': [...below, 'tlog'],
  cli: [
    ...below,
    'sdk/verifier',
    'sdk/agent',
    'sdk/auditor',
    'tlog',
    'policy',
    'audit',
    'config',
    'registry',
    'storage',
  ],
};

const rooms = Object.entries(may).map(([room, allowed]) => ({
  name: `${room}-imports-only-what-it-may`,
  severity: 'error',
  from: { path: `^src/${room}/` },
  to: { path: '^src/', pathNot: [room, ...allowed].map((name) => `^src/${name}/`) },
}));

module.exports = {
  forbidden: [
    ...rooms,
    {
      name: 'enter-a-room-by-its-index',
      severity: 'error',
      from: { path: '^src/((?:sdk/)?[^/]+)/' },
      to: { path: '^src/(?:sdk/)?[^/]+/', pathNot: ['^src/$1/', '/index\\.ts$', '^src/token/recorded\\.ts$'] },
    },
    {
      name: 'enter-a-room-by-its-index-from-the-hall',
      severity: 'error',
      from: { path: '^src/[^/]+\\.ts$' },
      to: { path: '^src/(?:sdk/)?[^/]+/', pathNot: ['/index\\.ts$'] },
    },
    {
      // The one door that is not an index: who can make a Recorded can have anything signed.
      name: 'only-storage-makes-a-recorded',
      severity: 'error',
      from: { pathNot: '^src/(storage|token)/' },
      to: { path: '^src/token/recorded\\.ts$' },
    },
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'every-room-is-listed',
      severity: 'error',
      from: { path: '^src/[^/]+/', pathNot: Object.keys(may).map((room) => `^src/${room}/`) },
      to: {},
    },
    {
      name: 'rules-do-no-io',
      severity: 'error',
      from: { path: '^src/(base|delegation|session|approval)/' },
      to: { dependencyTypes: ['core', 'npm'], pathNot: 'node_modules/zod/' },
    },
    {
      name: 'one-door-to-oidc-provider',
      severity: 'error',
      from: { pathNot: '^src/oauth/' },
      to: { path: 'node_modules/oidc-provider/' },
    },
    {
      name: 'one-door-to-the-mcp-client',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/mcp/' },
      to: { path: 'node_modules/@modelcontextprotocol/' },
    },
    {
      name: 'one-door-to-the-database',
      severity: 'error',
      from: { pathNot: '^src/storage/' },
      to: { path: '(node_modules/(@prisma|pg|@electric-sql|pglite-prisma-adapter)/|^src/storage/generated/)' },
    },
    {
      name: 'one-door-to-the-policy-engine',
      severity: 'error',
      from: { pathNot: '^src/policy/set/engine\\.ts$' },
      to: { path: 'node_modules/@cedar-policy/' },
    },
    {
      name: 'no-undeclared-package',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'npm-dev', 'unknown'], pathNot: 'node_modules/@types/' },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: 'src/storage/generated/.*' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
