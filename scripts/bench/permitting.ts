// The server as it is but for one thing: its policies say yes to everything, at once. To measure beside, and for nothing else.
import { PolicySet } from '../../src/policy/set/policy-set.js';

PolicySet.prototype.decide = () => ({ verdict: 'allow', policies: ['anything'] });
await import('../../src/main.js');
