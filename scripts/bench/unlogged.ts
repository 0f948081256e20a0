// The server as it is but for one thing: what its commits decide is recorded nowhere. To measure beside, and for nothing
// else; no setting does this.
import { register } from 'node:module';

register('./unlogged-hooks.js', import.meta.url);
await import('../../src/main.js');
