// Proves that the TypeScript in README.md (or the files that are named) compiles against this version.
import { snippetFlaws } from './proofs/snippets.js';

const named = process.argv.slice(2);
const flaws = (named.length > 0 ? named : ['README.md']).flatMap(snippetFlaws);
for (const flaw of flaws) console.error(flaw);
process.exitCode = flaws.length === 0 ? 0 : 1;
