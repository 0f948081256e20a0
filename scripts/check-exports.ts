// Proves that every path of "exports" in package.json is there after a build, and that whoever imports the verifier, the
// agent or the protocol gets their own files and zod with it, and nothing of the server.
import { exportFlaws } from './proofs/closure.js';
import { manifest } from './proofs/manifest.js';

const flaws = await exportFlaws(manifest().exports);
for (const flaw of flaws) console.error(flaw);
process.exitCode = flaws.length === 0 ? 0 : 1;
