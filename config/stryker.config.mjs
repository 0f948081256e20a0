// Mutation testing, one room at a time: `npm run mutation -- delegation` (see scripts/mutation.mjs).
import { rooms } from './mutation-rooms.mjs';

const name = process.env.MUTATION_ROOM ?? '';
const room = rooms[name];
if (room === undefined) throw new Error(`no room of that name; there are ${Object.keys(rooms).join(', ')}`);

export default {
  testRunner: 'room',
  plugins: ['./config/mutation-runner.mjs', './config/mutation-prose.mjs', './config/mutation-progress.mjs'],
  ignorers: ['prose'],
  testRunnerNodeArgs: ['--no-warnings'],
  mutate: room.mutate,
  coverageAnalysis: 'perTest',
  incremental: true,
  incrementalFile: `dist/mutation/${name}.incremental.json`,
  reporters: ['survivors', 'clear-text', 'html', 'json'],
  clearTextReporter: {
    allowColor: false,
    allowEmojis: false,
    reportTests: false,
    logTests: false,
    reportScoreTable: true,
  },
  htmlReporter: { fileName: `dist/mutation/${name}.html` },
  jsonReporter: { fileName: `dist/mutation/${name}.json` },
  tempDirName: 'dist/mutation/sandbox',
  ignorePatterns: ['/dist', '/coverage', '/.writ*', '/.ci'],
  disableTypeChecks: false,
  checkers: [],
  concurrency: 1,
  timeoutMS: 10_000,
  timeoutFactor: 2,
  dryRunTimeoutMinutes: 10,
  allowConsoleColors: false,
  thresholds: { high: 95, low: 85, break: 85 },
};
