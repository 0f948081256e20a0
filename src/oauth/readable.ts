import { isPlainText } from '../protocol/index.js';
import { type EngineContext, errors } from './library.js';

/**
 * Refuses an authorization request (/auth and /request) with control characters or text that was no UTF-8, before
 * anything of it is stored: the database takes no U+0000, and pages and logs show what is stored.
 */
export function refuseUnreadable({ oidc }: EngineContext): void {
  for (const [name, value] of Object.entries(oidc.params ?? {})) {
    const texts = [value].flat().filter((text) => typeof text === 'string');
    if (!texts.every(isReadable)) throw new errors.InvalidRequest(`${name} must be text without control characters`);
  }
}

/** U+FFFD stands where bytes were no UTF-8. */
const isReadable = (text: string): boolean => isPlainText(text) && !text.includes('\ufffd');
