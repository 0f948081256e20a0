import { sha256 } from './canonical.js';

/** Where a record is kept that somebody shows the id of: the id itself is nowhere. */
export const recordKey = (model: string, id: string): string => sha256(`${model}:${id}`);
