import { readFileSync } from 'node:fs';
import { z } from 'zod';

const Manifest = z.object({
  version: z.string(),
  license: z.string(),
  engines: z.record(z.string(), z.string()),
  exports: z.record(z.string(), z.string()),
  dependencies: z.record(z.string(), z.string()),
});

/** Our own package.json, as far as the proofs read it. */
export const manifest = (): z.infer<typeof Manifest> =>
  Manifest.parse(JSON.parse(readFileSync('package.json', 'utf8')));
