export { type ChainStep, delegationChain, delegationPicture } from './chain.js';
export type { Io } from './io.js';
export { run } from './program.js';
