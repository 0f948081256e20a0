// Loaded into the server under test by `--import`: at SIGUSR2 it collects garbage and writes down what memory is left.
import { writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const file = process.env['FUZZ_MEMORY_FILE'];
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

process.on('SIGUSR2', () => {
  if (file === undefined) return;
  for (let n = 0; n < 3; n++) collect();
  writeFileSync(file, JSON.stringify(process.memoryUsage()));
});
