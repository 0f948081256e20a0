// Proves that every error that a client can meet and every reason that the log can hold is explained in
// src/exchange/README.md, and that nothing is explained there that does not exist.
import { errorFlaws } from './proofs/errors.js';

const flaws = errorFlaws();
for (const flaw of flaws) console.error(flaw);
process.exitCode = flaws.length === 0 ? 0 : 1;
