// Writes the two SDKs as small packages of their own into dist/packages (or the folder that is named), for `npm pack`.
import { packSdks } from './proofs/sdk.js';

for (const folder of packSdks(process.argv[2] ?? 'dist/packages')) console.log(folder);
